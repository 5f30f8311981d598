"""What takes a bad release off at once, whatever else is said of it: windows of its responses, and its health."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness import gate as rules
from harness.errors import TargetError
from harness.gate import Input, Sign, Streak
from harness.model.clock import Clock
from harness.model.rollout import HealthTrigger, Rollout
from harness.ports import Instance, Pages, Target
from harness.run.live import Live

Probe = Callable[[Instance, HealthTrigger], bool]
Word = tuple[Input, str]
S = 1_000_000_000


def page_probe(target: Target) -> Probe:
    """Asks whether an instance's health endpoint answers 200 in time. Who cannot be asked counts as ill."""
    if not isinstance(target, Pages):
        raise TargetError(f"{type(target).__name__} cannot ask an instance for its health")

    def healthy(instance: Instance, check: HealthTrigger) -> bool:
        try:
            target.page(instance, check.port, check.path, check.timeout)
        except TargetError:
            return False
        return True

    return healthy


class Triggers:
    """The absolute triggers: windows of the live record from the first bake on, and health checks."""

    def __init__(self, spec: Rollout, live: Live, probe: Probe, clock: Clock) -> None:
        self._spec, self._live, self._probe, self._clock = spec, live, probe, clock
        self._counting = [one for one in spec.triggers if not isinstance(one, HealthTrigger)]
        self._health = [one for one in spec.triggers if isinstance(one, HealthTrigger)]
        self._streaks = [Streak() for _ in self._counting]
        self._next_ns = [0 for _ in self._counting]
        self._due_ns = [0 for _ in self._health]
        self._failures: dict[tuple[int, str], Streak] = {}
        self._origin_ns: int | None = None
        self.instances: Sequence[Instance] = ()
        self.open = ""  # a trigger that missing data do not rule out

    def start(self, now_ns: int) -> None:
        """The first bake begins: windows are counted from here; later calls change nothing."""
        if self._origin_ns is None:
            self._origin_ns = now_ns
            self._next_ns = [now_ns for _ in self._counting]

    def look(self, note_cause: Callable[[int], None]) -> Word | None:
        """TRIGGERED when one has fired, with the time at which it had; LOST when missing data leave that open."""
        return self._look_health(note_cause) or self._look_windows(note_cause)

    def _look_windows(self, note_cause: Callable[[int], None]) -> Word | None:
        if self._origin_ns is None or not self._counting:
            return None
        seen = self._live(min(self._next_ns))
        for index, trigger in enumerate(self._counting):
            width = int(trigger.window * S)
            while seen.until_ns >= (end := self._next_ns[index] + width):
                inside = [one for one in seen.responses if end - width <= one.finished_ns < end]
                canary = [one for one in inside if one.release == self._spec.canary]
                sign = rules.sign_of(trigger, canary, [one for one in inside if one.failed and not one.release])
                self._streaks[index] = self._streaks[index].then(sign)
                self._next_ns[index] = end
                if rules.fired(trigger, self._streaks[index]):
                    note_cause(end)
                    return Input.TRIGGERED, rules.describe(trigger)
        unsure = [
            one for one, streak in zip(self._counting, self._streaks, strict=True) if rules.open_question(one, streak)
        ]
        self.open = f"too little data to rule out: {rules.describe(unsure[0])}" if unsure else ""
        return (Input.LOST, self.open) if self.open else None

    def _look_health(self, note_cause: Callable[[int], None]) -> Word | None:
        for index, trigger in enumerate(self._health):
            if self._clock.mono_ns() < self._due_ns[index]:
                continue
            self._due_ns[index] = self._clock.mono_ns() + int(trigger.every * S)
            for instance in self.instances:
                sign = Sign.CLEAR if self._probe(instance, trigger) else Sign.HIT
                key = (index, instance.name)
                self._failures[key] = self._failures.get(key, Streak()).then(sign)
                if rules.fired(trigger, self._failures[key]):
                    note_cause(self._clock.mono_ns())
                    return Input.TRIGGERED, f"{instance.name}: {rules.describe(trigger)}"
        return None
