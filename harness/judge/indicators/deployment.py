"""The deployment itself: its time, its checks, and what of it is monitored."""

from __future__ import annotations

from fnmatch import fnmatchcase

from harness.judge.decide import Counts, count
from harness.judge.question import Question
from harness.judge.values import Value
from harness.model.events import CheckDone, Deployed, PhaseDeployed
from harness.model.judgement import Interval, ObjectiveResult
from harness.model.slo import CheckRatio, DeploymentTime, MonitoringCoverage


def check_ratio(ask: Question, indicator: CheckRatio) -> ObjectiveResult:
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


def monitoring_coverage(ask: Question, indicator: MonitoringCoverage) -> ObjectiveResult:
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


def deployment_time(ask: Question, _indicator: DeploymentTime) -> ObjectiveResult:
    found = [
        Value(
            Interval(low=event.seconds, high=event.seconds),
            f"{count(event.instances, 'instance')} were deployed in {event.seconds:.1f} s",
        )
        for event in ask.facts.of(Deployed)
    ]
    return ask.values(found, "deployment", "s")
