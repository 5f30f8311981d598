"""Watches the primary region from outside of both, decides who is primary, and keeps snapshots of the vector index.

Environment, besides the identity: REGIONS (the first is home), TOPOLOGY (file: what is checked, and where), LEASE_TTL,
CHECK_EVERY (seconds), CHECK_FAILURES, HEALTHY_SHARE, BEHIND_AT_MOST (seconds a standby may lack), SNAPSHOT_EVERY
(seconds, 0: none), BACKUPS (folder of the snapshots), SHARES_PORT (where an edge asks for a region's part of the users,
as HAProxy's agent check: a line with the region, answered by a percentage; 0: nowhere). The term is kept in the working
directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import Counter, Gauge
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sophia import metrics, settings, snapshots
from sophia.lease import Failures, Leases, Standby, Term
from sophia.settings import Identity
from sophia.web import ApiError, answer, application, body_of, field, serve

PRIMARY = Gauge("sophia_primary", "1 for the region of the primary.", ("region",), registry=metrics.REGISTRY)
EPOCH = Gauge("sophia_epoch", "Grows by one with every change of primary.", registry=metrics.REGISTRY)
HEALTH = Gauge("sophia_region_health", "Share of checks that passed.", ("region",), registry=metrics.REGISTRY)
FAILOVERS = Counter("sophia_failovers", "Changes of primary.", ("kind",), registry=metrics.REGISTRY)
USERS = Gauge(
    "sophia_region_users", "The part of the users that a region is to serve.", ("region",), registry=metrics.REGISTRY
)
SILENT = 5.0
SETTLES = 1.0  # until everybody has seen a new primary
MOVE_WITHIN = 15.0  # a planned change is over by then, or is none any more: nobody need be kept waiting for it


def load_term(file: Path, home: str) -> Term:
    """The term on disk, or the first one. A broken file ends the agent: guessing could make two primaries."""
    try:
        return Term(**json.loads(file.read_text()))
    except FileNotFoundError:
        return Term(home)
    except (ValueError, TypeError) as problem:
        raise SystemExit(f"{file} is not a term: {problem}") from problem


def save_term(file: Path, term: Term) -> None:
    """Durable when it returns."""
    fresh = file.with_suffix(".new")
    with fresh.open("w") as writer:
        json.dump(term.on_disk(), writer)
        writer.flush()
        os.fsync(writer.fileno())
    fresh.rename(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class FailoverAgent:
    """The leases, what the standbys told, and the checks."""

    def __init__(self, state: Path) -> None:
        self.regions = settings.words("REGIONS")
        self.ttl = settings.number("LEASE_TTL", 10)
        self.check_every = settings.number("CHECK_EVERY", 10)
        self.failures = Failures(settings.integer("CHECK_FAILURES", 3))
        self.healthy_share = settings.number("HEALTHY_SHARE", 0.5)
        self.behind_at_most = settings.number("BEHIND_AT_MOST", 300)
        self.snapshot_every = settings.number("SNAPSHOT_EVERY", 300)
        self.backups = Path(settings.text("BACKUPS"))
        self.topology = Path(settings.text("TOPOLOGY", "topology.json"))
        self.file = state / "term.json"
        term = load_term(self.file, self.regions[0])
        save_term(self.file, term)
        self.leases = Leases.at_start(term, time.monotonic(), self.ttl)
        self.standbys: dict[str, Standby] = {}
        self.planned = False
        self.moves_until = float("-inf")
        self.snapshot: dict[str, Any] = {}
        self.show()

    def show(self) -> None:
        """The term as metrics."""
        for region in self.regions:
            PRIMARY.labels(region).set(int(region == self.leases.term.primary))
            USERS.labels(region).set(self.leases.term.share(region))
        EPOCH.set(self.leases.term.epoch)

    def become(self, leases: Leases) -> None:
        """The new state; a changed term is on disk before anybody is told of it."""
        if leases.term != self.leases.term:
            save_term(self.file, leases.term)
        self.leases = leases
        self.show()

    def crown(self) -> None:
        """Finishes a change of primary as soon as the old lease is certainly over."""
        before = self.leases.term
        self.become(self.leases.crown(time.monotonic()))
        if self.leases.term.primary != before.primary:
            print(f"{self.leases.term.primary} is primary of epoch {self.leases.term.epoch}", flush=True)
            FAILOVERS.labels("planned" if self.planned else "forced").inc()
            self.planned, self.failures = False, Failures(self.failures.needed)

    def moves(self) -> bool:
        """Whether a planned change goes on, until the new primary says that it is one: requests may wait for it."""
        return time.monotonic() < self.moves_until

    def heir(self) -> str | None:
        """The region that may take over, if there is one."""
        now = time.monotonic()
        for region, standby in self.standbys.items():
            if region != self.leases.term.primary and standby.fit(
                now, silent_for=SILENT, behind_at_most=self.behind_at_most
            ):
                return region
        return None

    def endpoints(self) -> list[dict[str, str]]:
        """What is checked: name, service, region, url. The file is rendered anew when instances change."""
        found: list[dict[str, str]] = json.loads(self.topology.read_text())["endpoints"]
        return found

    async def check(self, session: aiohttp.ClientSession) -> None:
        """One round of health checks of every region; the primary's decides."""

        async def healthy(url: str) -> bool:
            try:
                async with session.get(url) as response:
                    return response.status == 200
            except (aiohttp.ClientError, OSError, TimeoutError):
                return False

        endpoints = self.endpoints()
        passed = await asyncio.gather(*(healthy(endpoint["url"]) for endpoint in endpoints))
        primary = self.leases.term.primary
        for region in self.regions:
            own = [good for endpoint, good in zip(endpoints, passed, strict=True) if endpoint["region"] == region]
            HEALTH.labels(region).set(sum(own) / len(own) if own else 0.0)
            if region == primary:
                share = sum(own) / len(own) if own else 0.0
                database = any(
                    good
                    for endpoint, good in zip(endpoints, passed, strict=True)
                    if endpoint["region"] == region and endpoint["service"] == "postgres"
                )
                good = share >= self.healthy_share and database
                if good and not self.leases.term.armed:
                    self.become(replace(self.leases, term=replace(self.leases.term, armed=True)))
                self.failures = self.failures.after(good or not self.leases.term.armed)
                if self.failures.count:
                    print(f"check failed ({self.failures.count}): {region} {share:.0%} healthy", flush=True)

    def decide(self) -> None:
        """Deposes a primary whose region is lost, when there is somebody to take over."""
        term = self.leases.term
        if self.failures.lost and not term.heir and (heir := self.heir()):
            print(f"{term.primary} is lost: {heir} takes over when the lease is over", flush=True)
            self.become(self.leases.depose(heir))
            self.moves_until = float("-inf")

    async def checking(self, session: aiohttp.ClientSession) -> None:
        """Checks for ever."""
        while True:
            started = time.monotonic()
            await self.check(session)
            self.decide()
            await asyncio.sleep(max(0.0, self.check_every - (time.monotonic() - started)))

    async def crowning(self) -> None:
        """Looks often, so that nobody waits longer than the lease."""
        while True:
            self.crown()
            if self.failures.lost:
                self.decide()  # an heir may have become fit since the last check
            await asyncio.sleep(0.1)

    async def snapshotting(self, session: aiohttp.ClientSession) -> None:
        """Snapshots of the primary region's Weaviate, each restored in the others."""
        while self.snapshot_every > 0:
            started = time.monotonic()
            try:
                nodes = json.loads(self.topology.read_text())["weaviates"]
                self.snapshot = await snapshots.take_and_restore(session, nodes, self.leases.term.primary, self.backups)
                wait = self.snapshot_every
            except (snapshots.SnapshotError, aiohttp.ClientError, OSError, TimeoutError) as problem:
                print(f"no snapshot: {type(problem).__name__} {problem}", flush=True)
                wait = min(5.0, self.snapshot_every)
            await asyncio.sleep(max(0.0, wait - (time.monotonic() - started)))


