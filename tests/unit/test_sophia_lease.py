"""The lease: at most one writable primary, whatever is lost, late, restarted or paused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sophia.failover_agent import load_term, save_term
from sophia.lease import Failures, Holding, Leases, Standby, Term

TTL, MARGIN = 10.0, 2.0
FIRST = Term("sjc", initialised=True)


def test_only_the_primary_is_granted_a_lease() -> None:
    leases = Leases.at_start(FIRST, 0.0, TTL)
    assert leases.grant("sjc", 1.0, TTL) is not None
    assert leases.grant("lax", 1.0, TTL) is None


def test_a_deposed_primary_is_not_renewed_and_its_heir_waits_for_the_end_of_the_lease() -> None:
    leases = Leases.at_start(FIRST, 0.0, TTL).grant("sjc", 5.0, TTL)
    assert leases is not None
    deposed = leases.depose("lax")
    assert deposed.grant("sjc", 6.0, TTL) is None
    assert deposed.grant("lax", 6.0, TTL) is None
    assert deposed.crown(14.9).term.primary == "sjc"
    crowned = deposed.crown(15.0)
    assert (crowned.term.primary, crowned.term.epoch, crowned.term.heir) == ("lax", 2, "")
    assert crowned.grant("lax", 15.0, TTL) is not None
    assert crowned.grant("sjc", 15.0, TTL) is None


def test_giving_back_ends_the_wait_but_only_of_a_deposed_primary_of_this_epoch() -> None:
    leases = Leases.at_start(FIRST, 0.0, TTL)
    assert leases.give_back("sjc", 1, 1.0) == leases, "a primary that was only restarted may hold a new lease"
    deposed = leases.depose("lax")
    assert deposed.give_back("sjc", 7, 1.0) == deposed
    assert deposed.give_back("lax", 1, 1.0) == deposed
    assert deposed.give_back("sjc", 1, 1.0).crown(1.0).term.primary == "lax"


def test_an_agent_that_starts_again_assumes_a_lease_granted_a_moment_ago() -> None:
    deposed = replace(FIRST, heir="lax")
    leases = Leases.at_start(deposed, 100.0, TTL)
    assert leases.crown(109.9).term.primary == "sjc"
    assert leases.crown(110.0).term.primary == "lax"


def test_the_first_heir_stays_the_heir_and_the_primary_is_none() -> None:
    leases = Leases.at_start(FIRST, 0.0, TTL)
    assert leases.depose("sjc") == leases
    assert leases.depose("lax").depose("fra") == leases.depose("lax")


def test_a_node_counts_its_lease_from_before_it_asked() -> None:
    holding = Holding.granted(1, asked_at=50.0, ttl=TTL, margin=MARGIN)
    assert holding.valid(57.9)
    assert not holding.valid(58.0)


@pytest.mark.parametrize(
    ("standby", "fit"),
    [
        (Standby(100.0, "standby", 1.0), True),
        (Standby(100.0, "standby", 301.0), False),
        (Standby(90.0, "standby", 1.0), False),
        (Standby(100.0, "empty", 0.0), False),
        (Standby(100.0, "down", 1.0), False),
        (Standby(100.0, "standby", float("inf")), False),
    ],
)
def test_only_a_standby_that_is_alive_and_near_may_take_over(standby: Standby, fit: bool) -> None:
    assert standby.fit(101.0, silent_for=5.0, behind_at_most=300.0) is fit


def test_a_region_is_lost_after_so_many_failed_checks_in_a_row() -> None:
    failures = Failures(3).after(False).after(False)
    assert not failures.lost
    assert not failures.after(True).after(False).lost
    assert failures.after(False).lost


@dataclass
class Node:
    """A node at its worst: it is writable until the very end of what its lease and margin allow, pauses included."""

    region: str
    asked_at: float = 0.0
    asking: bool = False
    answer: int | None = None
    answered: bool = False
    epoch: int = 0
    writable_until: float = 0.0

    def writable(self, now: float) -> bool:
        return now < self.writable_until


Crown = Callable[[Leases, float], Leases]
EVENTS = st.one_of(
    st.tuples(st.sampled_from(["ask", "decide", "hear"]), st.sampled_from([0, 1])),
    st.tuples(st.sampled_from(["depose"]), st.sampled_from([0, 1])),
    st.tuples(st.sampled_from(["restart", "crown"]), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([1, 3, 7, 11])),
)


def both_writable(events: list[tuple[str, int]], crown: Crown) -> bool:
    """Plays the events; whether two nodes were ever writable at once.

    Asking, the agent's decision and hearing its answer are events of their own, so answers may be late or never heard.
    """
    now, leases = 0.0, Leases.at_start(FIRST, 0.0, TTL)
    nodes = [Node("sjc"), Node("lax")]
    for what, which in events:
        node = nodes[which] if what != "wait" else nodes[0]
        if what == "wait":
            now += which
        elif what == "ask" and not node.asking:
            node.asking, node.asked_at, node.answered = True, now, False
        elif what == "decide" and node.asking and not node.answered:
            leases = crown(leases, now)
            granted = leases.grant(node.region, now, TTL)
            leases, node.answer, node.answered = granted or leases, leases.term.epoch if granted else None, True
        elif what == "hear" and node.asking and node.answered:
            node.asking = False
            if node.answer is not None:
                holding = Holding.granted(node.answer, node.asked_at, TTL, MARGIN)
                if holding.valid(now):
                    node.epoch, node.writable_until = node.answer, holding.expires + MARGIN
            elif node.writable(now):
                node.writable_until = now
                leases = leases.give_back(node.region, node.epoch, now)
        elif what == "depose":
            leases = leases.depose(node.region)
        elif what == "crown":
            leases = crown(leases, now)
        elif what == "restart":
            leases = Leases.at_start(leases.term, now, TTL)
        if all(each.writable(now) for each in nodes):
            return True
    return False


@settings(max_examples=400, deadline=None)
@given(st.lists(EVENTS, max_size=60))
def test_never_two_writable_primaries(events: list[tuple[str, int]]) -> None:
    assert not both_writable(events, Leases.crown)


def test_an_agent_that_does_not_wait_is_caught() -> None:
    def hasty(leases: Leases, now: float) -> Leases:
        return leases.crown(max(now, leases.held_until))

    events = [("ask", 0), ("decide", 0), ("hear", 0), ("depose", 1), ("ask", 1), ("decide", 1), ("hear", 1)]
    assert both_writable(events, hasty)
    assert not both_writable(events, Leases.crown)


def test_users_follow_the_primary_unless_they_were_shared_with_the_heir() -> None:
    alone = Leases.at_start(FIRST, 0.0, TTL).depose("lax", planned=True).crown(10.0).term
    assert (alone.share("lax"), alone.share("sjc")) == (1.0, 0.0)
    shared = replace(FIRST, guest="lax", guest_share=0.3)
    moved = Leases.at_start(shared, 0.0, TTL).depose("lax", planned=True)
    assert (moved.term.share("lax"), moved.term.share("sjc")) == (0.3, 0.7)
    assert (moved.crown(10.0).term.guest, moved.crown(10.0).term.guest_share) == ("sjc", 0.7)


def test_of_a_region_that_is_lost_no_user_stays() -> None:
    shared = replace(FIRST, guest="lax", guest_share=0.3)
    lost = Leases.at_start(shared, 0.0, TTL).depose("lax")
    assert lost.term.guest == ""
    assert (lost.crown(10.0).term.share("lax"), lost.crown(10.0).term.share("sjc")) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("region", "share", "others", "shares"),
    [
        ("lax", 0.1, "sjc", {"sjc": 0.9, "lax": 0.1}),
        ("sjc", 0.9, "lax", {"sjc": 0.9, "lax": 0.1}),
        ("lax", 0.0, "sjc", {"sjc": 1.0, "lax": 0.0}),
        ("sjc", 1.0, "lax", {"sjc": 1.0, "lax": 0.0}),
        ("lax", 1.0, "sjc", None),
        ("sjc", 0.0, "lax", None),
        ("lax", 0.5, "fra", None),
        ("lax", 1.5, "sjc", None),
    ],
)
def test_the_primary_keeps_some_users(region: str, share: float, others: str, shares: dict[str, float] | None) -> None:
    term = FIRST.with_users(region, share, others)
    assert (term and {each: term.share(each) for each in ("sjc", "lax")}) == shares


@given(
    st.lists(
        st.tuples(st.sampled_from(["sjc", "lax"]), st.sampled_from(["users", "plan", "lose", "crown"])), max_size=12
    )
)
def test_the_primary_always_serves_somebody_and_every_user_is_served(events: list[tuple[str, str]]) -> None:
    leases, now = Leases.at_start(FIRST, 0.0, TTL), 0.0
    for region, what in events:
        now += 6.0
        term = leases.term
        if what == "users":
            others = "lax" if region == "sjc" else "sjc"
            leases = replace(leases, term=term.with_users(region, 0.25 * (now % 5), others) or term)
        else:
            leases = leases.crown(now) if what == "crown" else leases.depose(region, planned=what == "plan")
        shares = [leases.term.share(each) for each in ("sjc", "lax")]
        assert sum(shares) == pytest.approx(1.0)
        assert leases.term.share(leases.term.primary) > 0


@dataclass
class TermOfEarlier:
    """As the release had it that shared no users: what it does not know ends it."""

    primary: str
    epoch: int = 1
    heir: str = ""
    initialised: bool = False
    armed: bool = False


def test_a_term_is_read_as_it_was_written_and_by_an_earlier_release_where_no_users_are_shared(tmp_path: Path) -> None:
    file = tmp_path / "term.json"
    shared = replace(FIRST, epoch=7, heir="lax", armed=True, guest="lax", guest_share=0.3)
    for term in (FIRST, shared, replace(shared, guest="", guest_share=0.0), Term("lax")):
        save_term(file, term)
        assert load_term(file, "sjc") == term
        told = json.loads(file.read_text())
        if term.guest:  # it would not keep them where they are
            with pytest.raises(TypeError, match="guest"):
                TermOfEarlier(**told)
        else:
            earlier = TermOfEarlier(**told)
            assert (earlier.primary, earlier.epoch, earlier.heir) == (term.primary, term.epoch, term.heir)
            assert (earlier.initialised, earlier.armed) == (term.initialised, term.armed)
