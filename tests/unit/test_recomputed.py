"""Judged again elsewhere: the same word, or which rule changed. Runs of every released format stay readable."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.journal.layout import RunFolder
from harness.judge.again import compare
from harness.judge.rules import NUMBERS, RULES, Rule, changed
from harness.model.judgement import Finding, Interval, Judgement, ObjectiveResult, Verdict
from harness.run.verdict import compare_with_sealed, judge_folder

RUNS = sorted(path for path in (Path(__file__).resolve().parents[1] / "fixtures/runs").glob("*/*"))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.parent.name)
def test_a_run_of_every_released_format_is_judged_as_it_was_or_a_rule_changed(run: Path, tmp_path: Path) -> None:
    """When it fails after a change of the judge: add to the `changes` of that rule in harness/judge/rules.py."""
    copy = RunFolder(shutil.copytree(run, tmp_path / "elsewhere"))
    judgement = judge_folder(copy)
    compared = compare_with_sealed(copy, judgement)
    assert compared is not None
    assert not compared.unreadable
    assert not compared.unexplained, "\n".join(map(str, compared.unexplained))
    assert judge_folder(copy) == judgement
    told = [one for one in compared.differences if one.kind in ("verdict", "counts")]
    assert not told or compared.rules_changed


def result(**more: object) -> ObjectiveResult:
    values = {
        "slo": "a", "service": "s", "title": "t", "window": "steady", "source": "requests", "events": 10,
        "interval": Interval(low=0.5, high=1.0), "verdict": Verdict.PASS, "reason": "so",
    }  # fmt: skip
    return ObjectiveResult(**{**values, **more})


def judged(*objectives: ObjectiveResult, **more: object) -> Judgement:
    values = {"run_id": "r", "rules": NUMBERS, "verdict": Verdict.PASS, "sentence": "s", "objectives": objectives}
    return Judgement(**{**values, **more})


def test_the_same_is_the_same() -> None:
    compared = compare(judged(result()), judged(result()))
    assert compared.same
    assert not compared.differences


@pytest.mark.parametrize(
    ("then", "now", "kind"),
    [
        (judged(result()), judged(result(verdict=Verdict.FAIL)), "verdict"),
        (judged(result()), judged(result(events=11)), "counts"),
        (judged(result()), judged(result(interval=Interval(low=0.49999999, high=1.0))), "bounds"),
        (judged(result()), judged(result(measured=0.5)), "bounds"),
        (judged(result()), judged(), "verdict"),
        (judged(result()), judged(result(), result()), "verdict"),
        (judged(), judged(findings=(Finding(name="f", cap=Verdict.PASS, reason="x"),)), "verdict"),
    ],
)
def test_every_difference_is_told(then: Judgement, now: Judgement, kind: str) -> None:
    then = then.model_copy(update={"objectives": tuple(_told(one) for one in then.objectives)})
    compared = compare(then, now)
    assert not compared.same
    assert kind in {one.kind for one in compared.differences}
    assert compared.unexplained, "no rule changed, so this is a mistake"


def _told(item: ObjectiveResult) -> ObjectiveResult:
    """As a sealed judgement is read: with every field written out."""
    return ObjectiveResult.model_validate_json(item.model_dump_json())


def test_other_words_are_no_other_judgement() -> None:
    compared = compare(judged(result()), judged(result(reason="in other words")))
    assert compared.same
    assert [one.kind for one in compared.differences] == ["words"]


def test_a_field_that_an_older_judgement_did_not_have_is_not_compared() -> None:
    old = json.loads(judged(result(bad=1)).model_dump_json())
    del old["objectives"][0]["bad"]
    assert compare(Judgement.model_validate(old), judged(result(bad=1))).same


def test_the_rules_that_changed_are_named() -> None:
    later = tuple(Rule(rule.name, rule.says, ("other bounds",)) if rule.name == "bounds" else rule for rule in RULES)
    first = {rule.name: 1 for rule in RULES if rule.since == "0.1.0"}
    base = tuple(rule for rule in later if rule.since == "0.1.0")
    base = tuple(rule if rule.name == "bounds" else Rule(rule.name, rule.says) for rule in base)
    assert changed(first, base) == ("bounds 2: other bounds",)
    assert changed({"*": 1}, base) == changed(first, base)
    assert changed({rule.name: rule.number for rule in base}, base) == ()
    more = (*base, Rule("moon", "its phase", since="9.9"))
    assert "moon is new since 9.9: its phase" in changed(first, more)
    assert "older" in changed({**first, "bounds": 7}, base)[0]
    assert "older" in changed({**first, "sun": 1}, base)[-1]


def test_a_judgement_that_was_changed_is_not_compared_with(tmp_path: Path) -> None:
    folder = RunFolder(shutil.copytree(RUNS[0], tmp_path / "x"))
    judgement = judge_folder(folder)
    folder.judgement.write_text(folder.judgement.read_text().replace("PASS", "FAIL"))
    compared = compare_with_sealed(folder, judgement)
    assert compared
    assert "changed after the run" in compared.unreadable
    assert not compared.same
    folder.manifest.unlink()
    folder.judgement.write_text("{")
    assert "cannot be read" in compare_with_sealed(folder, judgement).unreadable  # type: ignore[union-attr]
    folder.judgement.unlink()
    assert compare_with_sealed(folder, judgement) is None


def test_changed_evidence_is_told_by_name_and_does_not_pass(tmp_path: Path) -> None:
    folder = RunFolder(shutil.copytree(RUNS[0], tmp_path / "x"))
    file = folder.inputs / "slos/0/unified-api.yaml"
    file.write_text(file.read_text().replace("0.999", "0.99"))
    judgement = judge_folder(folder)
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "inputs/slos/0/unified-api.yaml was changed" in judgement.sentence


def test_a_what_if_says_so(tmp_path: Path) -> None:
    folder = RunFolder(RUNS[0])
    other = folder.inputs / "slos/0/platform.yaml"
    judgement = judge_folder(folder, [other])
    assert judgement.what_if == (str(other),)
    assert len(judgement.objectives) < 22


@pytest.mark.parametrize(
    ("rule", "now", "explained"),
    [
        ("requests", result(bad=2, source="RequestRecord"), True),
        ("loss", result(bad=2, source="RequestRecord"), False),
        ("decide", result(bad=2, source="RequestRecord"), False),
        ("bounds", result(interval=Interval(low=0.4, high=1.0), source="RequestRecord"), True),
        ("bounds", result(verdict=Verdict.FAIL, source="RequestRecord"), True),
        ("validity", result(verdict=Verdict.FAIL, source="RequestRecord"), False),
        ("windows", result(bad=2, source="RequestRecord"), True),
        ("loss", result(bad=2, source="a source of tomorrow"), True),
    ],
)
def test_a_rule_explains_only_what_it_bears_on(
    monkeypatch: pytest.MonkeyPatch, rule: str, now: ObjectiveResult, explained: bool
) -> None:
    monkeypatch.setattr("harness.judge.again.changed", lambda _: (f"{rule} 2: something else",))
    compared = compare(judged(_told(result(source=now.source))), judged(now))
    assert not compared.same
    assert bool(compared.unexplained) is not explained
