"""All criteria of a comparison under one null, folded block by block: what the gate looks at every second.

The same record gives the same word, whether it is folded while it grows or read from the run's folder later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from harness.judge.sequential.canary import Block, Margin, Null, Test, begin, with_constant_rates
from harness.judge.sequential.record import STABLE, Record, count, thresholds, unknown
from harness.model.events import Compared, CriterionSeen
from harness.model.rollout import Comparison, ContentCriterion, Criterion, Rollout, ShiftCriterion, SlowCriterion

S = 1_000_000_000


@dataclass(frozen=True)
class Line:
    """One criterion at one threshold: its test, and the sums of its blocks in either reading of what is unknown.

    The sums count the stable release from the start of the record.
    """

    threshold: float
    test: Test
    totals: tuple[Block, Block]


@dataclass(frozen=True)
class Watch:
    """Every criterion against one null, from `from_ns` up to the last whole block before `until_ns`."""

    spec: Comparison
    null: Null
    from_ns: int
    until_ns: int
    lines: tuple[tuple[Line, ...], ...]  # one tuple for each criterion; empty while it has no threshold to count by
    unknown: int = 0

    def then(self, seen: Record, until_ns: int) -> Watch:
        """After the whole blocks up to `until_ns`; `seen` holds at least what ended from self.until_ns on."""
        watch, width = self, block_ns(self.spec)
        while watch.until_ns + width <= until_ns:
            block = seen.between(watch.until_ns, watch.until_ns + width)
            watch = replace(
                watch,
                until_ns=watch.until_ns + width,
                unknown=watch.unknown + unknown(block),
                lines=tuple(
                    tuple(_after(line, block, criterion, self) for line in lines)
                    for criterion, lines in zip(self.spec.criteria, watch.lines, strict=True)
                ),
            )
        return watch

    def log_evidence(self, index: int) -> float:
        """log of the e-process of a criterion. Of a shift's quantiles one suffices for harm (their e-processes are
        averaged), and all are needed for good enough (the least counts); before there are any it is 0.
        """
        logs = [_log_evidence(line, self) for line in self.lines[index]]
        if not logs:
            return 0.0
        if self.null is Null.WORSE:
            return min(logs)
        return float(np.logaddexp.reduce(logs)) - math.log(len(logs))


def watch(spec: Comparison, null: Null, history: Record, from_ns: int) -> Watch:
    """A watch before its first block; `history` is what ended before `from_ns`."""
    lines = tuple(
        tuple(_line(criterion, threshold, null, history) for threshold in thresholds(criterion, history))
        for criterion in spec.criteria
    )
    return Watch(spec, null, from_ns, from_ns, lines)


def levels(rollout: Rollout) -> tuple[float, float]:
    """(log of the evidence that is harm, log of the evidence that is good enough).

    alpha is shared alike by all criteria in all judged steps: any of them takes the canary off. beta is shared by the
    bakes that one step may have (hold.times + 1) and by nothing else: *all* criteria in *all* steps must be shown.
    """
    spec = rollout.compare
    assert spec is not None
    harm = math.log(len(spec.criteria) * len(rollout.judged) / spec.alpha)
    return harm, math.log((rollout.hold.times + 1) / spec.beta)


def harmed(harm: Watch, level: float) -> list[int]:
    """The criteria on which the canary is worse than its margin."""
    return [index for index in range(len(harm.spec.criteria)) if harm.log_evidence(index) >= level]


def enough(good: Watch, level: float) -> bool:
    """Whether the canary is shown to be within its margin on every criterion."""
    return all(good.log_evidence(index) >= level for index in range(len(good.spec.criteria)))


def word(harm: Watch, good: Watch, rollout: Rollout) -> Literal["harm", "enough", "open"]:
    """What the comparison says; harm goes before good enough."""
    at_harm, at_enough = levels(rollout)
    if harmed(harm, at_harm):
        return "harm"
    return "enough" if enough(good, at_enough) else "open"


def compared(harm: Watch, good: Watch, rollout: Rollout, step: int) -> Compared:
    """What stands in the journal: the word, and for each criterion counts and evidence."""
    return Compared(
        step=step,
        word=word(harm, good, rollout),
        from_ns=harm.from_ns,
        bake_ns=good.from_ns,
        until_ns=max(harm.until_ns, good.until_ns),
        unknown=good.unknown,
        criteria=tuple(
            CriterionSeen(
                criterion=name(criterion),
                **_counts(harm.lines[index]),
                harm=_digits(harm.log_evidence(index)),
                enough=_digits(good.log_evidence(index)),
            )
            for index, criterion in enumerate(harm.spec.criteria)
        ),
    )


def again(told: Compared, record: Record, rollout: Rollout) -> Compared:
    """The same from the whole record of the run."""
    assert rollout.compare is not None
    harm, good = (
        watch(rollout.compare, null, record.between(0, from_ns), from_ns).then(
            record.between(from_ns, told.until_ns), told.until_ns
        )
        for null, from_ns in ((Null.NOT_WORSE, told.from_ns), (Null.WORSE, told.bake_ns))
    )
    return compared(harm, good, rollout, told.step)


def reason(harm: Watch, index: int) -> str:
    """Why the canary is taken off."""
    criterion, counts = harm.spec.criteria[index], _counts(harm.lines[index])
    return (
        f"{name(criterion)}: {counts['canary_bad']} of {counts['canary']} responses of the canary, "
        f"{counts['stable_bad']} of {counts['stable']} of the baseline so far; {allowed(criterion)} is allowed "
        f"(evidence {math.exp(min(harm.log_evidence(index), 690.0)):.3g} to 1)"
    )


def block_ns(spec: Comparison) -> int:
    return round(spec.block * S)


def name(criterion: Criterion) -> str:
    """What a criterion is called in the journal and in reasons."""
    match criterion:
        case SlowCriterion():
            return f"slower than {1000 * criterion.above:g} ms"
        case ShiftCriterion():
            quantiles = ", ".join(f"P{100 * q:g}" for q in criterion.quantiles)
            return f"slower than the baseline's {quantiles}"
        case ContentCriterion():
            return "wrong or degraded"
        case _:
            return "errors"


def allowed(criterion: Criterion) -> str:
    """A criterion's margin in words."""
    if criterion.ratio == 0:
        return f"at most {criterion.plus:.2%}"
    times = "" if criterion.ratio == 1 else f"{criterion.ratio:g} times "
    return f"at most {times}the baseline's share" + (f" + {criterion.plus:.2%}" if criterion.plus else "")


