"""The rest of the record: writes, databases, the deployment and its checks."""

from __future__ import annotations

from collections.abc import Iterator

from harness.judge.loss import fates_of
from harness.judge.shifting import LOOKS, shares_of
from harness.judge.shown.base import Rows, Scope
from harness.model import slo as model
from harness.model.base import format_duration
from harness.model.events import CheckDone, Deployed, PhaseDeployed, ReadinessSeen


def loss(scope: Scope, indicator: model.DataLossMeasure) -> Iterator[Rows]:
    fates = fates_of(scope.facts)
    if fates is None:
        return
    name = scope.slo.annotations.experiment
    mine = [
        fate
        for fate in fates.all
        if (not name or fate.after.partition("#")[0] == name) and fate.region in indicator.regions
    ]
    head = ("acknowledged at s", "key", "region", "read back after", "state")
    for title, states in (
        ("acknowledged writes that did not survive as written, excused ones too", indicator.states),
        ("acknowledged writes of which it is not known", ("indeterminate",)),
    ):
        chosen = sorted((fate for fate in mine if fate.state in states), key=lambda fate: fate.acknowledged_ns)
        yield scope.table(
            title,
            head,
            ((scope.seconds(one.acknowledged_ns), one.key, one.region, one.after, one.state) for one in chosen),
        )


def primaries(scope: Scope, _indicator: model.WritablePrimaries) -> Iterator[Rows]:
    table = scope.facts.evidence.primaries
    if table is None:
        return
    found, before = [], dict[str, str]()
    for row in table.sort_by("asked_ns").to_pylist():
        region, state = str(row["region"]), str(row["state"])
        if before.get(region) != state:
            found.append((scope.seconds(row["asked_ns"]), region, state))
            before[region] = state
    yield scope.table("where a region's database changed its answer", ("asked at s", "region", "state"), found)


def readiness(scope: Scope, indicator: model.ScaleUpTime) -> Iterator[Rows]:
    seen: list[ReadinessSeen] = scope.facts.of(ReadinessSeen)
    rows = (
        (scope.seconds(it.since_ns) if it.since_ns else "—", scope.seconds(it.seen_ns), len(it.ready), len(it.unready))
        for it in seen
        if (it.service, it.region) == (indicator.service, indicator.region)
    )
    yield scope.table("where the number of Ready instances changed", ("after s", "before s", "Ready", "not"), rows)


def shares(scope: Scope, indicator: model.TrafficShift) -> Iterator[Rows]:
    rows: list[tuple[object, ...]] = []
    for span in scope.facts.judged(scope.slo):
        found = shares_of(scope.facts, span, indicator)
        if found is not None:
            told = zip(found.at_ns, found.low, found.high, strict=True)
            rows += [(scope.seconds(int(at)), float(low), float(high)) for at, low, high in told][:: LOOKS // 4]
    title = f"the share of users that {indicator.to} answered, in stretches of {format_duration(indicator.over)}"
    yield scope.table(title, ("from s", "at least", "at most"), rows)


def checks(scope: Scope, _indicator: model.CheckRatio) -> Iterator[Rows]:
    done: list[CheckDone] = scope.facts.of(CheckDone)
    done = sorted(done, key=lambda one: one.passed >= one.of)
    rows = ((scope.seconds(one.mono_ns), one.name, f"{one.passed} of {one.of}", one.detail) for one in done)
    yield scope.table("checks, what was not right first", ("at s", "check", "passed", "detail"), rows)


def coverage(scope: Scope, indicator: model.MonitoringCoverage) -> Iterator[Rows]:
    seen = scope.facts.samples.scrapes.values()
    rows = ((it.labels.get(indicator.label, "—"), int(it.up.sum()), len(it.up)) for it in seen)
    yield scope.table("scrape targets", ("service", "answered", "scrapes"), sorted(rows))


def deployment(scope: Scope, _indicator: model.DeploymentTime) -> Iterator[Rows]:
    events = [event for event in scope.facts.evidence.events if isinstance(event, PhaseDeployed | Deployed)]
    rows = (
        (scope.seconds(it.mono_ns), it.phase if isinstance(it, PhaseDeployed) else "all of it", it.seconds)
        for it in events
    )
    yield scope.table("phases of the deployment", ("at s", "phase", "took s"), rows)
