from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.judgement import Interval, Judgement, ObjectiveResult, Verdict
from harness.render import words

RATIOS = st.floats(0, 1)


def _result(**more: object) -> ObjectiveResult:
    values = {
        "slo": "a",
        "service": "b",
        "title": "c",
        "window": "run",
        "source": "d",
        "verdict": "PASS",
        "reason": "e",
    }
    return ObjectiveResult.model_validate(values | more)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.0204, "20.4 ms"),
        (0.15, "150 ms"),
        (0.9999, "1 s"),
        (5.9, "5.9 s"),
        (62.05, "62 s"),
        (125, "2 min 5 s"),
        (300, "5 min"),
        (3599.8, "1 h"),
        (7300, "2 h 2 min"),
        (-1.5, "−1.5 s"),
        (float("nan"), "unknown"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert words.plain(words.duration(seconds)) == said


@pytest.mark.parametrize(
    ("value", "unit", "beside", "said"),
    [
        (0.99934, "ratio", 0.999, "99.93 %"),
        (0.99896, "ratio", 0.999, "99.896 %"),
        (0.9997, "ratio", 0.95, "99.97 %"),  # not rounded up to all
        (0.0001, "ratio", 0.95, "0.01 %"),  # not rounded down to none
        (1.0, "ratio", 0.95, "100 %"),
        (300.01, "s", 300.0, "300.01 s"),
        (0.001002, "usd", 0.001, "$0.001002"),
        (0.00042, "usd", 0.001, "$0.00042"),
        (12345.0, "count", None, "12 345"),
        (1.0, "bool", 1.0, "yes"),
        (None, "s", 1.0, "—"),
        (float("inf"), "s", 1.0, "—"),
    ],
)
def test_amounts(value: float | None, unit: str, beside: float | None, said: str) -> None:
    assert words.plain(words.amount(value, unit, beside=beside)) == said


@given(RATIOS, RATIOS)
def test_a_ratio_never_looks_like_a_target_that_it_does_not_equal(value: float, target: float) -> None:
    if abs(value - target) > 1e-6 and min(value, 1 - value, target, 1 - target) > 1e-6:
        assert words.amount(value, "ratio", beside=target) != words.requirement(_result(target=target))[2:]


@given(st.floats(1e-6, 1 - 1e-6))
def test_a_ratio_is_never_rounded_to_all_or_nothing(value: float) -> None:
    assert words.plain(words.amount(value, "ratio", beside=0.5)) not in ("0 %", "100 %", "0.0 %", "100.0 %")


@given(st.floats(0, 1e7))
def test_a_duration_is_said_to_within_a_percent(seconds: float) -> None:
    units = {"ms": 0.001, "s": 1, "min": 60, "h": 3600}
    parts = words.plain(words.duration(seconds)).split(" ")
    said = sum(float(number) * units[unit] for number, unit in zip(parts[::2], parts[1::2], strict=True))
    assert said == pytest.approx(seconds, rel=0.01, abs=1e-5)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.34, 1.38, "1.34 to 1.38 s"),
        (0.98, 1.2, "980 ms to 1.2 s"),
        (3, None, "at least 3 s"),
        (None, 3, "at most 3 s"),
        (None, None, "—"),
        (2, 2, "2 s"),
        (60, 125, "60 s to 2 min 5 s"),
    ],
)
def test_spans(low: float | None, high: float | None, said: str) -> None:
    assert words.plain(words.span(Interval(low=low, high=high))) == said


def test_an_open_end_is_not_said_to_have_come_back() -> None:
    assert words.plain(words.back(Interval(low=38.2))) == "not within 38.2 s"
    assert words.back(None) == "—"


@pytest.mark.parametrize("hostile", ["\x1b[31m", "\x00", "a\rb", "\u202eabc", "\u2028", "\ud800", "\x9b1m"])
def test_control_characters_do_not_pass(hostile: str) -> None:
    assert not any(sign in words.line(f"x{hostile}y") for sign in hostile if not sign.isprintable())


def test_a_line_is_one_line_and_no_longer_than_asked() -> None:
    assert words.line("a\n\n  b\tc") == "a b c"
    assert words.line("x" * 50, 10) == "x" * 9 + "…"


def test_sentences_do_not_capitalise_names() -> None:
    assert words.sentence("too slow") == "Too slow."
    assert words.sentence("kill-weaviate#1: no journal") == "kill-weaviate#1: no journal."
    assert words.sentence("") == ""


def test_the_verdict_is_not_said_twice() -> None:
    judgement = Judgement(run_id="r", rules="1", verdict=Verdict.FAIL, sentence="FAIL: it is slow", objectives=())
    assert words.why(judgement) == "It is slow"


def test_requirements() -> None:
    assert words.plain(words.requirement(_result(target=0.999))) == "≥ 99.9 %"
    assert words.plain(words.requirement(_result(target=300.0, unit="s", comparison="<="))) == "≤ 5 min"
    assert words.requirement(_result(target=None)) == "—"


def test_the_worst_comes_first() -> None:
    results = tuple(
        _result(service=service, verdict=verdict)
        for service, verdict in (("a", "PASS"), ("b", "PASS"), ("b", "FAIL"), ("c", "INCONCLUSIVE"))
    )
    order = [(name, [item.verdict for item in items]) for name, items in words.failures_first(results)]
    assert order == [("b", ["FAIL", "PASS"]), ("c", ["INCONCLUSIVE"]), ("a", ["PASS"])]


def test_what_decides() -> None:
    ends = {"interval": {"low": 0.9, "high": 1.0}, "observed": {"low": 0.97, "high": 0.98}}
    assert words.deciding(_result(claim="run", **ends)).low == 0.97
    assert words.deciding(_result(claim="system", **ends)).low == 0.9
    assert words.deciding(_result(claim="run", interval=ends["interval"])).low == 0.9
