"""Every event of the journal in one line of words."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from harness.model import events as e
from harness.render.words import amount, count, duration, line, plain


def describe(event: e.AnyEvent) -> str:
    """What happened, in words, on one line, without control characters.

    Raises KeyError for an event type without a description; a test calls it with every type there is.
    """
    return plain(line(_WORDS[type(event)](event)))


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing"


def _tail(text: str) -> str:
    return f": {text}" if text else ""


def _opened(event: e.RunOpened) -> str:
    profile = f" ({event.profile})" if event.profile else ""
    who = f"{event.user} on {event.host}"
    return f"run {event.run_id} of {event.scenario}{profile} opened by {who}: {shlex.join(event.argv)}"


def _closed(event: e.RunClosed) -> str:
    return f"run closed, {'all clean' if event.clean else 'CLEAN-UP NOT PROVEN'}{_tail(event.reason)}"


def how(event: e.PhaseDeployed) -> str:
    """A phase's strategy, and what was not done so."""
    return event.strategy + (f"; {event.carried_out}" if event.carried_out else "")


def _gate(event: e.GateChecked) -> str:
    word = "holds" if event.ok else "DOES NOT HOLD"
    tries = f"{count(event.attempts, 'attempt')} in {duration(event.seconds)}"
    return f"gate “{event.gate}” of phase {event.phase} {word} ({tries}){_tail(event.evidence)}"


def _check(event: e.CheckDone) -> str:
    word = "ok" if event.passed == event.of and event.of else "NOT OK"
    return f"check “{event.name}”: {event.passed} of {event.of}, {word}{_tail(event.detail)}"


def _ended(event: e.ChildEnded) -> str:
    code = (
        "without a known exit code"
        if event.code is None
        else f"by signal {-event.code}"
        if event.code < 0
        else f"with exit code {event.code}"
    )
    return f"{event.name} ended {code}{'' if event.expected else ', which nobody asked for'}"


def _window(event: e.Window) -> str:
    of = f" of {event.experiment}" if event.experiment else ""
    return f"{event.kind} window{of} closed after {duration((event.end_ns - event.start_ns) / 1e9)}"


def _schedule(event: e.ScheduleFixed) -> str:
    kind = event.arrivals.get("kind", "arrivals")
    return (
        f"schedule fixed: {count(event.expected, 'arrival')} in {duration(event.duration_s)}, {kind}, seed {event.seed}"
    )


def _intended(event: e.FaultIntended) -> str:
    return f"fault {event.fault} is going to hit {_names(event.selection)}"


def _landed(event: e.FaultLanded) -> str:
    word = "landed" if event.landed else "WAS NEVER SEEN TO LAND"
    return f"fault {event.fault} {word}, says the {event.observer}{_tail(event.detail)}"


def _gone(event: e.FaultGone) -> str:
    word = f"is gone, undone by {event.by}" if event.gone else "IS STILL THERE"
    return f"fault {event.fault} {word}, says the {event.observer}{_tail(event.detail)}"


def _experiment(event: e.ExperimentEnded) -> str:
    name = event.title or event.experiment
    state = f"{event.status}{', deviated' if event.deviated else ''}"
    return f"experiment “{name}” {state}" + (
        f"; not as declared: {'; '.join(event.mistakes)}" if event.mistakes else ""
    )


def _alert(event: e.AlertSeen) -> str:
    labels = ", ".join(f"{key}={value}" for key, value in sorted(event.labels.items()))
    return f"alert {event.name} ({event.severity}) fired{_tail(labels)}"


def _clock(event: e.ClockRead) -> str:
    if event.clock == "wall":
        return f"wall clock read against the monotonic clock, known to {event.error_ns / 1e6:.2f} ms"
    return f"clock of {event.clock}: {event.offset_ns / 1e6:+.2f} ms from ours, known to {event.error_ns / 1e6:.2f} ms"


def _seen(event: e.ShareSeen) -> str:
    of = f"{event.canary} of {count(event.total, 'response')}"
    return f"canary's share seen: {amount(event.share, 'ratio')} ({of}), {'as set' if event.ok else 'NOT as set'}"


def _decided(event: e.Decided) -> str:
    state = f", now {event.state}" if event.state else ""
    return f"decision after step {event.step + 1}: {event.decision}{state}{_tail(event.reason)}"