def _agent(request: Request) -> FailoverAgent:
    agent: FailoverAgent = request.app.state.agent
    return agent


async def lease(request: Request) -> Response:
    """POST /lease {region, role, behind}: a node asks for, or renews, the lease, and tells how it is."""
    agent = _agent(request)
    body = await body_of(request)
    region, role = field(body, "region"), field(body, "role")
    if region not in agent.regions:
        raise ApiError(400, "bad_field", f"no region {region!r}")
    now = time.monotonic()
    agent.standbys[region] = Standby(now, role, float(body.get("behind", 1e9)))
    agent.crown()
    granted = agent.leases.grant(region, now, agent.ttl)
    if granted:
        if role == "primary":
            agent.moves_until = min(agent.moves_until, now + SETTLES)
        if role == "primary" and not granted.term.initialised:
            granted = replace(granted, term=replace(granted.term, initialised=True))
        agent.become(granted)
    term = agent.leases.term
    return answer(
        {
            "granted": granted is not None,
            "primary": term.primary,
            "epoch": term.epoch,
            "ttl": agent.ttl,
            "initialised": term.initialised,
            "planned": agent.planned,
        }
    )


async def lease_return(request: Request) -> Response:
    """POST /lease/return {region, epoch}: a deposed primary has stopped."""
    agent = _agent(request)
    body = await body_of(request)
    agent.become(agent.leases.give_back(field(body, "region"), int(body.get("epoch", 0)), time.monotonic()))
    agent.crown()
    return answer({"primary": agent.leases.term.primary})


