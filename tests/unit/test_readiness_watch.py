"""The watch that asks the cluster who is Ready: changes with their bounds, silence, and its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from harness.errors import TargetError
from harness.model.events import AnyEvent, ReadinessSeen, ReadinessWatched
from harness.run.readiness import ReadinessWatch

Seen = Mapping[tuple[str, str], tuple[Sequence[str], Sequence[str]]]
API = ("api", "sjc")


def script(*answers: Seen | None) -> Callable[[], Seen]:
    """Gives these in turn (None: no answer), and the last one for ever."""
    left = list(answers)

    def look() -> Seen:
        found = left.pop(0) if len(left) > 1 else left[0]
        if found is None:
            raise TargetError("nobody answers")
        return found

    return look


def watched(*answers: Seen | None, seconds: float = 0.3) -> list[AnyEvent]:
    events: list[AnyEvent] = []
    watch = ReadinessWatch(script(*answers), events.append, every_s=0.02)
    time.sleep(seconds)
    watch.stop()
    watch.stop()
    return events


def test_what_changed_is_told_with_its_bounds() -> None:
    events = watched({API: (["b", "a"], [])}, {API: (["a"], ["b"])}, {API: (["a"], ["b"])}, {API: (["a", "c"], [])})
    *seen, whole = events
    assert [(each.ready, each.unready) for each in seen if isinstance(each, ReadinessSeen)] == [
        (("a", "b"), ()),
        (("a",), ("b",)),
        (("a", "c"), ()),
    ]
    first, second, third = seen
    assert first.since_ns == 0
    assert 0 < second.since_ns < second.seen_ns <= third.since_ns < third.seen_ns
    assert isinstance(whole, ReadinessWatched)
    assert whole.failed == 0
    assert whole.looks >= 4
    assert whole.from_ns < first.seen_ns < whole.until_ns
    assert 0.0 < whole.longest_s < 0.3


def test_looks_without_an_answer_widen_the_bounds() -> None:
    first, second, whole = watched({API: (["a"], [])}, None, None, None, {API: ([], ["a"])})
    assert second.since_ns < first.seen_ns  # the last look that had an answer
    assert (second.seen_ns - second.since_ns) / 1e9 >= 0.06
    assert whole.failed == 3
    assert whole.longest_s >= 0.06


def test_silence_before_the_first_answer_is_silence() -> None:
    first, whole = watched(None, None, None, None, {API: (["a"], [])})
    assert first.since_ns == 0, "nothing is known of before"
    assert whole.failed == 4
    assert whole.longest_s >= 0.07


def test_where_nobody_ever_answered_all_of_it_is_silence() -> None:
    (whole,) = watched(None, seconds=0.2)
    assert (whole.looks, whole.until_ns) == (whole.failed, 0)
    assert whole.longest_s >= 0.2


def test_a_place_that_is_gone_has_nobody() -> None:
    _, second, _ = watched({API: (["a"], [])}, {})
    assert (second.service, second.ready, second.unready) == ("api", (), ())


def test_nothing_is_told_after_the_end() -> None:
    events: list[AnyEvent] = []

    def slow() -> Seen:
        time.sleep(0.2)
        return {API: (["a"], [])}

    watch = ReadinessWatch(slow, events.append, every_s=0.01)
    time.sleep(0.05)
    watch.stop()
    time.sleep(0.3)
    assert [each.event for each in events] == ["readiness.watched"]
    assert events[0].looks == 0
    assert events[0].longest_s >= 0.05, "its one look hung until the end"
