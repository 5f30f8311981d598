"""Who may be the writable primary: the logic of the lease, pure. Times are seconds of the owner's monotonic clock.

The agent keeps a term on disk and grants leases of `ttl` seconds. A change of primary has two durable steps:

    depose   the term gets an heir; from now on nobody is granted a lease
    crown    not before the last lease has expired or was given back: the heir is primary of the next epoch

An agent that starts again does not remember whom it granted what, so it assumes a lease granted just before it died. A
node counts its lease from before it asked, and stops PostgreSQL a margin before the end: so no two primaries can be
writable at once, whatever is lost, late or restarted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Term:
    """What is on disk.

    `initialised`: the primary has data, so an empty one must never take its place. `armed`: its region was healthy
    once, so it is lost when it is not; before that it is being deployed. `guest`: another region that serves
    `guest_share` of the users, with the primary's database; the primary's region serves the others, never none.
    """

    primary: str
    epoch: int = 1
    heir: str = ""
    initialised: bool = False
    armed: bool = False
    guest: str = ""
    guest_share: float = 0.0

    def share(self, region: str) -> float:
        """The part of the users that a region is to serve."""
        if region == self.primary:
            return round(1.0 - self.guest_share, 6)
        return self.guest_share if region == self.guest else 0.0

    def with_users(self, region: str, share: float, others: str) -> Term | None:
        """With this part of the users served by `region`, the rest by `others`; None unless one of the two is the
        primary and keeps some."""
        guest, part = (others, round(1.0 - share, 6)) if region == self.primary else (region, share)
        if self.primary not in (region, others) or guest == self.primary or not 0.0 <= part < 1.0:
            return None
        return replace(self, guest=guest if part else "", guest_share=part)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def on_disk(self) -> dict[str, Any]:
        """As it is kept. A guest is left out where there is none: a release that knows of none can be put back."""
        return {name: value for name, value in asdict(self).items() if self.guest or not name.startswith("guest")}


@dataclass(frozen=True, slots=True)
class Leases:
    """The agent's view. `held_until`: after this moment no lease that was ever granted is valid."""

    term: Term
    held_until: float

    @classmethod
    def at_start(cls, term: Term, now: float, ttl: float) -> Leases:
        """After a start: a lease may have been granted a moment ago."""
        return cls(term, now + ttl)

    def grant(self, region: str, now: float, ttl: float) -> Leases | None:
        """With a lease granted or renewed, or None when this region must not have one."""
        if self.term.heir or region != self.term.primary:
            return None
        return replace(self, held_until=max(self.held_until, now + ttl))

    def depose(self, heir: str, *, planned: bool = False) -> Leases:
        """First step of a change. The first heir stays the heir; the primary itself cannot be one. Users who are shared
        with a guest stay where they are if it is `planned`; of a region that is lost none can."""
        if self.term.heir or heir == self.term.primary:
            return self
        term = self.term if planned else replace(self.term, guest="", guest_share=0.0)
        return replace(self, term=replace(term, heir=heir))

    def give_back(self, region: str, epoch: int, now: float) -> Leases:
        """The primary says that it has stopped. Only a deposed one is believed: one that was merely restarted may
        already hold a new lease."""
        if self.term.heir and region == self.term.primary and epoch == self.term.epoch:
            return replace(self, held_until=min(self.held_until, now))
        return self

    def crown(self, now: float) -> Leases:
        """Second step, as soon as it is safe. Users whom the heir did not serve before follow the primary, unless they
        were shared between the two."""
        old = self.term
        if not old.heir or now < self.held_until:
            return self
        guest, share = (old.primary, old.share(old.primary)) if old.guest == old.heir else ("", 0.0)
        return Leases(replace(old, primary=old.heir, epoch=old.epoch + 1, heir="", guest=guest, guest_share=share), now)


@dataclass(frozen=True, slots=True)
class Holding:
    """The node's view of a lease it was granted."""

    epoch: int
    expires: float

    @classmethod
    def granted(cls, epoch: int, asked_at: float, ttl: float, margin: float) -> Holding:
        """`asked_at` is before the request was sent; `margin` is what it takes to stop PostgreSQL for certain."""
        return cls(epoch, asked_at + ttl - margin)

    def valid(self, now: float) -> bool:
        """Whether PostgreSQL may be writable."""
        return now < self.expires


@dataclass(frozen=True, slots=True)
class Standby:
    """What a standby last told: when, whether it was streaming, and how long ago it last was."""

    told_at: float
    role: str
    behind: float

    def fit(self, now: float, *, silent_for: float, behind_at_most: float) -> bool:
        """Whether it may become primary: it is alive, and the data it may lack is within the objective."""
        return self.role == "standby" and now - self.told_at <= silent_for and self.behind <= behind_at_most


@dataclass(frozen=True, slots=True)
class Failures:
    """Consecutive failed health checks of the primary's region."""

    needed: int
    count: int = 0

    def after(self, healthy: bool) -> Failures:
        """With one more check."""
        return replace(self, count=0 if healthy else self.count + 1)

    @property
    def lost(self) -> bool:
        """Whether the region counts as lost."""
        return self.count >= self.needed
