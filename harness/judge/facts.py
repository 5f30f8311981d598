"""What many objectives need of the evidence, worked out once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from harness.judge.classes import Classified, Grid, Tally, classify, grid, tally
from harness.judge.decidable import claim_of, correlation_of
from harness.judge.decide import Claim
from harness.judge.requests import latency_ns
from harness.judge.rows import Record, read_rows
from harness.judge.samples import Samples
from harness.judge.windows import Span, choose, spans_of
from harness.model.events import (
    ClockRead,
    ExperimentEnded,
    ExperimentSkipped,
    FaultInjected,
    FaultIntended,
    FaultLanded,
    InstancesSeen,
    ScheduleFixed,
)
from harness.model.evidence import Evidence
from harness.model.judgement import Correction
from harness.model.slo import RequestFilter, RequestRatio, Slo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.judge.agreement import Agreement
    from harness.judge.rows import Rows

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """One injection: its effect was made in [from_ns, to_ns]; `landed` False when nobody saw it."""

    experiment: str
    fault: str
    from_ns: int
    to_ns: int
    landed: bool
    span: Span | None

    @property
    def name(self) -> str:
        return self.experiment.partition("#")[0]


@dataclass(frozen=True)
class Clock:
    """wall = monotonic + offset_ns, give or take error_ns."""

    offset_ns: int
    error_ns: int


class Facts:
    """Derived from evidence and objectives alone; every property is computed when first asked for."""

    def __init__(self, evidence: Evidence, slos: Sequence[Slo]) -> None:
        self.evidence = evidence
        self.slos = tuple(slos)
        self.spans = spans_of(evidence.events)
        self.compared: dict[str, tuple[Agreement, ...] | str] = {}  # by SLO; see harness.judge.agreement
        self._made: dict[tuple[object, ...], object] = {}
        self.promises = {
            slo.annotations.experiment: frozenset(slo.annotations.levels) for slo in slos if slo.annotations.levels
        }

    def of(self, kind: type, /) -> list:  # type: ignore[type-arg]
        """All events of a type, in order."""
        return [event for event in self.evidence.events if isinstance(event, kind)]

    def judged(self, slo: Slo) -> tuple[Span, ...]:
        """The spans of this SLO."""
        return choose(self.spans, slo.annotations.window, slo.annotations.experiment)

    def claim(self, slo: Slo) -> Claim:
        """What the SLO speaks of: this run, or the platform."""
        return claim_of(slo, self.evidence.scenario)

    def asked(self, slo: Slo) -> bool:
        """Whether this run judges the SLO: not one about an experiment it has not, or that only many runs can show."""
        return slo.in_one_run and (not slo.annotations.experiment or slo.annotations.experiment in self.experiments)

    @cached_property
    def correction(self) -> Correction:
        """Of the FAIL side, by how many objectives claim something of the platform and could FAIL by chance."""
        claims = sum(len(slo.objectives) for slo in self.slos if self.asked(slo) and self.claim(slo) == "system")
        return Correction(false_fail=self.evidence.scenario.false_fail, claims=claims)

    def fail_confidence(self, slo: Slo) -> float:
        """The level of the FAIL side, corrected."""
        share = self.correction.false_fail / max(1, self.correction.claims)
        return max(slo.annotations.confidence, 1.0 - share)

    def correlation_s(self, slo: Slo) -> float:
        """Within how many seconds events may hang together."""
        return correlation_of(slo, self.evidence.scenario)

    @cached_property
    def schedule(self) -> ScheduleFixed | None:
        """The last word on what the load had to do."""
        found: list[ScheduleFixed] = self.of(ScheduleFixed)
        return found[-1] if found else None

    @cached_property
    def requests(self) -> Record | None:
        """Every arrival that the schedule holds; those without a record are in `missing`."""
        if self.evidence.requests is None:
            return None
        schedule = self.schedule
        until = schedule.origin_ns + round(schedule.duration_s * 1e9) if schedule else None
        return read_rows(
            self.evidence.requests,
            expected=schedule.expected if schedule else None,
            from_ns=schedule.origin_ns if schedule else None,
            until_ns=until,
        )

    @cached_property
    def beacon(self) -> Record | None:
        """Every probe; those without a record are in `missing`."""
        if self.evidence.beacon is None:
            return None
        ends = [span.end_ns for span in self.spans]
        return read_rows(
            self.evidence.beacon,
            expected=None,
            from_ns=None,
            until_ns=max(ends, default=None),
            every_ns=round(self.evidence.scenario.beacon.every * 1e9),
        )

    def tally(
        self,
        record: Record,
        ratio: RequestRatio,
        spans: Sequence[Span],
        apart: Callable[[Rows], NDArray[np.int64] | int] | None = None,
    ) -> Tally:
        """The record's classes, fine enough for this ratio over these spans; made once for all objectives."""
        found = self.classified(record, ratio, spans)
        return self._once((found, apart), lambda: tally(found, apart))

    def grid(self, record: Record, ratio: RequestRatio, spans: Sequence[Span], start_ns: int, length_ns: int) -> Grid:
        """The same by block of time, `length_ns` each from `start_ns` on."""
        found = self.classified(record, ratio, spans)
        return self._once((found, start_ns, length_ns), lambda: grid(found, start_ns, length_ns))

    def classified(self, record: Record, ratio: RequestRatio | None = None, spans: Sequence[Span] = ()) -> Classified:
        """Each row's class, fine enough for every objective, and for this ratio over these spans."""
        cuts, limits = self._edges(ratio, spans)
        return self._once(
            (record, cuts, limits),
            lambda: classify(record.pieces, np.array(cuts, dtype=np.int64), np.array(limits, dtype=np.int64)),
        )

    def _edges(self, ratio: RequestRatio | None, spans: Sequence[Span]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        asked = [slo.indicator for slo in self.slos if isinstance(slo.indicator, RequestRatio)]
        asked += [ratio] if ratio is not None else []
        limits = {latency for one in asked for chosen in (one.total, one.good, one.bad) for latency in _limit(chosen)}
        cuts = {edge for span in (*self.spans, *spans) for edge in (span.start_ns, span.end_ns)}
        return tuple(sorted(cuts)), tuple(sorted(limits))

    def _once(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        if key not in self._made:
            self._made[key] = make()
        return cast(T, self._made[key])

    @cached_property
    def samples(self) -> Samples:
        """Prometheus as scraped."""
        looked: list[InstancesSeen] = self.of(InstancesSeen)
        clock = self.prometheus_clock
        census = (
            [((event.mono_ns + clock.offset_ns) / 1e6, frozenset(event.names)) for event in looked] if clock else []
        )
        return Samples(self.evidence.samples, self.evidence.metrics, tuple(census))

    @cached_property
    def experiments(self) -> frozenset[str]:
        """The experiments that this run was to do, or did."""
        declared = {entry.file.rsplit("/", 1)[-1].rsplit(".", 1)[0] for entry in self.evidence.scenario.experiments}
        kinds = (FaultIntended, ExperimentEnded, ExperimentSkipped)
        seen = {event.experiment.partition("#")[0] for event in self.evidence.events if isinstance(event, kinds)}
        return frozenset(declared | seen | {span.name for span in self.spans if span.kind == "fault"})

    @cached_property
    def faults(self) -> tuple[Fault, ...]:
        """Every injection that was begun, in order of time."""
        found = []
        for intent in self.of(FaultIntended):
            key = (intent.experiment, intent.fault)
            made = [event for event in self.of(FaultInjected) if (event.experiment, event.fault) == key]
            seen = [event for event in self.of(FaultLanded) if (event.experiment, event.fault) == key]
            landed = any(event.landed for event in seen)
            span = next((s for s in self.spans if s.kind == "fault" and s.experiment == intent.experiment), None)
            begun = min((event.from_ns for event in made), default=intent.mono_ns)
            ended = max(
                [event.to_ns for event in made] or [event.mono_ns for event in seen if event.landed] or [intent.mono_ns]
            )
            found.append(Fault(intent.experiment, intent.fault, begun, ended, landed, span))
        return tuple(sorted(found, key=lambda fault: (fault.from_ns, fault.experiment, fault.fault)))

    def faults_of(self, slo: Slo) -> tuple[Fault, ...]:
        """The injections an SLO is about."""
        name = slo.annotations.experiment
        return tuple(fault for fault in self.faults if not name or fault.name == name)

    def horizon_ns(self, fault: Fault) -> int:
        """Until when the users' side of a fault may be looked at: the next injection, or the end of the last window."""
        later = [other.from_ns for other in self.faults if other.from_ns > fault.to_ns]
        return min([*later, max((span.end_ns for span in self.spans), default=fault.to_ns)])

    @cached_property
    def clock(self) -> Clock | None:
        """Wall against monotonic time of this host."""
        reads: list[ClockRead] = [read for read in self.of(ClockRead) if read.clock == "wall"]
        if reads:
            offset = round(median(read.offset_ns for read in reads))
            return Clock(offset, max(abs(read.offset_ns - offset) + read.error_ns for read in reads))
        stamps = [event.wall_ns - event.mono_ns for event in self.evidence.events if event.mono_ns and event.wall_ns]
        if not stamps:
            return None
        offset = round(median(stamps))
        return Clock(offset, max(abs(stamp - offset) for stamp in stamps))

    @cached_property
    def prometheus_clock(self) -> Clock | None:
        """Prometheus' clock against this host's monotonic one; an unread offset is taken as none on one host."""
        if self.clock is None:
            return None
        reads: list[ClockRead] = [read for read in self.of(ClockRead) if read.clock == "prometheus"]
        if not reads:
            return self.clock
        offset = round(median(read.offset_ns for read in reads))
        error = max(abs(read.offset_ns - offset) + read.error_ns for read in reads)
        return Clock(self.clock.offset_ns + offset, self.clock.error_ns + error)


def _limit(chosen: RequestFilter | None) -> tuple[int, ...]:
    return (latency_ns(chosen.faster_than),) if chosen and chosen.faster_than is not None else ()
