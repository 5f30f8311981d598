"""How much of its traffic a provider gets, pure: halved when it throttles, given back slowly (AIMD)."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Pace:
    """`share` of the calls that may go to the provider; `credit` decides which. Times are seconds of one clock."""

    share: float = 1.0
    credit: float = 1.0
    changed_at: float = 0.0
    least: float = 0.02
    regain_per_second: float = 0.05

    def at(self, now: float) -> Pace:
        """Some share is regained by time alone."""
        if self.share >= 1.0:
            return self
        share = min(1.0, self.share + (now - self.changed_at) * self.regain_per_second)
        return replace(self, share=share, changed_at=now)

    def throttled(self, now: float) -> Pace:
        """The provider said 429: half, at once. Further refusals of calls that were sent before this came count too."""
        current = self.at(now)
        return replace(current, share=max(self.least, current.share / 2), credit=0.0, changed_at=now)

    def next(self, now: float) -> tuple[Pace, bool]:
        """Whether the next call may go to this provider: evenly spread, no dice."""
        current = self.at(now)
        credit = min(1.0, current.credit + current.share)
        if credit >= 1.0:
            return replace(current, credit=credit - 1.0), True
        return replace(current, credit=credit), False
