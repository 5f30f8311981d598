from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.judgement import Finding, Judgement, ObjectiveResult, Verdict, worst
from harness.render.junit import junit
from harness.testing.sample_run import KINDS, Kind, sample

EVIDENCE, JUDGEMENT = sample("pass")
VERDICTS = st.sampled_from(list(Verdict))


def _parse(judgement: Judgement) -> ET.Element:
    return ET.fromstring(junit(judgement, EVIDENCE))


def _verdict(case: ET.Element) -> Verdict:
    if case.find("failure") is not None:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE if case.find("error") is not None else Verdict.PASS


def _objective(verdict: Verdict, **more: str) -> ObjectiveResult:
    values = {
        "slo": "s",
        "service": "a",
        "title": "t",
        "window": "run",
        "source": "x",
        "reason": "because",
        "verdict": verdict,
    }
    return ObjectiveResult.model_validate(values | more)


@pytest.mark.parametrize("kind", KINDS)
def test_a_testcase_for_each_objective_and_finding(kind: Kind) -> None:
    evidence, judgement = sample(kind)
    root = ET.fromstring(junit(judgement, evidence))
    cases = list(root.iter("testcase"))
    assert len(cases) == len(judgement.objectives) + len(judgement.findings)
    assert root.get("failures") == str(sum(_verdict(case) is Verdict.FAIL for case in cases))
    assert root.get("errors") == str(sum(_verdict(case) is Verdict.INCONCLUSIVE for case in cases))
    assert {item.get("value") for item in root.iter("property") if item.get("name") == "run-id"} == {judgement.run_id}


def test_inconclusive_is_an_error_and_never_skipped() -> None:
    judgement = JUDGEMENT.model_copy(
        update={"objectives": (_objective(Verdict.INCONCLUSIVE),), "verdict": Verdict.INCONCLUSIVE}
    )
    text = junit(judgement, EVIDENCE)
    assert b'<error type="inconclusive" message="because">' in text
    assert b"<skipped" not in text


@settings(max_examples=50)
@given(st.lists(VERDICTS, max_size=5), st.lists(VERDICTS, max_size=3), VERDICTS)
def test_it_is_never_greener_than_the_verdict(objectives: list[Verdict], caps: list[Verdict], verdict: Verdict) -> None:
    judgement = JUDGEMENT.model_copy(
        update={
            "objectives": tuple(_objective(item) for item in objectives),
            "findings": tuple(Finding(name="f", cap=cap, reason="r") for cap in caps),
            "verdict": verdict,
        }
    )
    found = [_verdict(case) for case in _parse(judgement).iter("testcase")]
    assert worst(found).rank >= verdict.rank
    assert found, "an empty document is shown as green"


@settings(max_examples=100)
@given(st.text())
def test_any_text_makes_xml_that_can_be_read(text: str) -> None:
    item = _objective(Verdict.FAIL).model_copy(
        update={"title": text, "reason": text, "service": text, "notes": (text,)}
    )
    judgement = JUDGEMENT.model_copy(update={"objectives": (item,), "sentence": text, "run_id": text})
    assert _parse(judgement).get("failures") == "1"


def test_names_are_unique_within_a_suite() -> None:
    root = _parse(JUDGEMENT.model_copy(update={"objectives": (_objective(Verdict.PASS),) * 3}))
    names = [case.get("name") for case in root.iter("testcase") if case.get("classname") == "a"]
    assert len(set(names)) == 3
