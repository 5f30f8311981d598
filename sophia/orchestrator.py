"""What an instance of the unified API knows and uses: clients, breakers, caches, and what it can reach now.

Requests tell at once when a dependency fails; probes in the background tell when it is back. Where a breaker opened,
the breaker's rule decides when it may be tried again, and the probe makes the trials: recovery needs no users.
"""

from __future__ import annotations

import asyncio
import operator
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import aiohttp

from sophia import corpus, degradation, metrics, models, settings, swarm
from sophia.breaker import State
from sophia.cache import DAY, Cache, key_of
from sophia.circuit import Circuit, CircuitOpen, rule_from_environment
from sophia.memories import Decision, Memories, Unavailable, conninfo_of
from sophia.settings import Identity
from sophia.vectors import FAILURES, Weaviate

PROBE_EVERY = 0.25
SLOW_PROBE_EVERY = 1.0
PROBE_WITHIN = 0.5
SEARCH_WITHIN = 0.5
EMBED_WITHIN = 0.5
MODEL_WITHIN = 1.5
KEPT_DECISIONS = 1000
HELD_AGAIN = 0.1
LINGERS = 5.0  # for requests that the edge had sent before it knew better
FRESH = 0.05  # no request asks the failover agent again so soon
Vector = Sequence[float]
T = TypeVar("T")


