import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.base import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20ms", 0.02), ("5s", 5), ("1.5s", 1.5), ("2m", 120), ("1h", 3600), ("28d", 2419200), ("4w", 2419200)],
)
def test_known_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["5", "s", "-5s", "5 s", "1h30m", "5S", "", "1e3s", "五s", 5, None, [5]])
def test_other_writings_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@given(st.integers(1, 10_000_000))
def test_writing_and_reading_whole_seconds_is_the_same(seconds: int) -> None:
    assert parse_duration(format_duration(float(seconds))) == pytest.approx(seconds)
