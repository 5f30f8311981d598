"""A short summary in GitHub's Markdown, for a job's step summary or a pull request."""

from __future__ import annotations

import re

from harness.model.events import Decided, RolledBack, RunOpened, StandIn
from harness.model.evidence import Evidence
from harness.model.judgement import Judgement, ObjectiveResult, Verdict
from harness.render import words
from harness.render.describe import describe
from harness.render.sections.result import settling
from harness.render.story import all_of, first, titles, took

LIMIT = 1_000_000  # GitHub rejects a step summary above 1024 KiB; measured in bytes of UTF-8
MARKS = {Verdict.PASS: "✅", Verdict.INCONCLUSIVE: "❔", Verdict.FAIL: "❌"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")


def summary(judgement: Judgement, evidence: Evidence, *, limit: int = LIMIT, root: str = "") -> str:
    """Verdict and why, what was not met, the recoveries, and the objectives that were met folded away.

    Cut at a line to at most `limit` bytes, saying so.
    """
    return _cut(words.plain("\n".join(_lines(judgement, evidence, root))) + "\n", limit)


def _lines(judgement: Judgement, evidence: Evidence, root: str) -> list[str]:
    opened = first(evidence.events, RunOpened)
    release = f" · release {_text(opened.release)}" if opened and opened.release else ""
    lines = [
        f"## {MARKS[judgement.verdict]} {words.word(judgement)}{release}",
        "",
        f"**{_text(words.why(judgement))}**",
        "",
        f"{words.tally(judgement.objectives)} · run `{_code(judgement.run_id)}` · {took(evidence)}",
        "",
    ]
    lines += [
        f"> Stand-in for **{_text(item.service)}**: {_text(item.text)}  " for item in all_of(evidence.events, StandIn)
    ]
    if root:
        lines += ["", f"Sealed as `{_code(root)}`: `harness verify` compares a copy with it", ""]
    lines += [f"> What if: judged by {_text(path)}, not as the run was" for path in judgement.what_if]
    if judgement.waivers:
        lines += ["", "### Waivers", "", "| | objective | who | why | until |", "|---|---|---|---|---|"]
        lines += [
            f"| {item.state} | {_text(item.objective)} | {_text(item.who)} | {_text(item.why)} | {item.until} |"
            for item in judgement.waivers
        ]
    names = titles(evidence)
    missed = [item for item in judgement.objectives if item.verdict is not Verdict.PASS]
    met = [item for item in judgement.objectives if item.verdict is Verdict.PASS]
    if missed:
        lines += ["", "### Not met", "", *_table(sorted(missed, key=lambda item: -item.verdict.rank), names)]
    if judgement.verdict is Verdict.INCONCLUSIVE and (open_ := settling(evidence, judgement)):
        lines += ["", "### What would settle it", ""]
        lines += [f"- **{_text(name)}**: {_text(how)}" for name, how in open_]
    findings = [item for item in judgement.findings if item.cap is not Verdict.PASS]
    if findings:
        lines += ["", "### Findings", ""]
        lines += [f"- {MARKS[item.cap]} **{_text(item.name)}**: {_text(item.reason)}" for item in findings]
    decisions = [event for event in evidence.events if isinstance(event, Decided | RolledBack)]
    if decisions:
        lines += ["", "### Decisions", "", *(f"- {_text(describe(event))}" for event in decisions)]
    if judgement.recoveries:
        lines += ["", "### Recoveries", "", "| fault | served again | full service |", "|---|---|---|"]
        lines += [
            f"| {_text(names.get(item.experiment, item.fault))} | {words.back(item.served_s)} "
            f"| {words.back(item.full_service_s)} |"
            for item in judgement.recoveries
        ]
    if met:
        lines += [
            "",
            f"<details><summary>{words.count(len(met), 'objective')} met</summary>",
            "",
            *_table(met, names),
            "",
            "</details>",
        ]
    return lines


def _table(results: list[ObjectiveResult], names: dict[str, str]) -> list[str]:
    head = ["| | objective | required | measured | interval | events | why |", "|---|---|---|---|---|---:|---|"]
    return head + [_row(item, names) for item in results]


def _row(item: ObjectiveResult, names: dict[str, str]) -> str:
    cells = (
        MARKS[item.verdict] + " " + item.verdict,
        f"**{_text(item.service)}** {_text(words.label(item))}, {_text(words.window(item, names))}",
        words.requirement(item),
        words.amount(item.measured, item.unit, beside=item.target),
        words.interval(item),
        str(item.events),
        _text(item.reason),
    )
    return f"| {' | '.join(cells)} |"


def _text(value: str) -> str:
    """Somebody else's words: on one line, no longer than a line, and never markup, a link or a mention."""
    plain = words.line(value, 300).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
    return _SPECIAL.sub(r"\\\1", plain).replace("://", ":&#47;&#47;").replace("www.", "www&#46;")


def _code(value: str) -> str:
    return words.line(value, 100).replace("`", "'")


def _cut(text: str, limit: int) -> str:
    if len(text.encode()) <= limit:
        return text
    note = "\n\n</details>\n\n_Cut here: the whole is in report.html._\n"
    room = max(0, limit - len(note.encode()))
    kept = text.encode()[:room].decode(errors="ignore")
    kept = kept[: kept.rfind("\n") + 1]
    return kept + (note if "<details>" in kept else note.replace("\n\n</details>", ""))
