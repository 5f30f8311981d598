"""Judging one step of a rollout while the run goes on: the evidence so far, handed to the judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from harness.journal import log
from harness.judge import selectors
from harness.judge.objectives import ALWAYS
from harness.judge.rollout import judge_bake
from harness.model.events import Window
from harness.model.evidence import Evidence, MetricAnswer
from harness.model.judgement import Judgement
from harness.model.rollout import RolloutStep
from harness.model.slo import Slo
from harness.ports import MetricSource
from harness.run.clocks import monotonic_to_wall
from harness.run.context import RunContext

if TYPE_CHECKING:
    import pyarrow as pa


def step_judge(
    context: RunContext,
    slos: Sequence[Slo],
    requests: Callable[[], pa.Table],
    generator: Callable[[], pa.Table],
    metrics: MetricSource | None = None,
) -> Callable[[RolloutStep, int, int], Judgement]:
    """A judge of steps over the live record. `metrics` is asked for what the objectives need of Prometheus.

    Each bake that it is asked about stands in the journal as a window, so that it can be judged again offline.
    """
    rollout = context.spec.rollout
    assert rollout is not None
    needed = selectors(slos)
    asked = needed if set(needed) - set(ALWAYS) else []

    def judge_step(step: RolloutStep, from_ns: int, to_ns: int) -> Judgement:
        samples, answers = _samples(metrics, asked, from_ns, to_ns) if asked and metrics is not None else (None, ())
        context.record(Window(kind="bake", experiment=f"{step.share:.0%}", start_ns=from_ns, end_ns=to_ns))
        evidence = Evidence(
            run_id=context.folder.run_id,
            scenario=context.spec,
            events=log.read(context.folder.journal),
            requests=requests(),
            beacon=None,
            generator=generator(),
            ledger=None,
            readback=None,
            samples=samples,
            primaries=None,
            metrics=answers,
        )
        return judge_bake(evidence, slos, rollout.canary, from_ns, to_ns)

    return judge_step


def _samples(
    metrics: MetricSource, asked: Sequence[str], from_ns: int, to_ns: int
) -> tuple[Any, tuple[MetricAnswer, ...]]:
    import pyarrow as pa

    offset, _ = monotonic_to_wall()
    found = [metrics.samples(selector, (from_ns + offset) / 1e9, (to_ns + offset) / 1e9) for selector in asked]
    return pa.concat_tables([table for table, _ in found]), tuple(answer for _, answer in found)
