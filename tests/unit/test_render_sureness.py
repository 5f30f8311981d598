"""How sure, what would settle it, and the drawing: the words a person without statistics decides by."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.judge import bounds
from harness.judge.decide import Counts, decide
from harness.model.judgement import Correction, Interval, Judgement, ObjectiveResult, Verdict
from harness.render import intervals
from harness.render.sureness import besides, how_sure, overall, settle


def _ratio(counts: Counts, target: float = 0.99, claim: Any = "system", confidence: float = 0.95) -> ObjectiveResult:
    """As the judge would give it."""
    told = decide(counts, target, claim, confidence, 1, "request")
    return ObjectiveResult(
        slo="s", service="api", title="t", window="steady", source="RequestRecord", claim=claim, confidence=confidence,
        target=target, measured=told.measured, interval=told.interval, observed=told.observed, events=counts.events,
        bad=counts.bad, unknown=counts.unknown, verdict=told.verdict, reason=told.reason,
    )  # fmt: skip


def _value(low: float | None, high: float | None, limit: float, verdict: Verdict, unit: str = "s") -> ObjectiveResult:
    span = Interval(low=low, high=high)
    return ObjectiveResult(
        slo="s", service="api", title="t", window="fault", experiment="kill", source="Recovery", target=limit,
        comparison="<=", unit=unit, measured=high if high is not None else low, interval=span, observed=span, events=1,
        verdict=verdict, reason="",
    )  # fmt: skip


def _flat(text: str) -> str:
    return text.replace("\u202f", " ").replace("\u00a0", " ")


def _x(drawing: str, class_: str) -> list[float]:
    """Left ends of what bears a class."""
    return [float(x) for x in re.findall(rf'(?:\bx|cx|x1)="([\d.-]+)"[^>]*class="{class_}"', drawing)]


# ---- how sure --------------------------------------------------------------------------------------------------------


def test_a_pass_of_the_platform_says_what_a_worse_one_would_do() -> None:
    result = _ratio(Counts(2000, 2))
    assert result.verdict is Verdict.PASS
    assert _flat(how_sure(result)) == (
        "If the platform were worse than 99.68 %, a run this good would be seen less than 5 times in 100."
    )


def test_the_sentence_is_true_of_the_bound() -> None:
    """A platform at the bound that is told shows a run as good as this in at most 5 of 100 cases."""
    good, bad = 2000, 2
    low = bounds.lower(good, good + bad, 0.95)
    as_good = bounds.incomplete_beta(good, bad + 1, low)  # P(at least `good` of all are good), DLMF 8.17.5
    assert as_good == pytest.approx(0.05, abs=1e-6)


def test_a_fail_of_the_platform_says_what_a_better_one_would_do() -> None:
    assert "a run this bad would be seen less than 5 times in 100" in _flat(how_sure(_ratio(Counts(900, 100))))


@pytest.mark.parametrize(
    ("confidence", "chance"),
    [(0.9, "10 times in 100"), (0.99, "once in 100"), (0.975, "25 times in 1 000"), (0.999, "once in 1 000")],
)
def test_chances_are_told_as_counts(confidence: float, chance: str) -> None:
    assert f"less than {chance}." in _flat(how_sure(_ratio(Counts(100_000, 0), confidence=confidence)))


def test_a_count_infers_nothing() -> None:
    result = _ratio(Counts(999, 1), claim="run")
    assert how_sure(result) == "This is what happened, counted: nothing was inferred."
    assert "Of runs to come it says less" in besides(result)[0]
    assert besides(_ratio(Counts(2000, 2))) == ()


def test_a_run_that_is_worth_one_event_says_nothing_of_later_ones() -> None:
    result = _ratio(Counts(999, 1), claim="run").model_copy(update={"effective": 1.0, "correlation_s": 1.0})
    assert besides(result) == ("The run is too short to say anything of later ones.",)


def test_a_counted_miss_is_no_bad_luck() -> None:
    def told(missed: ObjectiveResult) -> str:
        found = (_ratio(Counts(2000, 2)), missed)
        correction = Correction(false_fail=0.05, claims=2)
        return overall(
            Judgement(
                run_id="r", rules={"*": 1}, verdict=Verdict.FAIL, sentence="", objectives=found, correction=correction
            )
        )

    assert told(_ratio(Counts(900, 100), claim="run")).endswith("not estimated: it did happen.")
    assert "By luck alone" in told(_ratio(Counts(900, 100)))


def test_what_hangs_together_is_told() -> None:
    result = _ratio(Counts(2000, 2)).model_copy(update={"effective": 40.0, "correlation_s": 1.0})
    assert _flat(besides(result)[0]) == (
        "Its 2 002 events count as 40 independent ones, since what goes wrong within 1 s may have one cause."
    )


def test_a_fail_among_many_is_stricter() -> None:
    result = _ratio(Counts(900, 100)).model_copy(update={"fail_confidence": 0.995})
    assert "less than 5 times in 1 000" in _flat(how_sure(result))
    assert "several were judged at once" in besides(result)[0]


def test_unknown_events_are_told_at_their_worst() -> None:
    assert "Even had all 5 events without a known outcome been bad" in how_sure(_ratio(Counts(995, 0, 5), claim="run"))
    assert "been good, the limit would be missed" in how_sure(_ratio(Counts(900, 95, 5), claim="run"))


def test_nothing_known_is_told_as_that() -> None:
    result = _ratio(Counts(0, 0))
    assert "without data nothing passes" in how_sure(result)
    assert "data that are missing" in settle(result)
    assert intervals.drawing(result) == ""


def test_times_are_told_by_their_ends() -> None:
    assert "even the worst of that meets the limit" in how_sure(_value(3.0, 4.0, 30.0, Verdict.PASS))
    assert "even the best of that misses the limit" in how_sure(_value(40.0, None, 30.0, Verdict.FAIL))
    assert "not shown to be met or missed" in how_sure(_value(20.0, 40.0, 30.0, Verdict.INCONCLUSIVE))
    assert "nothing was inferred" in how_sure(_value(3.0, 3.0, 30.0, Verdict.PASS))


# ---- what would settle it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [Counts(200, 0), Counts(1000, 5), Counts(5000, 40)])
def test_so_many_more_events_would_settle_it(counts: Counts) -> None:
    """Told events more, as good as so far, are a PASS; a tenth fewer are not."""
    result = _ratio(counts)
    assert result.verdict is Verdict.INCONCLUSIVE
    told = _flat(settle(result, 60.0))
    more = int(re.sub(r"\D", "", told.split(" more ")[0]))
    assert "longer at this load" in told

    def then(extra: float) -> Verdict:
        events = round(counts.events + extra)
        bad = -(-counts.bad * events // counts.events)
        return _ratio(Counts(events - bad, bad)).verdict

    assert then(more) is Verdict.PASS
    assert then(more * 0.8) is Verdict.INCONCLUSIVE


def test_events_that_hang_together_need_a_longer_run() -> None:
    """Clean events worth 12 independent ones against 99.9 %: 2995 are needed, 250 times this run."""
    result = _ratio(Counts(978, 0), 0.999).model_copy(update={"effective": 12.0, "correlation_s": 1.0})
    assert "About 250 000 more events, without a bad one: 4 h 16 min longer at this load." in _flat(
        settle(result, 60.0)
    )


def test_on_the_bad_side_more_of_the_same_is_no_promise_of_a_pass() -> None:
    result = _ratio(Counts(98, 2))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "would sooner show a FAIL" in settle(result, 60.0)


def test_how_many_of_the_unknown_may_be_bad() -> None:
    result = _ratio(Counts(985, 3, 12), claim="run")
    assert "the limit is met if at most 7 of them were bad" in settle(result)
    assert _ratio(Counts(985 + 5, 3 + 7), claim="run").verdict is Verdict.PASS
    assert _ratio(Counts(985 + 4, 3 + 8), claim="run").verdict is Verdict.FAIL


def test_only_what_is_open_wants_settling() -> None:
    assert settle(_ratio(Counts(2000, 2))) == settle(_ratio(Counts(900, 100))) == ""


# ---- the drawing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "target"),
    [(Counts(2000, 2), 0.99), (Counts(900, 100), 0.99), (Counts(1000, 5), 0.99), (Counts(100_000, 3), 0.9999),
     (Counts(0, 50), 0.5), (Counts(10, 0), 0.05)],
)  # fmt: skip
def test_the_bar_lies_where_the_verdict_says(counts: Counts, target: float) -> None:
    """On the good side for a PASS, on the bad side for a FAIL, over the limit otherwise."""
    result = _ratio(counts, target)
    scale = intervals.axis(result)
    assert result.interval.low is not None
    assert result.interval.high is not None
    low, limit, high = (scale.place(value) for value in (result.interval.low, target, result.interval.high))
    assert intervals.EDGE <= low <= high <= intervals.WIDTH - intervals.EDGE + 1e-9
    expected = {Verdict.PASS: limit <= low, Verdict.FAIL: high <= limit, Verdict.INCONCLUSIVE: low <= limit <= high}
    assert expected[result.verdict]


def test_99_and_99_9_percent_stand_apart() -> None:
    place = intervals.axis(_ratio(Counts(1_000_000, 100), 0.999)).place
    assert place(0.999) - place(0.99) > 30
    assert place(1.0) == intervals.WIDTH - intervals.EDGE


@pytest.mark.parametrize(
    ("result", "labels"),
    [
        (_value(17.0, 17.0, 900.0, Verdict.PASS), "10 s|100 s|1000 s"),
        (_value(100.0, 110.0, 300.0, Verdict.PASS), "0 min|2 min|4 min|6 min"),
        (_value(0.0, 0.0, 0.0, Verdict.PASS, "count"), "0|1|2"),
        (_value(0.0004, 0.0004, 0.001, Verdict.PASS, "usd"), "$0|$0.00050|$0.0010"),
    ],
)
def test_axes_have_round_labels(result: ObjectiveResult, labels: str) -> None:
    assert _flat("|".join(text for _, text in intervals.axis(result).ticks)) == labels


def test_an_end_that_nobody_knows_is_an_arrow_off_the_axis() -> None:
    drawing = str(intervals.drawing(_value(40.0, None, 30.0, Verdict.FAIL)))
    assert re.search(r'<polygon points="239[^"]*" class="strong missed"', drawing)
    assert drawing.count('class="cap missed"') == 1


def test_verdicts_differ_by_shape_not_only_by_colour() -> None:
    shapes = {
        re.search(r"<(\w+) [^>]*class=\"measured", str(intervals.drawing(_ratio(counts)))) for counts in
        (Counts(2000, 2), Counts(900, 100))
    }  # fmt: skip
    assert {found[1] for found in shapes if found} == {"circle", "polygon"}


def test_the_drawing_has_its_words() -> None:
    told = _flat(intervals.told(_ratio(Counts(2000, 2))))
    assert told.startswith("Measured 99.9 %; it can be 99.7 % to")
    assert "The limit is ≥ 99 %: all of it on the good side." in told
