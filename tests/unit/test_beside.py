"""Two runs beside each other: what changed beyond noise, and no more."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import outcome
from harness.judge import bounds
from harness.judge.beside import beside, changed
from harness.model.judgement import DataLoss, Interval, Judgement, ObjectiveResult, Recovery, Verdict

(RUN,) = (Path(__file__).resolve().parents[1] / "fixtures/runs/0.1.0").iterdir()


def ratio(bad: int, total: int, slo: str = "a", confidence: float = 0.95) -> ObjectiveResult:
    good = total - bad
    return ObjectiveResult(
        slo=slo, service="s", title="t", window="steady", source="requests", verdict=Verdict.PASS, reason="",
        events=total, bad=bad, confidence=confidence, target=0.5,
        interval=Interval(low=bounds.lower(good, total, confidence), high=bounds.upper(good, total, confidence)),
    )  # fmt: skip


def judged(*objectives: ObjectiveResult, **more: object) -> Judgement:
    return Judgement(run_id="r", rules={}, verdict=Verdict.PASS, sentence="", objectives=objectives, **more)


def word(a: ObjectiveResult, b: ObjectiveResult) -> str:
    return beside(judged(a), judged(b))[0].word


def test_a_ratio_changed_when_the_intervals_do_not_overlap() -> None:
    assert word(ratio(0, 1000), ratio(50, 1000)) == "worse"
    assert word(ratio(50, 1000), ratio(0, 1000)) == "better"
    assert word(ratio(0, 1000), ratio(2, 1000)) == "no change seen"
    assert word(ratio(0, 10), ratio(2, 10)) == "no change seen"


def test_alike_runs_rarely_look_changed() -> None:
    """At most 2 (1 - confidence) by the union bound; far fewer in fact."""
    draw = random.Random(4)
    changes = 0
    for _ in range(400):
        a, b = (sum(draw.random() < 0.05 for _ in range(300)) for _ in range(2))
        changes += word(ratio(a, 300), ratio(b, 300)) != "no change seen"
    assert changes <= 400 * 0.1


@given(*(st.floats(0, 100) for _ in range(4)), st.booleans())
def test_better_one_way_is_worse_the_other(a: float, b: float, c: float, d: float, higher: bool) -> None:
    one, two = Interval(low=min(a, b), high=max(a, b)), Interval(low=min(c, d), high=max(c, d))
    opposite = {"better": "worse", "worse": "better", "no change seen": "no change seen"}
    assert changed(one, two, higher) == opposite[changed(two, one, higher)]
    assert changed(one, two, higher) == opposite[changed(one, two, not higher)]
    assert changed(one, one, higher) == "no change seen"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ((1.0, 2.0), (2.5, 3.0), "worse"),
        ((1.0, 2.0), (2.0, 3.0), "no change seen"),
        ((5.0, 6.0), (1.0, 2.0), "better"),
        ((1.0, 2.0), (40.0, None), "worse"),
        ((1.0, 2.0), (1.5, None), "no change seen"),
        ((40.0, None), (1.0, 2.0), "better"),
        ((1.0, 2.0), (None, None), "not known"),
        ((None, None), (1.0, 2.0), "not known"),
    ],
)
def test_times_are_intervals(before: tuple, after: tuple, told: str) -> None:
    a, b = (Interval(low=low, high=high) for low, high in (before, after))
    assert changed(a, b, higher_is_better=False) == told


def recovered(served: Interval | None, *, visible: bool = True) -> Judgement:
    landed = Interval(low=0.0, high=1.0)
    one = Recovery(
        experiment="kill#1", fault="kill", landed_ns=landed, served_s=served, full_service_s=served, recovered=True,
        visible=visible,
    )  # fmt: skip
    return judged(recoveries=(one,))


def test_recoveries_and_losses() -> None:
    found = beside(recovered(None, visible=False), recovered(Interval(low=3.0, high=3.1)))
    assert [one.word for one in found] == ["worse", "worse"]
    assert [one.word for one in beside(recovered(None), recovered(Interval(low=3.0, high=3.1)))] == ["not known"] * 2
    losses = [
        judged(
            data_loss=(
                DataLoss(
                    after="end", region="sjc", acknowledged=9, present=9 - lost, lost=lost, stale=0, duplicated=0,
                    diverged=0, indeterminate=open_,
                ),
            )
        )
        for lost, open_ in ((0, 0), (2, 0), (0, 3))
    ]  # fmt: skip
    assert beside(losses[0], losses[1])[0].word == "worse"
    assert beside(losses[0], losses[2])[0].word == "no change seen"


def test_what_only_one_run_has_and_what_was_asked_otherwise_is_told() -> None:
    found = beside(
        judged(ratio(0, 10), ratio(0, 10, "old")), judged(ratio(0, 10, confidence=0.99), ratio(0, 10, "new"))
    )
    assert {one.what.split()[0]: one.word for one in found} == {
        "old": "only before",
        "new": "only after",
        "a": "no change seen",
    }
    assert "confidence" in next(one.note for one in found if one.what.startswith("a "))


def test_worst_first() -> None:
    a = judged(ratio(50, 1000, "up"), ratio(0, 1000, "down"), ratio(0, 10, "same"))
    b = judged(ratio(0, 1000, "up"), ratio(50, 1000, "down"), ratio(0, 10, "same"))
    assert [one.word for one in beside(a, b)] == ["worse", "better", "no change seen"]


def test_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["compare", str(RUN), str(RUN)]) == 0
    text = capsys.readouterr().out
    assert "0 worse, 0 better" in text
    assert "recovery of kill-weaviate#1: full service" in text
    assert outcome(["compare", str(RUN), str(RUN), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert set(value["counts"]) == {"no change seen"}
    assert outcome(["compare", str(RUN), "nowhere"]) == 20
