"""When a run's cluster was up and its platform deployed is told from its own events."""

from __future__ import annotations

from harness.model import events as e
from harness.render.story import took
from harness.testing.evidence import evidence


def at(seconds: float) -> int:
    return 1 + int(seconds * 1e9)


def opened() -> e.RunOpened:
    names = {"run_id": "r", "scenario": "s", "user": "u", "host": "h", "version": "v", "commit": "c"}
    return e.RunOpened(**names, seed=1, python="3", machine="m", argv=(), mono_ns=at(0))


def test_what_took_how_long() -> None:
    made = e.ClusterMade(provider="kind", nodes=3, seconds=68.0, mono_ns=at(69))
    deployed = e.Deployed(release="1", seconds=40.0, instances=27, endpoints={}, mono_ns=at(112))
    closed = e.RunClosed(reason="completed", clean=True, mono_ns=at(485))
    whole = evidence(events=(opened(), made, deployed, closed))
    told = took(whole).replace("\N{NO-BREAK SPACE}", " ")
    assert told == "took 8 min 5 s (cluster up after 69 s, deployed after 1 min 52 s)"
    assert "after" not in took(evidence(events=(opened(), closed)))
