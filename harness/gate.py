"""The promotion gate: what has been seen goes in, what to do with the traffic comes out. Pure; one table.

`TABLE` is the whole rule. Whatever it does not name changes nothing (HOLD), so an input that comes at the wrong moment
can neither promote nor move traffic. The diagram in docs/guides/gate.md is drawn from it.

Beside it stand the absolute rollback triggers ("error rate > 5 % for 2 consecutive minutes"): exact counts in
consecutive windows, each window HIT, CLEAR or, when its data do not suffice, UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from harness.model.judgement import Verdict
from harness.model.rollout import AccuracyTrigger, ErrorTrigger, HealthTrigger, LatencyTrigger, Rollout, Trigger


class State(StrEnum):
    """Where a rollout stands."""

    WAITING = "waiting"  # the new release's instances are starting, no traffic goes there
    SHIFTING = "shifting"  # the step's share is set and not yet seen in the responses
    BAKING = "baking"  # the share is seen, evidence is gathered
    STALLED = "stalled"  # the record or the metrics are lost: nothing moves
    PROMOTING = "promoting"  # all traffic goes to the new release, not yet seen
    ROLLING_BACK = "rolling-back"  # the share is set to 0 because the release is bad, not yet seen
    HALTING = "halting"  # the share is set to 0 because nothing can be said, not yet seen
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled-back"
    HALTED = "halted"
    UNPROVEN = "unproven"  # the share is set to 0, but the responses did not show it in time


class Input(StrEnum):
    """What was seen."""

    READY = "instances ready"
    UNREADY = "instances not ready in time"
    SEEN = "share seen"
    UNSEEN = "share not seen in time"
    DRIFTED = "share left its tolerance"
    LOST = "evidence lost"
    BACK = "evidence back"
    PASS = "step passed"  # noqa: S105
    LAST_PASS = "last step passed"  # noqa: S105
    ENOUGH = "step passed early: shown good enough"
    LAST_ENOUGH = "last step passed early: shown good enough"
    INCONCLUSIVE = "step inconclusive"
    SPENT = "held too often or too long"
    FAIL = "step failed"
    TRIGGERED = "rollback trigger"
    HARM = "shown worse than the baseline"
    STOPPED = "stopped from outside"


class Decision(StrEnum):
    """What to do with the traffic."""

    HOLD = "HOLD"
    ADVANCE = "ADVANCE"
    PROMOTE = "PROMOTE"
    ROLLBACK = "ROLLBACK"
    HALT = "HALT"


FINAL = frozenset({State.PROMOTED, State.ROLLED_BACK, State.HALTED, State.UNPROVEN})
UNDECIDED = (State.WAITING, State.SHIFTING, State.BAKING, State.STALLED, State.PROMOTING)

TABLE: dict[tuple[State, Input], tuple[Decision, State]] = {
    (State.WAITING, Input.READY): (Decision.ADVANCE, State.SHIFTING),
    (State.WAITING, Input.UNREADY): (Decision.ROLLBACK, State.ROLLING_BACK),
    (State.SHIFTING, Input.SEEN): (Decision.HOLD, State.BAKING),
    (State.SHIFTING, Input.UNSEEN): (Decision.HALT, State.HALTING),
    (State.SHIFTING, Input.LOST): (Decision.HOLD, State.STALLED),
    (State.BAKING, Input.PASS): (Decision.ADVANCE, State.SHIFTING),
    (State.BAKING, Input.LAST_PASS): (Decision.PROMOTE, State.PROMOTING),
    (State.BAKING, Input.ENOUGH): (Decision.ADVANCE, State.SHIFTING),
    (State.BAKING, Input.LAST_ENOUGH): (Decision.PROMOTE, State.PROMOTING),
    (State.BAKING, Input.INCONCLUSIVE): (Decision.HOLD, State.BAKING),
    (State.BAKING, Input.DRIFTED): (Decision.HOLD, State.SHIFTING),
    (State.BAKING, Input.LOST): (Decision.HOLD, State.STALLED),
    (State.STALLED, Input.BACK): (Decision.HOLD, State.SHIFTING),
    (State.PROMOTING, Input.SEEN): (Decision.HOLD, State.PROMOTED),
    (State.PROMOTING, Input.UNSEEN): (Decision.HALT, State.HALTING),
    **{
        (state, bad): (Decision.ROLLBACK, State.ROLLING_BACK)
        for state in UNDECIDED
        for bad in (Input.FAIL, Input.TRIGGERED, Input.HARM)
    },
    **{(state, end): (Decision.HALT, State.HALTING) for state in UNDECIDED for end in (Input.SPENT, Input.STOPPED)},
    (State.ROLLING_BACK, Input.SEEN): (Decision.HOLD, State.ROLLED_BACK),
    (State.ROLLING_BACK, Input.UNSEEN): (Decision.HALT, State.UNPROVEN),
    (State.HALTING, Input.SEEN): (Decision.HOLD, State.HALTED),
    (State.HALTING, Input.UNSEEN): (Decision.HALT, State.UNPROVEN),
}

_LAST = {Input.PASS: Input.LAST_PASS, Input.ENOUGH: Input.LAST_ENOUGH}
_HOLDS = frozenset({Input.INCONCLUSIVE, Input.DRIFTED, Input.LOST})


@dataclass(frozen=True)
class Gate:
    """A rollout's place: its state, its step (from 0), and how often this step was held."""

    state: State = State.WAITING
    step: int = 0
    holds: int = 0


