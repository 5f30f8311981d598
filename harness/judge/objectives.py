"""Each objective by the kind of its indicator, and all of them together."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from harness.judge import loss as losses
from harness.judge import reactions
from harness.judge.counters import bound_of, in_prometheus_time, increase, unbounded
from harness.judge.decide import Claim, Counts, compare, count, decide
from harness.judge.facts import Facts, Fault
from harness.judge.recovery import recovery
from harness.judge.requests import count_requests
from harness.judge.validity import findings
from harness.judge.values import Value
from harness.judge.verdict import merge, sentence
from harness.model import slo as model
from harness.model.events import CheckDone, Deployed, PhaseDeployed
from harness.model.evidence import Evidence
from harness.model.judgement import Finding, Interval, Judgement, ObjectiveResult, Recovery, Verdict
from harness.model.slo import Objective, Slo

RULES = "1"
CAUSES_TOLD = 3
ALWAYS = ("up", "ALERTS", "process_start_time_seconds")


@dataclass(frozen=True)
class Question:
    """One objective of one SLO, and the facts to answer it from."""

    facts: Facts
    slo: Slo
    objective: Objective

    @property
    def claim(self) -> Claim:
        """As annotated; else what the scenario claims for counted events of steady windows, and the run elsewhere."""
        notes = self.slo.annotations
        if notes.claim:
            return notes.claim
        counted = isinstance(self.slo.indicator, model.RequestRatio | model.CounterRatio)
        return self.facts.evidence.scenario.claim if counted and notes.window == "steady" else "run"

    def result(self, verdict: Verdict, reason: str, **more: Any) -> ObjectiveResult:
        """A result with everything that the SLO itself says filled in."""
        slo, objective = self.slo, self.objective
        ratio = objective.op is None
        values: dict[str, Any] = {
            "target": objective.target if ratio else objective.value,
            "comparison": ">=" if ratio else model.SYMBOLS[objective.op or "gte"],
            **more,
        }
        return ObjectiveResult(
            slo=slo.name,
            service=slo.service,
            title=slo.title,
            objective=objective.title,
            window=slo.annotations.window,
            experiment=slo.annotations.experiment,
            source=slo.source,
            claim=self.claim,
            confidence=slo.annotations.confidence,
            verdict=verdict,
            reason=reason,
            **values,
        )

    def missing(self, reason: str, *notes: str) -> ObjectiveResult:
        """Nothing to judge by."""
        return self.result(Verdict.INCONCLUSIVE, reason, notes=notes)

    def ratio(
        self, counts: Counts, noun: str, notes: tuple[str, ...] = (), causes: tuple[str, ...] = (), **more: Any
    ) -> ObjectiveResult:
        """The result of good and bad events; `causes`: what the bad ones were, most frequent first."""
        asked, target = self.slo.annotations, self.objective.target
        why = ", ".join(causes[:CAUSES_TOLD])
        told = decide(counts, target, self.claim, asked.confidence, asked.minimum_events, noun, why)
        return self.result(
            told.verdict,
            told.reason,
            measured=told.measured,
            interval=told.interval,
            observed=told.observed,
            events=counts.events,
            bad=counts.bad,
            unknown=counts.unknown,
            notes=(*causes[CAUSES_TOLD:], *notes),
            **more,
        )

    def values(
        self, found: Sequence[Value], noun: str, unit: str, notes: tuple[str, ...] = (), minimum: int | None = None
    ) -> ObjectiveResult:
        """The result of a few measured values, one event each: shown is the worst of them."""
        minimum = self.slo.annotations.minimum_events if minimum is None else minimum
        if not found:
            return self.missing(f"there was no {noun} to judge by", *notes)
        op, value = self.objective.op, self.objective.value
        assert op is not None and value is not None
        verdicts = [compare(item.interval, op, value) for item in found]
        counts = Counts(
            verdicts.count(Verdict.PASS), verdicts.count(Verdict.FAIL), verdicts.count(Verdict.INCONCLUSIVE)
        )
        told = decide(counts, self.objective.target, self.claim, self.slo.annotations.confidence, minimum, noun)
        sign = 1.0 if op in ("lte", "lt") else -1.0
        shown = max(
            zip(verdicts, found, strict=True), key=lambda pair: (pair[0].rank, sign * _end(pair[1].interval, sign))
        )[1]
        reason = shown.reason
        if len(found) > 1:
            reason = f"{counts.good} of {count(len(found), noun)} within {_amount(value, unit)}; worst: {shown.reason}"
        elif told.verdict is not Verdict.PASS or len(found) < minimum:
            reason += f"; {model.SYMBOLS[op]} {_amount(value, unit)} is required"
        if told.verdict is Verdict.INCONCLUSIVE and not counts.unknown:
            reason += f" ({told.reason})"
        ends = (shown.interval.high, shown.interval.low)
        measured = next((end for end in (ends if sign > 0 else ends[::-1]) if end is not None), None)
        return self.result(
            told.verdict,
            reason,
            unit=unit,
            measured=measured,
            interval=shown.interval,
            observed=shown.interval,
            events=counts.events,
            bad=counts.bad,
            unknown=counts.unknown,
            notes=(*notes, *(item.reason for item in found if item is not shown)),
        )


def _end(interval: Interval, sign: float) -> float:
    end = interval.high if sign > 0 else interval.low
    return sign * float("inf") if end is None else end


def _amount(value: float, unit: str) -> str:
    from harness.model.base import format_duration

    if unit == "s":
        return format_duration(value)
    return f"{value:g} {unit}" if unit not in ("ratio", "count", "") else f"{value:g}"


# ---- one judge for each kind of indicator ---------------------------------------------------------------------------


def _requests(ask: Question, indicator: model.RequestRatio) -> ObjectiveResult:
    rows = ask.facts.requests if indicator.table == "requests" else ask.facts.beacon
    if rows is None:
        return ask.missing(f"there is no record of the {indicator.table}")
    spans = ask.facts.judged(ask.slo)
    if not spans:
        return ask.missing(_no_window(ask.slo))
    counts, causes, notes = count_requests(rows, indicator, spans, ask.facts)
    return ask.ratio(counts, "request" if indicator.table == "requests" else "probe", notes, causes)


def _no_window(slo: Slo) -> str:
    notes = slo.annotations
    about = f" of {notes.experiment}" if notes.experiment else ""
    return f"the run has no {notes.window} window{about}"


def _recovery(ask: Question, indicator: model.RecoveryTime) -> ObjectiveResult:
    def measure(fault: Fault) -> Value:
        seen = recovery(ask.facts, fault, indicator.until, indicator.regions)
        return Value(_recovery_time(seen, indicator), seen.reason)

    return _per_fault(ask, measure)


def _recovery_time(seen: Recovery, indicator: model.RecoveryTime) -> Interval:
    if not seen.probes:
        return Interval()
    back = seen.full_service_s if indicator.until == "full-service" else seen.served_s
    return back if back is not None else Interval(low=0.0, high=0.0)


def _loss(ask: Question, indicator: model.DataLossMeasure) -> ObjectiveResult:
    fates = losses.fates_of(ask.facts)
    if fates is None:
        return ask.missing("there is no ledger of acknowledged writes, or no read-back of them")
    name = ask.slo.annotations.experiment
    regions = set(indicator.regions)
    chosen = [
        fate
        for fate in fates.all
        if (not name or fate.after.partition("#")[0] == name)
        and (not regions or fate.region in regions)
        and not (fate.state == "lost" and _excused(ask.facts, indicator, fate))
    ]
    absent = _not_read_back(ask, fates.all)
    if not chosen:
        return ask.missing(f"not one acknowledged write was read back{_after(absent)}")
    bad = [fate for fate in chosen if fate.state in indicator.states]
    open_ = [fate for fate in chosen if fate.state == "indeterminate"]
    kinds = tuple(
        f"{count(sum(fate.state == state for fate in chosen))} {state}"
        for state in losses.STATES
        if any(fate.state == state for fate in chosen)
    )
    if indicator.measure == "writes":
        if absent and not bad:
            return ask.missing(f"nothing was read back{_after(absent)}", *kinds)
        counts = Counts(len(chosen) - len(bad) - len(open_), len(bad), len(open_))
        causes = tuple(kind for kind in kinds if kind.rpartition(" ")[2] in indicator.states)
        return ask.ratio(counts, "acknowledged write", kinds, causes, target=ask.objective.target, comparison=">=")
    found = []
    for fault in ask.facts.faults_of(ask.slo):
        mine = [fate for fate in chosen if fate.after == fault.experiment]
        if not mine:
            found.append(Value(Interval(), f"after {fault.experiment} nothing was read back"))
            continue
        lost = [fate.acknowledged_ns for fate in mine if fate.state in indicator.states]
        maybe = [fate.acknowledged_ns for fate in mine if fate.state in (*indicator.states, "indeterminate")]
        low = max([0.0, *((fault.from_ns - at) / 1e9 for at in lost)])
        high = max([0.0, *((fault.to_ns - at) / 1e9 for at in maybe)])
        text = (
            f"the oldest of {count(len(lost), 'lost write')} was acknowledged {low:.2f} s before the fault"
            if lost
            else f"none of {count(len({fate.key for fate in mine}), 'acknowledged write')} was lost"
        )
        if len(maybe) > len(lost):
            text += f"; of {count(len(maybe) - len(lost))} nothing is known"
        found.append(Value(Interval(low=low, high=high), text))
    return ask.values(found, "fault", "s", kinds)


def _excused(facts: Facts, indicator: model.DataLossMeasure, fate: losses.Fate) -> bool:
    """Whether a fault that came before this read-back is allowed to have cost the write."""
    read_after = [fault.from_ns for fault in facts.faults if fault.experiment == fate.after]
    return any(
        0 <= fault.to_ns - fate.acknowledged_ns <= indicator.excused_before.get(fault.name, -1.0) * 1e9
        and (fate.after == losses.END or any(fault.from_ns <= at for at in read_after))
        for fault in facts.faults
    )


def _after(read_backs: Sequence[str]) -> str:
    names = ["at the end" if name == losses.END else f"after {name}" for name in read_backs]
    return f" {' and '.join(names)}" if names else ""


def _not_read_back(ask: Question, fates: Sequence[losses.Fate]) -> list[str]:
    """The read-backs that this objective needs and that hold nothing, by what they came after."""
    needed = [losses.END]
    if ask.slo.annotations.window == "fault":
        needed = [fault.experiment for fault in ask.facts.faults_of(ask.slo)]
    return sorted(set(needed) - {fate.after for fate in fates})


def _counters(ask: Question, indicator: model.CounterRatio) -> ObjectiveResult:
    facts, part = ask.facts, indicator.good or indicator.bad
    for query in (indicator.total, part, "up"):
        trouble = facts.samples.trouble(query)
        if trouble:
            return ask.missing(trouble)
        if not facts.samples.series(query):
            return ask.missing(f"Prometheus has no series {query}: not one event, or a wrong name")
    spans = in_prometheus_time(facts, facts.judged(ask.slo))
    if not spans:
        return ask.missing(_no_window(ask.slo))
    bound = bound_of(facts, indicator.per_arrival, indicator.max_rate)
    total, some = (increase(facts.samples, query, spans, bound) for query in (indicator.total, part))
    notes = tuple(dict.fromkeys(total.notes + some.notes))
    if math.isinf(total.unknown) or math.isinf(some.unknown):
        return ask.missing(f"nothing bounds what was counted unseen: {notes[0]}", *notes)
    if some.least > total.most + 0.5:
        return ask.missing(
            f"{part} grew by {some.least:g}, more than all of {indicator.total} ({total.most:g})", *notes
        )
    one, rest = round(some.least), max(0, round(total.least - some.most))
    unknown = max(0, math.ceil(total.most - 1e-6) - one - rest)
    counts = Counts(one, rest, unknown) if indicator.good else Counts(rest, one, unknown)
    return ask.ratio(counts, "event", notes)


def _increase_per(ask: Question, indicator: model.IncreasePer) -> ObjectiveResult:
    facts = ask.facts
    for query in (indicator.query, indicator.per, "up"):
        trouble = facts.samples.trouble(query)
        if trouble:
            return ask.missing(trouble)
        if not facts.samples.series(query):
            return ask.missing(f"Prometheus has no series {query}")
    spans = in_prometheus_time(facts, facts.judged(ask.slo))
    if not spans:
        return ask.missing(_no_window(ask.slo))
    top, below = (increase(facts.samples, query, spans, unbounded) for query in (indicator.query, indicator.per))
    notes = tuple(dict.fromkeys(top.notes + below.notes))
    if below.least <= 0:
        return ask.missing(f"{indicator.per} did not grow in the window", *notes)
    if below.least < ask.slo.annotations.minimum_events:
        needed = ask.slo.annotations.minimum_events
        return ask.missing(f"{indicator.per} grew by {below.least:g} only; {needed} are needed to decide", *notes)
    low = top.least / below.most
    high = None if math.isinf(top.most) else top.most / below.least
    text = f"{top.least:g} over {below.least:g} is {top.least / below.least:.3g} {indicator.unit} each"
    return ask.values([Value(Interval(low=low, high=high), text)], "increase", indicator.unit, notes, minimum=1)


def _gauge(ask: Question, indicator: model.GaugeShare) -> ObjectiveResult:
    spans = in_prometheus_time(ask.facts, ask.facts.judged(ask.slo))
    if not spans:
        return ask.missing(_no_window(ask.slo))
    told = reactions.gauge_share(ask.facts, indicator, ask.objective, spans)
    if isinstance(told, str):
        return ask.missing(told)
    counts, notes = told
    return ask.ratio(counts, "scrape", notes, target=ask.objective.target, comparison=">=")


def _reaction(ask: Question, indicator: model.ReactionTime) -> ObjectiveResult:
    return _per_fault(ask, lambda fault: reactions.reaction(ask.facts, fault, indicator))


def _alert(ask: Question, indicator: model.AlertTime) -> ObjectiveResult:
    return _per_fault(ask, lambda fault: reactions.alert(ask.facts, fault, indicator))


def _per_fault(ask: Question, measure: Callable[[Fault], Value]) -> ObjectiveResult:
    """One value for each injection; of one that nobody saw land nothing is known."""
    found = []
    for fault in ask.facts.faults_of(ask.slo):
        value = measure(fault)
        found.append(value if fault.landed else Value(Interval(), f"{fault.experiment} was not seen to land"))
    return ask.values(found, "fault", "s")


def _checks(ask: Question, indicator: model.CheckRatio) -> ObjectiveResult:
    done: list[CheckDone] = ask.facts.of(CheckDone)
    chosen = [
        check
        for check in done
        if not indicator.checks or any(fnmatchcase(check.name, pattern) for pattern in indicator.checks)
    ]
    absent = [pattern for pattern in indicator.checks if not any(fnmatchcase(check.name, pattern) for check in done)]
    if absent or not chosen:
        return ask.missing(f"the check {absent[0]!r} was not made" if absent else "no check was made")
    latest = {check.name: check for check in chosen}.values()  # of a check made again the last word counts
    passed, of = sum(check.passed for check in latest), sum(check.of for check in latest)
    failed = tuple(f"{c.name}: {c.passed} of {c.of} ({c.detail})" for c in latest if c.passed < c.of)
    return ask.ratio(Counts(passed, of - passed), "check", causes=failed)


def _coverage(ask: Question, indicator: model.MonitoringCoverage) -> ObjectiveResult:
    services = {service for phase in ask.facts.of(PhaseDeployed) for service in phase.services}
    if not services:
        return ask.missing("the journal does not tell which services were deployed")
    trouble = ask.facts.samples.trouble("up")
    if trouble:
        return ask.missing(trouble)
    seen = {
        scrapes.labels.get(indicator.label, "") for scrapes in ask.facts.samples.scrapes.values() if scrapes.up.any()
    }
    blind = sorted(services - seen)
    causes = (f"never scraped: {', '.join(blind)}",) if blind else ()
    return ask.ratio(Counts(len(services) - len(blind), len(blind)), "service", causes=causes)


def _deployment(ask: Question, _indicator: model.DeploymentTime) -> ObjectiveResult:
    found = [
        Value(
            Interval(low=event.seconds, high=event.seconds),
            f"{count(event.instances, 'instance')} were deployed in {event.seconds:.1f} s",
        )
        for event in ask.facts.of(Deployed)
    ]
    return ask.values(found, "deployment", "s")


def _primaries(ask: Question, indicator: model.WritablePrimaries) -> ObjectiveResult:
    return ask.values([reactions.primaries(ask.facts, ask.facts.judged(ask.slo), indicator)], "run", "count")


JUDGES: dict[type, Callable[[Question, Any], ObjectiveResult]] = {
    model.RequestRatio: _requests,
    model.CounterRatio: _counters,
    model.GaugeShare: _gauge,
    model.IncreasePer: _increase_per,
    model.CheckRatio: _checks,
    model.MonitoringCoverage: _coverage,
    model.RecoveryTime: _recovery,
    model.ReactionTime: _reaction,
    model.DataLossMeasure: _loss,
    model.AlertTime: _alert,
    model.DeploymentTime: _deployment,
    model.WritablePrimaries: _primaries,
}


# ---- all together ---------------------------------------------------------------------------------------------------


def judge(evidence: Evidence, slos: Sequence[Slo]) -> Judgement:
    """The word on a run. The same values give the same judgement; a mistake of ours is INCONCLUSIVE, never a crash."""
    facts = Facts(evidence, slos)
    asked = [
        Question(facts, slo, objective)
        for slo in slos
        if not slo.annotations.experiment or slo.annotations.experiment in facts.experiments
        for objective in slo.objectives
    ]
    results = tuple(_safely(question) for question in asked)
    crashes: list[Finding] = []
    notes = [*_guarded("findings", lambda: findings(facts), crashes)]
    recoveries = _guarded("recovery", lambda: tuple(_story(facts, fault) for fault in facts.faults), crashes)
    data_loss = _guarded("data loss", lambda: losses.summary(losses.fates_of(facts)), crashes)
    notes.extend(crashes)
    verdict = merge(results, notes)
    return Judgement(
        run_id=evidence.run_id,
        rules=RULES,
        verdict=verdict,
        sentence=sentence(verdict, results, notes),
        objectives=results,
        findings=tuple(notes),
        recoveries=recoveries,
        data_loss=data_loss,
    )


def _story(facts: Facts, fault: Fault) -> Recovery:
    """The fault's recovery with its detection: the first declared alert or reaction that was seen."""
    times: list[Interval] = []
    for slo in facts.slos:
        if slo.annotations.experiment == fault.name:
            match slo.indicator:
                case model.AlertTime() as wanted:
                    times.append(reactions.alert(facts, fault, wanted).interval)
                case model.ReactionTime(after=None) as wanted:
                    times.append(reactions.reaction(facts, fault, wanted).interval)
                case _:
                    pass
    seen = [time for time in times if time.high is not None]
    detected = min(seen, key=lambda time: time.high or 0.0, default=None)
    return recovery(facts, fault).model_copy(update={"detected_s": detected})


