"""A unified API that serves users with another region's database, and requests that wait for a planned move."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from sophia.memories import Memories, Unavailable
from sophia.orchestrator import Orchestrator
from sophia.settings import Identity

DATABASE = "postgresql://sophia:pw@127.0.0.1:1/sophia?connect_timeout=2"
Work = Callable[[Memories], Awaitable[str]]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Orchestrator:
    told = {"REDIS": "127.0.0.1:1", "DATABASE": DATABASE, "PEERS": "sjc=127.0.0.1:1,lax=10.0.0.7:5433"}
    told |= {"GPU": "x", "GATEWAY": "x", "EMBEDDER": "x", "FAILOVER_AGENT": "x", "HOME_REGION": "sjc", "DB_HOLD": "0.5"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return Orchestrator(Identity("unified-api", "unified-api-sjc-0", "sjc", "1.0.0", 1))


def told(api: Orchestrator, *words: dict[str, Any]) -> None:
    """What the failover agent says when it is asked, the last for ever."""
    said = list(words)

    async def follow() -> None:
        for name, value in (said.pop(0) if len(said) > 1 else said[0]).items():
            setattr(api, name, value)

    api.follow_term = follow  # type: ignore[method-assign]


def answering(*regions: str, api: Orchestrator, after: int = 0) -> Work:
    """The databases of these regions answer, from the `after`th question on."""
    asked = []

    async def work(memories: Memories) -> str:
        asked.append(memories)
        region = next(name for name, its in api.databases.items() if its is memories)
        if region not in regions or len(asked) <= after:
            raise Unavailable(psycopg.OperationalError("the server is shutting down"))
        return region

    return work


def test_a_peers_database_is_the_own_one_at_another_address(api: Orchestrator) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(api.databases["lax"]._conninfo)
    assert (parts["host"], parts["port"], parts["user"], parts["password"]) == ("10.0.0.7", "5433", "sophia", "pw")
    assert parts["connect_timeout"] == "2"


@pytest.mark.parametrize(
    ("state", "serves"),
    [
        ({"writable": True}, True),
        ({"writable": None}, True),  # the primary's region, while its database does not answer
        ({"writable": False}, False),
        ({"primary_region": "lax", "share": 0.0, "writable": False, "reaches": True}, False),
        ({"primary_region": "lax", "share": 0.1, "writable": False, "reaches": True}, True),
        ({"primary_region": "lax", "share": 0.1, "writable": False, "reaches": None}, False),
        ({"primary_region": "lax", "share": 0.1, "writable": None, "reaches": None, "moves": True}, True),
        ({"primary_region": "lax", "share": 0.0, "writable": None, "moves": True}, False),
        ({"primary_region": "fra", "share": 0.1, "writable": False, "reaches": None}, False),
    ],
)
def test_whom_the_edge_may_send_users(api: Orchestrator, state: dict[str, Any], serves: bool) -> None:
    for name, value in state.items():
        setattr(api, name, value)
    assert api.serves() is serves


def looks(api: Orchestrator, **found: bool | None) -> None:
    """What the databases of the regions say of themselves at the next looks; all services answer."""
    api.answers = dict.fromkeys(api.answers, True)
    for region, memories in api.databases.items():

        async def look(said: bool | None = found.get(region)) -> bool | None:
            return said

        memories.look = look  # type: ignore[method-assign]


async def probed(api: Orchestrator) -> int:
    await api.probe_database()
    await api.probe_primary()
    return api.level()


@pytest.mark.parametrize("region", ["sjc", "lax"])
def test_a_move_hides_that_the_database_is_away_only_while_requests_wait_for_it(api: Orchestrator, region: str) -> None:
    """sjc moves away and serves with lax's database by then, or moves home; the new one never takes writes."""
    api.share, api.primary_region = 0.5, region

    async def story() -> list[int]:
        told(api, {"moves": True})
        looks(api, **{region: True})
        levels = [await probed(api)]
        await api.follow_term()
        looks(api)  # shut down
        levels.append(await probed(api))
        api.crowned("lax" if region == "sjc" else "sjc")
        looks(api, sjc=False, lax=False)  # crowned, and never more than a standby
        levels.append(await probed(api))
        await asyncio.sleep(0.6)
        return [*levels, await probed(api)]

    assert asyncio.run(story()) == [1, 1, 1, 4]


def test_a_move_that_comes_to_its_end_is_not_told(api: Orchestrator) -> None:
    async def story() -> list[int]:
        api.share, api.moves = 0.0, True
        api.primary_region = "lax"
        looks(api, sjc=False, lax=True)
        levels = [await probed(api)]  # a standby that serves nobody
        api.crowned("sjc")
        levels.append(await probed(api))
        looks(api, sjc=True)
        levels.append(await probed(api))
        await asyncio.sleep(0.6)
        return [*levels, await probed(api)]

    assert asyncio.run(story()) == [1, 1, 1, 1]


def test_a_database_that_is_lost_is_told_at_once(api: Orchestrator) -> None:
    told(api, {"moves": False})
    looks(api, sjc=True)
    assert asyncio.run(probed(api)) == 1
    looks(api)
    assert asyncio.run(probed(api)) == 4


def test_a_request_waits_while_the_primary_is_moved(api: Orchestrator) -> None:
    api.share = 0.5
    told(api, {"moves": True}, {"moves": False, "primary_region": "lax"})
    assert asyncio.run(api.on_primary(answering("lax", api=api))) == "lax"


def test_no_request_waits_for_a_database_that_is_lost(api: Orchestrator) -> None:
    told(api, {"moves": False})
    work = answering("sjc", api=api, after=1)
    with pytest.raises(Unavailable):
        asyncio.run(api.on_primary(work))


def test_a_request_waits_no_longer_than_it_is_allowed(api: Orchestrator) -> None:
    told(api, {"moves": True})

    async def story() -> float:
        began = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable):
            await api.on_primary(answering(api=api))
        return asyncio.get_running_loop().time() - began

    assert 0.4 < asyncio.run(story()) < 1.5


def test_a_region_that_serves_nobody_any_more_answers_who_is_there(api: Orchestrator) -> None:
    api.primary_region, api.share = "lax", 0.0
    assert asyncio.run(api.on_primary(answering("sjc", api=api))) == "sjc", "a standby asks its own"
    api.lingers_until = float("inf")
    assert asyncio.run(api.on_primary(answering("lax", api=api))) == "lax"
    assert not api.serves()
