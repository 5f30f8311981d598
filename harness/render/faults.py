"""The faults of a run as the reports name them: a letter, a title, a window, and what the judge says of each."""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_uppercase

from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.judgement import Judgement, Recovery
from harness.render.story import all_of, duration_s, origin_ns, titles
from harness.render.words import line


@dataclass(frozen=True)
class Fault:
    """Times in seconds since the run's start. `landed_s` is the earliest possible, None when it never landed."""

    letter: str
    experiment: str
    title: str
    start_s: float
    end_s: float
    landed_s: float | None
    recovery: Recovery | None

    def after(self, seconds: float | None) -> float | None:
        """The latest time since the fault landed, as time since the run's start."""
        return None if seconds is None or self.landed_s is None else self.landed_s + seconds


def faults(evidence: Evidence, judgement: Judgement) -> tuple[Fault, ...]:
    """In the order of their windows. A fault without a window is shaded from its landing to its end."""
    origin = origin_ns(evidence)
    windows = {
        it.experiment: ((it.start_ns - origin) / 1e9, (it.end_ns - origin) / 1e9)
        for it in all_of(evidence.events, e.Window)
        if it.kind == "fault"
    }
    landed = {it.experiment: (it.mono_ns - origin) / 1e9 for it in all_of(evidence.events, e.FaultLanded) if it.landed}
    gone = {it.experiment: (it.mono_ns - origin) / 1e9 for it in all_of(evidence.events, e.FaultGone) if it.gone}
    recoveries = {it.experiment: it for it in judgement.recoveries}
    names = titles(evidence)
    kinds = {it.experiment: it.fault for it in all_of(evidence.events, e.FaultIntended)}
    experiments = dict.fromkeys([*kinds, *windows, *landed, *recoveries])
    found = []
    for experiment in experiments:
        recovery = recoveries.get(experiment)
        known = recovery.landed_ns.low if recovery else None
        at = (known - origin) / 1e9 if known else landed.get(experiment)
        start, end = windows.get(experiment) or (at or 0.0, gone.get(experiment, duration_s(evidence)))
        title = line(
            names.get(experiment) or kinds.get(experiment) or (recovery.fault if recovery else "") or experiment
        )
        found.append((start, end, experiment, title, at, recovery))
    return tuple(
        Fault(_letter(index), experiment, title, start, end, at, recovery)
        for index, (start, end, experiment, title, at, recovery) in enumerate(sorted(found, key=lambda item: item[0]))
    )


def _letter(index: int) -> str:
    return ascii_uppercase[index] if index < 26 else str(index + 1)