async def switchover(request: Request) -> Response:
    """POST /switchover {to}: a planned change; the old primary stops cleanly and loses nothing."""
    agent = _agent(request)
    to = field(await body_of(request), "to")
    term = agent.leases.term
    if to == term.primary and not term.heir:
        return answer(agent.leases.term.as_dict())
    standby = agent.standbys.get(to)
    if term.heir or standby is None or not standby.fit(time.monotonic(), silent_for=SILENT, behind_at_most=2.0):
        raise ApiError(409, "not_possible", f"{to} does not follow the primary now, or a change is under way")
    agent.planned, agent.moves_until = True, time.monotonic() + MOVE_WITHIN
    agent.become(agent.leases.depose(to, planned=True))
    return answer(agent.leases.term.as_dict(), 202)


async def users(request: Request) -> Response:
    """POST /users {region, share}: a region's part of the users from now on; the other one of the two serves the rest.

    The primary's region keeps some: all users of a region are those of its database, which moves by /switchover.
    """
    agent = _agent(request)
    body = await body_of(request)
    region, share, term = field(body, "region"), body.get("share"), agent.leases.term
    if region not in agent.regions:
        raise ApiError(400, "bad_field", f"no region {region!r}")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ApiError(400, "bad_field", "share must be a number from 0 to 1")
    others = term.primary if region != term.primary else term.guest or next(r for r in agent.regions if r != region)
    shifted = None if term.heir else term.with_users(region, float(share), others)
    if shifted is None:
        raise ApiError(409, "not_possible", f"{term.primary} is primary and keeps some users, or it is being changed")
    if shifted != term:
        print(f"users: {region} {share:.0%}, {others} the others", flush=True)
    agent.become(replace(agent.leases, term=shifted))
    return answer(_users(agent))


def _users(agent: FailoverAgent) -> dict[str, float]:
    return {region: agent.leases.term.share(region) for region in agent.regions}


async def tell_share(agent: FailoverAgent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One agent check of an edge."""
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        region = (await asyncio.wait_for(reader.readline(), 2)).decode("ascii", "replace").strip()
        writer.write(f"{agent.leases.term.share(region):.0%}\n".encode())
        await writer.drain()
    writer.close()


async def term(request: Request) -> Response:
    """GET /term: who is primary, and everything this was decided from."""
    agent = _agent(request)
    now = time.monotonic()
    return answer(
        {
            **agent.leases.term.as_dict(),
            "users": _users(agent),
            "moves": agent.moves(),
            "lease_seconds": round(max(0.0, agent.leases.held_until - now), 3),
            "failed_checks": agent.failures.count,
            "nodes": {
                region: {"role": told.role, "behind": told.behind, "silent": round(now - told.told_at, 3)}
                for region, told in agent.standbys.items()
            },
            "snapshot": agent.snapshot,
        }
    )


def build(identity: Identity) -> Any:
    """The ASGI application."""
    agent = FailoverAgent(Path.cwd())

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.agent = agent
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as checks,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as copies,
        ):
            work = [agent.checking(checks), agent.crowning(), agent.snapshotting(copies)]
            tasks = [asyncio.create_task(each) for each in work]
            port = settings.integer("SHARES_PORT", 0)
            shares = await asyncio.start_server(partial(tell_share, agent), settings.host(), port) if port else None
            try:
                yield
            finally:
                if shares:
                    shares.close()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    routes = [
        Route("/lease", lease, methods=["POST"]),
        Route("/lease/return", lease_return, methods=["POST"]),
        Route("/switchover", switchover, methods=["POST"]),
        Route("/users", users, methods=["POST"]),
        Route("/term", term),
    ]
    return application(identity, routes, lifespan=lifespan)


if __name__ == "__main__":
    me = Identity.from_environment()
    serve(build(me), me)
