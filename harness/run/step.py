"""What one step of a rollout is judged by: the canary's own requests of the bake, as evidence like any other.

A failure that names no release may or may not have been the canary's. So the step is judged twice, without them and
with all of them; what both say holds, and where they differ the step is inconclusive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from harness.journal import log
from harness.judge import judge, selectors
from harness.judge.objectives import ALWAYS
from harness.model.events import (
    AnyEvent,
    ChildEnded,
    ClockRead,
    GuardTripped,
    Problem,
    RunClosed,
    ScheduleFixed,
    Window,
)
from harness.model.evidence import Evidence, MetricAnswer
from harness.model.judgement import Judgement, Verdict
from harness.model.records import Outcome
from harness.model.scenario import RolloutStep
from harness.model.slo import Slo
from harness.ports import MetricSource
from harness.run.context import RunContext
from harness.run.observe import monotonic_to_wall

if TYPE_CHECKING:
    import pyarrow as pa

_BESIDES = (ClockRead, Problem, ChildEnded, GuardTripped)


def step_judge(
    context: RunContext,
    slos: Sequence[Slo],
    requests: Callable[[], pa.Table],
    generator: Callable[[], pa.Table],
    metrics: MetricSource | None = None,
) -> Callable[[RolloutStep, int, int], Judgement]:
    """A judge of steps over the live record. `metrics` is asked for what the objectives need of Prometheus."""
    rollout = context.spec.rollout
    assert rollout is not None
    canary, alone = rollout.canary, context.spec.model_copy(update={"rollout": None, "experiments": ()})
    asked = sorted(set(selectors(slos)) - set(ALWAYS))

    def judge_step(step: RolloutStep, from_ns: int, to_ns: int) -> Judgement:
        rows, seconds = requests(), generator()
        answers: tuple[MetricAnswer, ...] = ()
        samples = None
        if asked and metrics is not None:
            samples, answers = _samples(metrics, asked, from_ns, to_ns)
        events = [event for event in log.read(context.folder.journal) if isinstance(event, _BESIDES)]

        def told(with_nameless: bool) -> Judgement:
            mine = of_release(rows, canary, from_ns, to_ns, with_nameless)
            evidence = Evidence(
                run_id=context.folder.run_id,
                scenario=alone,
                events=_events(events, from_ns, to_ns, mine.num_rows),
                requests=mine,
                beacon=None,
                generator=seconds,
                ledger=None,
                readback=None,
                samples=samples,
                primaries=None,
                metrics=answers,
            )
            return judge(evidence, slos)

        return agreed(told(False), told(True))

    return judge_step


def of_release(requests: pa.Table, release: str, from_ns: int, to_ns: int, with_nameless: bool) -> pa.Table:
    """The rows intended in [from, to) that this release answered, numbered anew as arrivals from 0.

    Drops of the generator always belong to them, for they are nobody's; `with_nameless` also takes the requests that
    were sent and ended without an answer that named a release.
    """
    import numpy as np
    import pyarrow as pa

    intended = requests["intended_ns"].to_numpy()
    outcome = requests["outcome"].to_numpy()
    named = np.asarray(requests["release"].cast(pa.string()).to_pylist(), dtype=object)
    mine = (named == release) | (outcome == Outcome.DROPPED)
    if with_nameless:
        mine |= (named == "") & ~np.isin(outcome, (Outcome.SKIPPED, Outcome.UNFINISHED))
    found = requests.filter(pa.array((intended >= from_ns) & (intended < to_ns) & mine)).sort_by("arrival")
    place = found.schema.get_field_index("arrival")
    return found.set_column(place, "arrival", pa.array(np.arange(found.num_rows, dtype=np.int64)))


def agreed(without: Judgement, with_: Judgement) -> Judgement:
    """The judgement that holds either way; INCONCLUSIVE where the two differ."""
    if without.verdict is with_.verdict:
        return without
    sentence = (
        f"{Verdict.INCONCLUSIVE}: it depends on whose failures those were that named no release "
        f"({without.sentence} Or: {with_.sentence})"
    )
    return with_.model_copy(update={"verdict": Verdict.INCONCLUSIVE, "sentence": sentence})


def _events(besides: Sequence[AnyEvent], from_ns: int, to_ns: int, arrivals: int) -> tuple[AnyEvent, ...]:
    """The bake as a whole little run: one window, as many arrivals due as there are, and what went wrong since."""
    stamp = {"mono_ns": to_ns, "wall_ns": to_ns + monotonic_to_wall()[0]}
    schedule = ScheduleFixed(
        origin_ns=from_ns, seed=0, duration_s=(to_ns - from_ns) / 1e9, arrivals={}, expected=arrivals, **stamp
    )
    since = [event for event in besides if isinstance(event, ClockRead) or event.mono_ns >= from_ns]
    return (
        *since,
        Window(kind="steady", start_ns=from_ns, end_ns=to_ns, **stamp),
        schedule,
        RunClosed(reason="end of the bake", clean=True, **stamp),
    )


def _samples(
    metrics: MetricSource, asked: Sequence[str], from_ns: int, to_ns: int
) -> tuple[Any, tuple[MetricAnswer, ...]]:
    import pyarrow as pa

    offset, _ = monotonic_to_wall()
    found = [metrics.samples(selector, (from_ns + offset) / 1e9, (to_ns + offset) / 1e9) for selector in asked]
    return pa.concat_tables([table for table, _ in found]), tuple(answer for _, answer in found)