class Orchestrator:
    """Everything the handlers share."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.cache = Cache(settings.text("REDIS"))
        own, pool = settings.text("DATABASE"), settings.integer("DB_POOL", 20)
        self.memories = Memories(own, connections=pool)  # this region's
        peers = dict(pair.split("=", 1) for pair in settings.words("PEERS") if "=" in pair)
        self.databases = {name: Memories(conninfo_of(own, at), connections=pool) for name, at in peers.items()}
        self.databases[identity.region] = self.memories
        self.hold = settings.number("DB_HOLD", 3)
        self.circuit = Circuit("weaviate", rule_from_environment(5, 30, 3), FAILURES)
        self.addresses = {name: settings.text(name.upper()) for name in ("gpu", "gateway", "embedder")}
        self.answers = dict.fromkeys(("weaviate", "gpu", "gateway", "embedder"), False)
        self.slow = dict.fromkeys(self.answers, False)
        self.writable: bool | None = None  # None: the database does not answer
        self.primary_region = settings.text("HOME_REGION", identity.region)
        self.share = float(self.primary_region == identity.region)  # of the users, that this region is to serve
        self.lingers_until = float("-inf")  # a region that serves nobody any more still answers who is there
        self.told_at = float("-inf")  # when the failover agent last told so
        self.moves = False  # whether the primary is being moved as planned
        self.took_writes_at = float("-inf")  # when the primary's database last did, or another one became it
        self.reaches: bool | None = None  # as `writable`, of the database of a primary in another region
        self.embeddings: dict[str, Vector] = {}
        self.standings: dict[str, swarm.Standing] = {}
        self.decisions: deque[Decision] = deque(maxlen=KEPT_DECISIONS)
        self.models: dict[str, models.Model] = {}
        self.session: aiohttp.ClientSession
        self.weaviate: Weaviate

    def connect(self, session: aiohttp.ClientSession) -> None:
        """Uses this session from now on."""
        self.session = session
        self.weaviate = Weaviate(session, f"http://{settings.text('WEAVIATE')}")
        gateway = f"http://{self.addresses['gateway']}/complete"
        self.models = {
            models.ON_GPU: models.remote(session, f"http://{self.addresses['gpu']}/infer"),
            **{name: models.remote(session, gateway, name) for name in models.EXTERNAL},
        }

    def level(self) -> int:
        """The level this instance serves now."""
        return degradation.level(
            degradation.Dependencies(
                swarm=self.answers["gpu"] and self.answers["gateway"],
                vectors=self.answers["weaviate"] and self.answers["embedder"] and not self.circuit.impaired,
                database=self.has_database,
            )
        )

    @property
    def has_database(self) -> bool:
        """Whether requests that need it are served. While the primary is moved as planned they wait for one that takes
        writes, for DB_HOLD and no longer."""
        answers = self.reaches if self.is_guest else self.writable
        if self.moves and (self.is_guest or self.primary_region == self.identity.region):
            return bool(answers) or time.monotonic() - self.took_writes_at <= self.hold
        return answers is not None

    @property
    def is_guest(self) -> bool:
        """Whether this region serves some users, or just did, with the database of another one."""
        serves = self.share > 0 or time.monotonic() < self.lingers_until
        return serves and self.primary_region != self.identity.region and self.primary_region in self.databases

    def serves(self) -> bool:
        """Whether the edge should send traffic here: to the region whose database is, or was last, the writable one,
        and to one that is to serve a part of the users and reaches that database."""
        if self.writable:
            return True
        if self.moves and self.share > 0:
            return True
        if self.is_guest:
            return self.share > 0 and bool(self.reaches)
        return self.writable is None and self.primary_region == self.identity.region

    @property
    def truth(self) -> Memories:
        """The database that requests are served from."""
        return self.databases[self.primary_region] if self.is_guest else self.memories

    async def on_primary(self, work: Callable[[Memories], Awaitable[T]]) -> T:
        """`work` on the primary's database, which may be done again. While the primary is moved as planned it is held,
        for DB_HOLD seconds at most. Raises Unavailable."""
        end = time.monotonic() + self.hold
        while True:
            asked = self.primary_region
            try:
                return await work(self.truth)
            except Unavailable:
                if time.monotonic() - self.told_at > FRESH:
                    await self.follow_term()
                if time.monotonic() > end or not (self.moves or self.primary_region != asked):
                    raise
            await asyncio.sleep(HELD_AGAIN)

    async def ask_swarm(self, question: str) -> tuple[swarm.Consensus, float, bool]:
        """The vote on a question, what it cost, and whether it was the full swarm's.

        Models that are away, or do not answer, are replaced by the CPU's, so that there can be a majority.
        """
        away = {name for name in self.models if not self.answers["gpu" if name == models.ON_GPU else "gateway"]}
        asked = {name: models.on_cpu if name in away else model for name, model in self.models.items()}
        with metrics.SWARM_QUEUE.track_inprogress():
            replies = await models.ask_all(asked, question, MODEL_WITHIN)
        failed = {name for name, reply in replies.items() if not isinstance(reply, models.Reply)}
        if models.ON_GPU in failed:
            self.answers["gpu"] = False
        if failed:
            replies |= await models.ask_all(dict.fromkeys(failed, models.on_cpu), question, MODEL_WITHIN)
        given = {name: reply.answer if isinstance(reply, models.Reply) else None for name, reply in replies.items()}
        cost = sum(reply.cost for reply in replies.values() if isinstance(reply, models.Reply))
        weights = {name: standing.weight for name, standing in self.standings.items()}
        consensus = swarm.vote(given, weights)
        self.standings = swarm.standings(self.standings, given, consensus)
        return consensus, cost, not (away or failed)

    async def search(self, wanted: str | Vector, limit: int) -> list[tuple[str, float]]:
        """(name, similarity) from Weaviate, by a document's id or by vector.

        Raises one of FAILURES, TimeoutError or CircuitOpen.
        """
        if self.circuit.state is not State.CLOSED and not self.answers["weaviate"]:
            raise CircuitOpen("weaviate does not say that it is ready: no trial is wasted on it")

        async def attempt() -> list[tuple[str, float]]:
            if isinstance(wanted, str):
                return await self.weaviate.near_object(corpus.COLLECTION, "name", wanted, limit)
            return await self.weaviate.near_vector(corpus.COLLECTION, "name", wanted, limit)

        return await self.circuit.call(attempt, SEARCH_WITHIN)

    async def embed(self, text: str) -> Vector | None:
        """A text's embedding from the vector store, else from the cache, else None."""
        url = f"http://{self.addresses['embedder']}/embed"
        try:
            async with asyncio.timeout(EMBED_WITHIN), self.session.post(url, json={"texts": [text]}) as response:
                if response.status == 200:
                    found: Vector = (await response.json())["vectors"][0]
                    return found
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass
        self.answers["embedder"] = False
        kept: Vector | None = await self.cache.get(key_of("embedding", "voyage-3", text))
        return kept

    async def probe(self, name: str, url: str) -> None:
        """Whether a GET is answered with 200. One that is merely slow has a second chance: the machine may be busy."""
        try:
            async with asyncio.timeout(PROBE_WITHIN), self.session.get(url) as response:
                self.answers[name] = response.status == 200
                self.slow[name] = False
        except TimeoutError:
            self.answers[name] = self.answers[name] and not self.slow[name]
            self.slow[name] = True
        except (aiohttp.ClientError, OSError):
            self.answers[name] = False

    async def probe_weaviate(self) -> None:
        """Sees whether it is ready; makes the trials of a breaker that may be tried."""
        await self.probe("weaviate", f"http://{settings.text('WEAVIATE')}/v1/.well-known/ready")
        self.circuit.tick()
        while self.answers["weaviate"] and self.circuit.impaired:
            try:
                await self.search(corpus.document_id("doc-0"), 1)
            except (*FAILURES, TimeoutError, CircuitOpen):
                return

    async def probe_gpu(self) -> None:
        """The GPU worker's health is that of its device."""
        await self.probe("gpu", f"http://{self.addresses['gpu']}/health")

    async def probe_services(self) -> None:
        """Gateway and vector store."""
        for name in ("gateway", "embedder"):
            await self.probe(name, f"http://{self.addresses[name]}/health")

    async def probe_database(self) -> None:
        """Sees whether the database of this region answers, and whether it is the writable one; asks why if not."""
        before, self.writable = self.writable, await self.memories.look()
        if self.writable and not self.is_guest:
            self.took_writes_at = time.monotonic()
        if before and not self.writable:
            await self.follow_term()

    async def probe_primary(self) -> None:
        """The same of a primary elsewhere, for a region that serves users with it; others keep no connections there."""
        if self.is_guest:
            before, self.reaches = self.reaches, await self.databases[self.primary_region].look()
            if self.reaches:
                self.took_writes_at = time.monotonic()
            if before and not self.reaches:
                await self.follow_term()
        else:
            self.reaches = None
        used = (self.identity.region, self.primary_region if self.is_guest else "")
        for region, memories in self.databases.items():
            if region not in used:
                await memories.close()

    def crowned(self, region: str) -> None:
        """Knows from now on that this region is primary."""
        if region != self.primary_region:
            self.primary_region, self.took_writes_at = region, time.monotonic()

    async def follow_term(self) -> None:
        """Learns from the failover agent which region is primary, and who serves users; while it is silent, its latest
        word on that holds, and nobody waits for a move."""
        url = f"http://{settings.text('FAILOVER_AGENT')}/term"
        try:
            async with asyncio.timeout(PROBE_WITHIN), self.session.get(url) as response:
                if response.status == 200:
                    term = await response.json()
                    self.crowned(term["primary"])
                    self.moves = term.get("moves", False)
                    before, self.share = self.share, term.get("users", {}).get(self.identity.region, 0.0)
                    if before and not self.share:
                        self.lingers_until = time.monotonic() + LINGERS
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.moves = False
        self.told_at = time.monotonic()

    async def keep_decisions(self) -> None:
        """Writes the swarm's results to the database, later and in batches: no answer waits for it."""
        if (self.writable or self.reaches) and self.decisions:
            batch = [self.decisions.popleft() for _ in range(len(self.decisions))]
            try:
                await self.truth.keep_decisions(batch)
            except Unavailable:
                self.decisions.extendleft(reversed(batch))

    async def fill_embeddings(self) -> None:
        """Keeps a copy of the corpus' embeddings for when Weaviate is away: from it, else from Redis."""
        key = key_of("embeddings", corpus.COLLECTION)
        if self.answers["weaviate"]:
            try:
                async with asyncio.timeout(5):
                    self.embeddings = dict(await self.weaviate.vectors(corpus.COLLECTION, "name"))
            except (*FAILURES, TimeoutError):
                return
            await self.cache.put(key, self.embeddings, DAY)
        elif not self.embeddings:
            self.embeddings = await self.cache.get(key) or {}

    def nearest(self, vector: Vector, limit: int) -> list[tuple[str, float]]:
        """(name, similarity) by looking at every cached embedding."""
        return nearest(self.embeddings, vector, limit)

    async def watch(self) -> None:
        """All the background work, until cancelled."""

        async def show_level() -> None:
            metrics.LEVEL.set(self.level())

        async def fill_until_filled() -> None:
            if not self.embeddings:
                await self.fill_embeddings()

        await asyncio.gather(
            every(PROBE_EVERY, self.probe_weaviate),
            every(PROBE_EVERY, self.probe_gpu),
            every(PROBE_EVERY, self.probe_database),
            every(PROBE_EVERY, self.probe_primary),
            every(PROBE_EVERY, show_level),
            every(SLOW_PROBE_EVERY, self.probe_services),
            every(SLOW_PROBE_EVERY, self.follow_term),
            every(SLOW_PROBE_EVERY, self.keep_decisions),
            every(SLOW_PROBE_EVERY, fill_until_filled),
            every(60.0, self.fill_embeddings),
        )


async def every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Does the work at this interval, for ever; a round that takes longer delays only the next one."""
    while True:
        started = time.monotonic()
        await work()
        await asyncio.sleep(max(0.01, seconds - (time.monotonic() - started)))


def nearest(embeddings: Mapping[str, Vector], vector: Vector, limit: int) -> list[tuple[str, float]]:
    """(name, similarity of unit vectors) of the nearest ones, the nearest first."""
    scored = ((sum(map(operator.mul, vector, other)), name) for name, other in embeddings.items())
    return [(name, score) for score, name in sorted(scored, reverse=True)[:limit]]