def _line(criterion: Criterion, threshold: float, null: Null, history: Record) -> Line:
    before = count(history.where(history.side == STABLE), criterion, threshold, null)[0]
    test = begin(null, Margin(criterion.ratio, criterion.plus), before.stable_bad, before.stable)
    return Line(threshold, test, (before, before))


def _after(line: Line, block: Record, criterion: Criterion, of: Watch) -> Line:
    readings = count(block, criterion, line.threshold, of.null)
    totals = (line.totals[0] + readings[0], line.totals[1] + readings[-1])
    if of.spec.assume == "together":
        readings = tuple(reading.as_one_event() for reading in readings)
    return replace(line, test=line.test.then(*readings), totals=totals)


def _log_evidence(line: Line, of: Watch) -> float:
    found = float(line.test.log_evidence)
    if of.spec.assume != "constant":
        return found
    return min(float(with_constant_rates(line.test, total)) for total in line.totals)


def _counts(lines: tuple[Line, ...]) -> dict[str, int]:
    """Sure counts at the first threshold."""
    names = ("canary_bad", "canary", "stable_bad", "stable")
    return {field: int(getattr(lines[0].totals[0], field)) if lines else 0 for field in names}


def _digits(log: float) -> float:
    """Powers of ten, to a digit that every machine agrees on."""
    return round(log / math.log(10), 6)
