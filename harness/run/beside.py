"""The comparison of canary and baseline on the live record, block by block as they become whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.model.events import Compared
from harness.model.rollout import Rollout
from harness.run.live import Live, Seen

if TYPE_CHECKING:
    from harness.judge.sequential.record import Record
    from harness.judge.sequential.watch import Watch


class Comparing:
    """What the comparison says so far. Harm is tested over all bakes of a step, good enough over the present one."""

    def __init__(self, spec: Rollout, live: Live) -> None:
        self._spec, self._live = spec, live
        self._step = -1
        self._harm: Watch | None = None
        self._good: Watch | None = None

    def start(self, step: int, now_ns: int) -> None:
        """A bake of this step begins: blocks count from where the record is whole up to, all before is history."""
        from harness.judge.sequential.canary import Null
        from harness.judge.sequential.watch import watch

        if self._spec.compare is None:
            return
        seen = self._live(0)
        from_ns = min(now_ns, seen.until_ns)
        history = record_of(seen, self._spec).between(0, from_ns)
        if step != self._step or self._harm is None:
            self._harm = watch(self._spec.compare, Null.NOT_WORSE, history, from_ns)
        self._good = watch(self._spec.compare, Null.WORSE, history, from_ns)
        self._step = step

    def harm(self) -> tuple[int, str] | None:
        """(when it was shown, the reason) once the canary is worse than its margin on a criterion."""
        from harness.judge.sequential import watch as rules

        self._follow()
        if self._harm is None:
            return None
        found = rules.harmed(self._harm, rules.levels(self._spec)[0])
        return (self._harm.until_ns, rules.reason(self._harm, found[0])) if found else None

    def enough(self) -> bool:
        """Whether the canary is shown to be within its margin on every criterion."""
        from harness.judge.sequential import watch as rules

        self._follow()
        return self._good is not None and rules.enough(self._good, rules.levels(self._spec)[1])

    def event(self) -> Compared | None:
        """What stands now, for the journal; None when nothing is compared."""
        from harness.judge.sequential import watch as rules

        if self._harm is None or self._good is None:
            return None
        return rules.compared(self._harm, self._good, self._spec, self._step)

    def _follow(self) -> None:
        """Takes in the blocks that have become whole."""
        from harness.judge.sequential.watch import block_ns

        if self._harm is None or self._good is None or self._spec.compare is None:
            return
        width, behind = block_ns(self._spec.compare), min(self._harm.until_ns, self._good.until_ns)
        seen = self._live(behind)
        if seen.until_ns >= behind + width:
            rows = record_of(seen, self._spec)
            self._harm, self._good = (one.then(rows, seen.until_ns) for one in (self._harm, self._good))


def record_of(seen: Seen, spec: Rollout) -> Record:
    """The live record as the tests read it."""
    import numpy as np

    from harness.judge.sequential.record import CANARY, NAMELESS, OTHER, STABLE, UNSENT, Record

    sides = {spec.baseline: STABLE, spec.canary: CANARY, "": NAMELESS}
    rows = seen.responses
    answered = [not one.failed or one.right is False for one in rows]
    told = [answer and (one.right is not None or one.level > 0) for one, answer in zip(rows, answered, strict=True)]
    none = [False] * len(seen.unsent)
    return Record(
        at_ns=np.array([*(one.finished_ns for one in rows), *seen.unsent], dtype=np.int64),
        side=np.array([*(sides.get(one.release, OTHER) for one in rows), *(UNSENT for _ in none)], dtype=np.int8),
        failed=np.array([*(one.failed for one in rows), *(True for _ in none)], dtype=bool),
        right=np.array(
            [
                *(one.right is not False and one.level <= 1 and tell for one, tell in zip(rows, told, strict=True)),
                *none,
            ],
            dtype=bool,
        ),
        told=np.array([*told, *none], dtype=bool),
        least_s=np.array([*(one.least_s for one in rows), *(0.0 for _ in none)]),
        most_s=np.array([*(one.most_s for one in rows), *(0.0 for _ in none)]),
    )