def advance(gate: Gate, seen: Input, rollout: Rollout) -> tuple[Gate, Decision]:
    """The next place and what to do. A hold too many is SPENT; a pass of the last judged step is LAST_PASS."""
    for passed, last in _LAST.items():  # whether a pass is the last, nobody outside decides
        if seen in (passed, last):
            seen = last if gate.step + 1 >= len(rollout.judged) else passed
    holding = seen in _HOLDS and (gate.state, seen) in TABLE
    if holding and gate.holds >= rollout.hold.times:
        seen, holding = Input.SPENT, False
    decision, state = TABLE.get((gate.state, seen), (Decision.HOLD, gate.state))
    if seen in _LAST and decision is Decision.ADVANCE:
        return Gate(state, gate.step + 1), decision
    return replace(gate, state=state, holds=gate.holds + holding), decision


def share(gate: Gate, rollout: Rollout) -> float:
    """The share of the traffic that the new release must have in this place."""
    match gate.state:
        case State.SHIFTING | State.BAKING | State.STALLED:
            return rollout.judged[gate.step].share
        case State.PROMOTING | State.PROMOTED:
            return 1.0
        case _:
            return 0.0


def input_of(verdict: Verdict) -> Input:
    """The word of the judge on a step, as an input."""
    return {Verdict.PASS: Input.PASS, Verdict.INCONCLUSIVE: Input.INCONCLUSIVE, Verdict.FAIL: Input.FAIL}[verdict]


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    rows: dict[tuple[State, State, Decision], list[str]] = {}
    for (state, seen), (decision, following) in TABLE.items():
        rows.setdefault((state, following, decision), []).append(seen.value)
    lines = ["stateDiagram-v2", f"    [*] --> {_name(State.WAITING)}"]
    lines += [
        f"    {_name(state)} --> {_name(following)}: {' / '.join(seen)} ▸ {decision}"
        for (state, following, decision), seen in rows.items()
    ]
    lines += [f"    {_name(state)} --> [*]" for state in State if state in FINAL]
    return "\n".join(lines) + "\n"


def _name(state: State) -> str:
    return state.value.replace("-", "_")


# ---- absolute triggers


@dataclass(frozen=True)
class Response:
    """One arrival as the user saw it end. `release` is "" when no response told it, `level` 0.

    `failed`: no answer, an error status, or wrong content. `right` is None when the content was not checked.
    The latency is an interval when the generator started late: [finished − started, finished − intended], in seconds.
    """

    finished_ns: int
    release: str
    journey: str
    failed: bool
    right: bool | None
    least_s: float
    most_s: float
    level: int = 0


class Sign(StrEnum):
    """What one window, or one health check, says about a trigger's condition."""

    HIT = "hit"
    CLEAR = "clear"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Streak:
    """Consecutive windows up to now: surely HIT, and possibly HIT (an UNKNOWN one could have been)."""

    sure: int = 0
    possible: int = 0

    def then(self, sign: Sign) -> Streak:
        match sign:
            case Sign.HIT:
                return Streak(self.sure + 1, self.possible + 1)
            case Sign.UNKNOWN:
                return Streak(0, self.possible + 1)
            case Sign.CLEAR:
                return Streak()


def fired(trigger: Trigger, streak: Streak) -> bool:
    """Whether the trigger's condition surely held in as many consecutive windows as it names."""
    return streak.sure >= trigger.consecutive


def open_question(trigger: Trigger, streak: Streak) -> bool:
    """Whether missing data leave it open that the trigger has fired: nothing may be promoted on that."""
    return streak.possible >= trigger.consecutive and not fired(trigger, streak)


def sign_of(trigger: Trigger, canary: Sequence[Response], unattributed: Sequence[Response]) -> Sign:
    """What a window's responses say about a trigger that counts responses.

    `unattributed` are failures that named no release. Each may have been the canary's or not, and slow or not: HIT and
    CLEAR must hold either way.
    """
    unsure = len(unattributed)
    match trigger:
        case ErrorTrigger():
            limit = Fraction(str(trigger.above))
            low = sum(one.failed for one in canary)
            high = low + unsure
            fewest, most = len(canary), len(canary) + unsure  # a failure more raises the rate
        case LatencyTrigger():
            limit = 1 - Fraction(str(trigger.quantile))
            low = sum(one.least_s > trigger.above for one in canary)
            high = sum(one.most_s > trigger.above for one in canary) + unsure
            fewest = most = len(canary) + unsure
        case AccuracyTrigger():
            limit = 1 - Fraction(str(trigger.below))
            canary = [one for one in canary if one.right is not None and trigger.journey in ("", one.journey)]
            low = high = sum(not one.right for one in canary)  # what was not answered, the error trigger counts
            fewest = most = len(canary)
        case HealthTrigger():
            raise ValueError("health checks are no responses")
    if len(canary) < trigger.minimum:
        return Sign.UNKNOWN
    if low > limit * fewest:
        return Sign.HIT
    return Sign.CLEAR if high <= limit * most else Sign.UNKNOWN


def describe(trigger: Trigger) -> str:
    """The trigger's condition in words."""
    match trigger:
        case ErrorTrigger():
            condition = f"error rate > {trigger.above:.2%}"
        case LatencyTrigger():
            condition = f"P{100 * trigger.quantile:g} > {1000 * trigger.above:g} ms"
        case AccuracyTrigger():
            return (
                f"accuracy < {trigger.below:.3g} in {trigger.consecutive} consecutive windows of {trigger.window:g} s"
            )
        case HealthTrigger():
            return f"{trigger.consecutive} consecutive failed health checks"
    return f"{condition} in {trigger.consecutive} consecutive windows of {trigger.window:g} s"
