"""Recovery as tools measure it that ask the API server who is Ready: an observation beside what users saw, no more.

krkn watches the pods it selected and holds the cluster for restored as soon as as many of them are Ready as there were
(krkn-lib, k8s/pod_monitor); a steady state of Chaos Toolkit asks a Deployment whether as many replicas are Ready as are
wanted (chaosk8s.deployment.probes). Neither asks a user. The judge does not look at this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.judgement import Interval, Recovery
from harness.render import words
from harness.render.story import all_of


@dataclass(frozen=True)
class Polled:
    """`dipped`: fewer instances were Ready than before. `ready_s`: from the fault until as many were; None: never."""

    of: tuple[str, ...]
    every_s: float
    dipped: bool
    ready_s: Interval | None


def polled(evidence: Evidence, experiment: str) -> Polled | None:
    """None where nobody polled, or nothing was injected."""
    made = [it for it in all_of(evidence.events, e.FaultInjected) if it.experiment == experiment]
    watched = all_of(evidence.events, e.ReadinessWatched)
    looks = all_of(evidence.events, e.ReadinessSeen)
    if not made or not watched or not looks:
        return None
    begun, ended = min(it.from_ns for it in made), min(it.to_ns for it in made)
    before = _latest(it for it in looks if it.seen_ns <= begun)
    chosen = {
        name for it in all_of(evidence.events, e.FaultIntended) if it.experiment == experiment for name in it.selection
    }
    hit = {place: it for place, it in before.items() if chosen & {*it.ready, *it.unready}} or before
    wanted = {place: len(it.ready) for place, it in hit.items()}
    horizon = _horizon(evidence, experiment, begun)
    dipped, back = False, None
    for at, ready in _counts(looks, wanted, begun, horizon):
        short = any(ready[place] < count for place, count in wanted.items())
        if dipped and not short:
            back = Interval(low=max(0.0, (at.since_ns - ended) / 1e9), high=(at.seen_ns - begun) / 1e9)
            break
        dipped = dipped or short
    names = tuple(sorted(f"{service}{f' in {region}' if region else ''}" for service, region in hit))
    return Polled(names if len(hit) < len(before) else ("all services",), watched[-1].every_s, dipped, back)


def _latest(looks: Iterable[e.ReadinessSeen]) -> dict[tuple[str, str], e.ReadinessSeen]:
    return {(it.service, it.region): it for it in looks}


def _horizon(evidence: Evidence, experiment: str, begun: int) -> int:
    """Until when it is this fault: the end of its window, or of the watch."""
    windows = [it.end_ns for it in all_of(evidence.events, e.Window) if it.experiment == experiment]
    return max([*windows, begun] if windows else [it.until_ns for it in all_of(evidence.events, e.ReadinessWatched)])


def _counts(
    looks: Sequence[e.ReadinessSeen], wanted: dict[tuple[str, str], int], begun: int, horizon: int
) -> Iterator[tuple[e.ReadinessSeen, dict[tuple[str, str], int]]]:
    """After each look at which something had changed: how many were Ready by place."""
    ready = dict(wanted)
    inside = [it for it in looks if begun < it.seen_ns <= horizon and (it.service, it.region) in wanted]
    for number, look in enumerate(inside):
        ready[look.service, look.region] = len(look.ready)
        if number + 1 == len(inside) or inside[number + 1].seen_ns != look.seen_ns:  # one look may change several
            yield look, ready


def sentence(seen: Polled, recovery: Recovery | None) -> str:
    """Both measures of one fault in a line."""
    if not seen.dipped:
        polls = "polls saw every pod Ready all the time"
    elif seen.ready_s is None:
        polls = "polls did not see the pods Ready again"
    else:
        polls = f"pods Ready after {words.span(seen.ready_s)}"
    told = f"{polls} ({', '.join(seen.of)}, asked every {words.duration(seen.every_s)})"
    if recovery is None:
        return told
    full = recovery.full_service_s
    if not recovery.visible:
        return f"{told}; users noticed nothing" if recovery.recovered else told
    back = f"after {words.span(full)}" if full and full.high is not None else "was not seen to come back"
    return (
        f"{told}; users had full service {back}" if full and full.high is not None else f"{told}; full service {back}"
    )