def _compared(event: e.Compared) -> str:
    told = "; ".join(
        f"{one.criterion} {one.canary_bad} of {one.canary} beside {one.stable_bad} of {one.stable}, "
        f"harm 10^{one.harm:.1f}, good enough 10^{one.enough:.1f}"
        for one in event.criteria
    )
    return f"canary beside baseline in step {event.step + 1}: {event.word}{_tail(told)}"


def _rolled_back(event: e.RolledBack) -> str:
    return f"rolled back in {duration(event.seconds)}, {'seen' if event.seen else 'NOT SEEN'} in the responses"


def _readiness(event: e.ReadinessSeen) -> str:
    where = f"{event.service}{f' in {event.region}' if event.region else ''}"
    ill = f", not {_names(event.unready)}" if event.unready else ""
    return f"{where}: Ready by the cluster are {_names(event.ready)}{ill}"


def _watched(event: e.ReadinessWatched) -> str:
    failed = f", {event.failed} of them without an answer" if event.failed else ""
    return f"looked {count(event.looks, 'time')} for who is Ready, every {duration(event.every_s)}{failed}"


def _effort(event: e.Effort) -> str:
    calls = sum(event.api_calls.values())
    told = [f"{event.cpu_s:.1f} s of CPU", f"{event.children_cpu_s:.1f} s in children that ended"]
    told += [count(calls, "request") + " to the API server"] if calls else []
    told += [f"ran {name} {count(times, 'time')}" for name, times in event.programs.items()]
    stage = f" in {event.stage}" if event.stage else ""
    return f"{event.process} took{stage}, within {duration(event.seconds)}: {', '.join(told)}"


def _recovered(event: e.Recovered) -> str:
    done = f"undone: {_names(event.undone)}; ended: {_names(event.ended)}"
    return f"{event.by} cleaned up, {'all clean' if event.clean else 'NOT PROVEN CLEAN'}; {done}"


_WORDS: dict[type[e.Event], Callable[[Any], str]] = {
    e.RunOpened: _opened,
    e.RunClosed: _closed,
    e.Digest: lambda it: f"{it.name}{' ' + it.version if it.version else ''} is {it.sha256[:12]}",
    e.StandIn: lambda it: f"stand-in for {it.service}: {it.text}",
    e.Stage: lambda it: it.title or it.name,
    e.ClusterMade: lambda it: f"{it.provider} made a cluster of {count(it.nodes, 'node')} in {duration(it.seconds)}",
    e.PhaseStep: lambda it: (
        f"phase {it.phase}: {_names(it.names)} "
        + ("beside what serves, and the gates hold" if it.step == "beside" else "lead to the new release alone")
    ),
    e.PhaseDeployed: lambda it: (
        f"phase {it.phase} deployed ({how(it)}) in {duration(it.seconds)}: {_names(it.services)}"
    ),
    e.PhaseTakenBack: lambda it: (
        f"phase {it.phase} taken back, {'verified' if it.verified else 'NOT VERIFIED'}{_tail(it.reason)}"
    ),
    e.GateChecked: _gate,
    e.Deployed: lambda it: (
        f"release {it.release} deployed in {duration(it.seconds)}: {count(it.instances, 'instance')}"
    ),
    e.InstancesSeen: lambda it: f"{count(len(it.names), 'instance')} there",
    e.ReadinessSeen: _readiness,
    e.ReadinessWatched: _watched,
    e.Effort: _effort,
    e.CheckDone: _check,
    e.ChildStarted: lambda it: f"{it.name} started, pid {it.child_pid}",
    e.ChildEnded: _ended,
    e.Window: _window,
    e.ScheduleFixed: _schedule,
    e.FaultIntended: _intended,
    e.FaultInjected: lambda it: f"fault {it.fault} injected within {duration((it.to_ns - it.from_ns) / 1e9)}",
    e.FaultLanded: _landed,
    e.FaultGone: _gone,
    e.ExperimentEnded: _experiment,
    e.ExperimentSkipped: lambda it: f"experiment {it.experiment} not run: {it.reason}",
    e.AlertSeen: _alert,
    e.ClockRead: _clock,
    e.GuardTripped: lambda it: f"guard {it.guard} ended the run early: {it.detail}",
    e.ShareSet: lambda it: f"canary's share set to {it.share * 100:.10g} % ({it.actuator})",
    e.ShareSeen: _seen,
    e.Decided: _decided,
    e.Compared: _compared,
    e.RolledBack: _rolled_back,
    e.Problem: lambda it: f"problem with {it.where}: {it.text}",
    e.Recovered: _recovered,
}
