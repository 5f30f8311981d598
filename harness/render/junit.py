"""JUnit XML for CI: a testcase for each objective and each finding.

An INCONCLUSIVE result is an `<error>`, never `<skipped>`: most CI systems show skipped tests as green.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass

from harness.model.events import RunOpened
from harness.model.evidence import Evidence
from harness.model.judgement import Judgement, ObjectiveResult, Verdict, worst
from harness.render import words
from harness.render.story import duration_s, first, stamp


@dataclass(frozen=True)
class _Case:
    suite: str
    name: str
    verdict: Verdict
    reason: str
    text: str


def junit(judgement: Judgement, evidence: Evidence, root: str = "") -> bytes:
    """A `<testsuites>` document in UTF-8. It is never greener than the verdict. `root`: of the run's seal."""
    cases = _cases(judgement)
    document = ET.Element("testsuites", {"name": "harness", **_totals(cases)})
    suites = list(dict.fromkeys(case.suite for case in cases))
    for index, name in enumerate(suites):
        inside = [case for case in cases if case.suite == name]
        suite = ET.SubElement(document, "testsuite", {"name": words.line(name), **_totals(inside)})
        if opened := first(evidence.events, RunOpened):
            suite.set("timestamp", stamp(opened.wall_ns))
            suite.set("hostname", words.clean(opened.host))
        suite.set("time", f"{duration_s(evidence):.3f}" if index == 0 else "0.000")
        _properties(suite, judgement, evidence, root)
        for case, unique in zip(inside, _unique([case.name for case in inside]), strict=True):
            _write(suite, case, unique)
    ET.indent(document)
    text: bytes = ET.tostring(document, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _cases(judgement: Judgement) -> list[_Case]:
    cases = [_objective(item) for _, items in words.failures_first(judgement.objectives) for item in items]
    cases += [
        _Case("findings", item.name, item.cap, item.reason, "\n".join((item.reason, *item.detail)))
        for item in judgement.findings
    ]
    if not cases or worst([case.verdict for case in cases]).rank < judgement.verdict.rank:
        cases.append(_Case("findings", "verdict", judgement.verdict, judgement.sentence, judgement.sentence))
    return cases


def _objective(item: ObjectiveResult) -> _Case:
    name = f"{words.label(item)} [{words.window(item)}]"
    lines = [
        f"verdict:  {item.verdict}",
        f"required: {words.requirement(item)}",
        f"measured: {words.amount(item.measured, item.unit, beside=item.target)}",
        f"interval: {words.interval(item)}",
        f"events:   {item.events} ({item.bad} bad, {item.unknown} unknown)",
        f"source:   {item.source}",
        f"slo:      {item.slo}",
        f"reason:   {item.reason}",
        *(f"note:     {note}" for note in item.notes),
    ]
    return _Case(item.service, name, item.verdict, item.reason, words.plain("\n".join(lines)))


def _write(suite: ET.Element, case: _Case, name: str) -> None:
    node = ET.SubElement(suite, "testcase", classname=words.clean(case.suite), name=words.line(name), time="0")
    if case.verdict is Verdict.PASS:
        ET.SubElement(node, "system-out").text = words.clean(case.text)
        return
    tag, kind = ("failure", "fail") if case.verdict is Verdict.FAIL else ("error", "inconclusive")
    ET.SubElement(node, tag, type=kind, message=words.line(case.reason)).text = words.clean(case.text)


def _totals(cases: list[_Case]) -> dict[str, str]:
    verdicts = Counter(case.verdict for case in cases)
    return {
        "tests": str(len(cases)),
        "failures": str(verdicts[Verdict.FAIL]),
        "errors": str(verdicts[Verdict.INCONCLUSIVE]),
        "skipped": "0",
    }


def _unique(names: list[str]) -> list[str]:
    """CI systems merge testcases of the same name: number the later ones."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique


def _properties(suite: ET.Element, judgement: Judgement, evidence: Evidence, root: str) -> None:
    values = {
        "run-id": judgement.run_id,
        "verdict": judgement.verdict,
        "sentence": judgement.sentence,
        "rules": words.rules(judgement),
    }
    if root:
        values["sealed-root"] = root
    if judgement.what_if:
        values["what-if"] = ", ".join(judgement.what_if)
    for index, waiver in enumerate(judgement.waivers, 1):
        values[f"waiver-{index}"] = (
            f"{waiver.state}: {waiver.objective} by {waiver.who} until {waiver.until}: {waiver.why}"
        )
    if opened := first(evidence.events, RunOpened):
        values |= {
            "scenario": opened.scenario,
            "profile": opened.profile,
            "release": opened.release,
            "seed": str(opened.seed),
            "user": opened.user,
            "harness-version": opened.version,
            "harness-commit": opened.commit,
        }
    node = ET.SubElement(suite, "properties")
    for name, value in values.items():
        ET.SubElement(node, "property", name=name, value=words.line(value))