def _safely(ask: Question) -> ObjectiveResult:
    try:
        return JUDGES[type(ask.slo.indicator)](ask, ask.slo.indicator)
    except Exception as error:  # noqa: BLE001 — a mistake of ours must not hide the other objectives
        lines = traceback.format_exception(error)
        return ask.missing(f"the judge itself failed: {lines[-1].strip()}", *"".join(lines).splitlines())


T = TypeVar("T")


def _guarded(name: str, work: Callable[[], tuple[T, ...]], crashes: list[Finding]) -> tuple[T, ...]:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 — as above
        lines = traceback.format_exception(error)
        crashes.append(
            Finding(
                name="judge failed",
                cap=Verdict.INCONCLUSIVE,
                reason=f"{name} could not be worked out: {lines[-1].strip()}",
                detail=tuple("".join(lines).splitlines()),
            )
        )
        return ()


def selectors(slos: Sequence[Slo]) -> list[str]:
    """The Prometheus series that these objectives need, raw, sorted; always with scrape health, alerts and restarts."""
    found = set(ALWAYS)
    for slo in slos:
        match slo.indicator:
            case model.CounterRatio() as ratio:
                found.update(query for query in (ratio.total, ratio.good, ratio.bad) if query)
            case model.IncreasePer() as increase:
                found.update((increase.query, increase.per))
            case model.GaugeShare() | model.ReactionTime() as gauge:
                found.add(gauge.query)
            case _:
                pass
    return sorted(found)
