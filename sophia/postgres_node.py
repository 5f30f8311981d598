"""Runs one PostgreSQL under a lease: the failover agent decides who is primary, this launcher obeys.

    granted            start, or promote the standby; keep renewing
    lease not renewed  stop PostgreSQL at once, before the lease ends
    refused            stop, give the lease back, rejoin the primary as its standby (pg_rewind, else pg_basebackup)

Environment: PORT (PostgreSQL), HTTP_PORT (health and metrics), REGION, AGENT (host:port), PEERS (region=host:port,…),
LEASE_RENEW, LEASE_MARGIN (seconds), PGUSER, PGPASSWORD, PGDATABASE, HOST, CLIENTS (networks beside loopback that may
connect, always with the password). State is kept in the working directory. Commits are durable when acknowledged: fsync
and synchronous_commit stay on.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGQUIT
from typing import Any

import psycopg

from sophia import child, settings
from sophia.lease import Holding
from sophia.postgres_cluster import Cluster, ClusterError

SCHEMA = """
CREATE TABLE IF NOT EXISTS memories (
    key text PRIMARY KEY,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    text text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- A deleted memory leaves its key behind, so that the indexes, which follow changes, learn of it.
ALTER TABLE memories ADD COLUMN IF NOT EXISTS deleted boolean NOT NULL DEFAULT false;
CREATE INDEX IF NOT EXISTS memories_changed ON memories (changed_at, key);
CREATE TABLE IF NOT EXISTS consensus_results (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    question text NOT NULL,
    answer text,
    agreed boolean NOT NULL,
    votes jsonb NOT NULL,
    level integer NOT NULL,
    cost_usd double precision NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""
STATUS = """
SELECT pg_is_in_recovery(),
       EXISTS (SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'),
       (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn IS NOT NULL)
"""  # pg_basebackup streams too, but replays nothing
STALE = 3.0  # seconds without an answer of the database after which its last one no longer counts
KNOCK_EVERY = 2.0
SILENT_FOR = (
    10.0  # seconds of the agent's silence that are told: in a cluster everything starts at once, it may be last
)


@dataclass(frozen=True, slots=True)
class Status:
    """What the database said, and when: `primary`, `standby` or `down`."""

    role: str = "down"
    streaming: bool = False
    standbys: int = 0
    at: float = 0.0


class Watch:
    """Asks the database about itself in a thread of its own: one that hangs must not hang the lease."""

    def __init__(self, port: int, database: str, renew: float) -> None:
        self._base = f"host=127.0.0.1 port={port} connect_timeout=2 application_name=postgres-node"
        self._database, self._renew = database, renew
        self._status = Status()
        self._schema_made = False
        self.streamed_at: float | None = None
        self.accepts = False
        for work in (self._watch, self._knock):
            threading.Thread(target=work, daemon=True).start()

    @property
    def status(self) -> Status:
        """The latest answer, or `down` when it is too old."""
        status = self._status
        return status if time.monotonic() - status.at < STALE else Status()

    @property
    def behind(self) -> float:
        """Seconds since this standby last followed its primary."""
        return float("inf") if self.streamed_at is None else time.monotonic() - self.streamed_at

    def _watch(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        while True:
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(f"{self._base} dbname=postgres", autocommit=True)
                self._status = self._look(connection)
            except psycopg.Error:
                if connection is not None:
                    connection.close()
                connection, self._status, self._schema_made = None, Status(), False
            time.sleep(0.25)

    def _knock(self) -> None:
        """Whether a new connection is taken: the watch's own stays also when there is none left to give."""
        while True:
            try:
                psycopg.connect(f"{self._base} dbname=postgres").close()
                self.accepts = True
            except psycopg.Error:
                self.accepts = False
            time.sleep(KNOCK_EVERY)

    def _look(self, connection: psycopg.Connection[Any]) -> Status:
        recovering, streaming, standbys = connection.execute(STATUS).fetchone() or (True, False, 0)
        now = time.monotonic()
        if recovering:
            if streaming:
                self.streamed_at = now
            return Status("standby", streaming, 0, now)
        if not self._schema_made:
            make_schema(connection, f"{self._base} dbname={self._database}", self._database)
            self._schema_made = True
            print("database system is ready: primary", flush=True)
        return Status("primary", False, standbys, now)


def make_schema(connection: psycopg.Connection[Any], conninfo: str, database: str) -> None:
    """Database and tables, where missing. Role and password come from PGUSER and PGPASSWORD."""
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone():
        connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(database)))
    with psycopg.connect(conninfo) as own:
        own.execute(SCHEMA)


@dataclass(frozen=True, slots=True)
class Ruling:
    """The agent's answer."""

    granted: bool
    primary: str
    epoch: int
    ttl: float
    initialised: bool
    planned: bool


class Agent:
    """The failover agent, asked over HTTP. Methods raise OSError."""

    def __init__(self, address: str) -> None:
        self._address = address

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._address, timeout=1.0)
        try:
            connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
            response = connection.getresponse()
            raw = response.read()
        except http.client.HTTPException as problem:
            raise OSError(str(problem)) from problem
        finally:
            connection.close()
        if response.status != 200:
            raise OSError(f"the failover agent answered {response.status}")
        found: dict[str, Any] = json.loads(raw)
        return found

    def ask(self, region: str, role: str, behind: float) -> Ruling:
        """Asks for the lease, and tells how this node is."""
        answer = self._post("/lease", {"region": region, "role": role, "behind": min(behind, 1e9)})
        return Ruling(**{name: answer[name] for name in Ruling.__dataclass_fields__})

    def give_back(self, region: str, epoch: int) -> None:
        """Tells that PostgreSQL has stopped."""
        self._post("/lease/return", {"region": region, "epoch": epoch})


class Node:
    """One pass of the loop at a time; the state is what is on disk, the child process and the lease."""

    def __init__(self) -> None:
        self.region = settings.text("REGION")
        self.agent = Agent(settings.text("AGENT"))
        self.peers = dict(pair.split("=", 1) for pair in settings.words("PEERS"))
        self.renew = settings.number("LEASE_RENEW", 2)
        self.margin = settings.number("LEASE_MARGIN", 2)
        self.cluster = Cluster(Path.cwd(), settings.integer("PORT"))
        self.watch = Watch(settings.integer("PORT"), settings.text("PGDATABASE"), self.renew)
        self.postgres: subprocess.Popen[bytes] | None = None
        self.holding: Holding | None = None
        self.ruling: Ruling | None = None
        self.asked_at = float("-inf")
        self.heard_at, self.silence_told = time.monotonic(), False
        self.started_at = 0.0
        self.promoting = False
        self.primary_seen_at = time.monotonic()
        self.joining_after = 0.0

    def conninfo(self, region: str) -> str:
        """How this node connects to a peer; the password comes from PGPASSWORD."""
        host, _, port = self.peers[region].rpartition(":")
        user = settings.text("PGUSER")
        return f"host={host} port={port} user={user} dbname=postgres connect_timeout=2 application_name={self.region}"

    @property
    def writable(self) -> bool:
        """Whether PostgreSQL runs, or may soon run, as a primary."""
        return self.postgres is not None and (not self.cluster.is_standby or self.promoting)

    def ask(self) -> None:
        """Asks the agent when it is time to; a lease counts from before it was asked for."""
        now = time.monotonic()
        every = self.renew if self.holding else min(self.renew, 0.5)
        if now - self.asked_at < every:
            return
        self.asked_at = now
        status = self.watch.status
        role = "empty" if self.cluster.empty else status.role
        try:
            self.ruling = self.agent.ask(self.region, role, self.watch.behind)
        except OSError as problem:
            self.ruling = None
            if now - self.heard_at > SILENT_FOR and not self.silence_told:
                print(f"the failover agent does not answer: {problem}", flush=True)
                self.silence_told = True
            return
        self.heard_at, self.silence_told = now, False
        if self.ruling.granted:
            if self.holding is None or self.holding.epoch != self.ruling.epoch:
                print(f"lease granted: primary of epoch {self.ruling.epoch}", flush=True)
            self.holding = Holding.granted(self.ruling.epoch, now, self.ruling.ttl, self.margin)

    def expire(self) -> None:
        """Stops PostgreSQL when the lease is over. Comes first: the launcher may just have woken up."""
        if self.holding and not self.holding.valid(time.monotonic()):
            print("the lease could not be renewed", flush=True)
            self.step_down(SIGQUIT)

    def obey(self) -> None:
        """Makes PostgreSQL what the agent's ruling says it must be."""
        ruling = self.ruling
        if ruling is None:
            if self.postgres is None and not self.cluster.empty and self.cluster.is_standby and not self.promoting:
                self.start(next(region for region in self.peers if region != self.region))
            return
        if ruling.granted:
            self.be_primary(ruling)
        elif self.writable or self.holding:
            print(f"lease refused: {ruling.primary} is primary, epoch {ruling.epoch}", flush=True)
            epoch = self.holding.epoch if self.holding else ruling.epoch
            self.step_down(SIGINT if ruling.planned else SIGQUIT)
            try:
                self.agent.give_back(self.region, epoch)
            except OSError as problem:
                print(f"the lease could not be given back, it will expire: {problem}", flush=True)
        elif ruling.primary != self.region:
            self.be_standby(ruling)

    def be_primary(self, ruling: Ruling) -> None:
        """With a lease in hand."""
        if self.postgres is None:
            if self.cluster.empty:
                if ruling.initialised:
                    return  # the data is lost here: another region that has it must be made primary
                self.cluster.initialise(settings.text("PGUSER"), settings.text("PGPASSWORD"), settings.words("CLIENTS"))
            if self.holding is None or not self.holding.valid(time.monotonic()):
                return  # making the cluster took too long: ask again first
            self.start(self.region)
        if self.cluster.is_standby and not self.promoting and self.watch.status.role == "standby":
            print(f"promoting the standby to primary of epoch {ruling.epoch}", flush=True)
            self.cluster.promote(self.postgres)  # type: ignore[arg-type]  # started above
            self.promoting = True
        if self.promoting and not self.cluster.is_standby:
            self.promoting = False

    def be_standby(self, ruling: Ruling) -> None:
        """Follow the primary; a copy that does not manage to follow for long is taken again."""
        now = time.monotonic()
        if self.postgres is not None:
            if self.watch.status.streaming or not self.peer_is_primary(ruling.primary):
                self.primary_seen_at = now
            elif now - self.primary_seen_at > 10:
                print("the standby does not follow its primary: it is joined anew", flush=True)
                child.stop(self.postgres, SIGINT, 2.0)
                self.postgres, self.primary_seen_at = None, now
                self.rejoin(ruling.primary)
            return
        if now < self.joining_after or not self.peer_is_primary(ruling.primary):
            return
        if self.cluster.empty or not self.cluster.is_standby:
            self.rejoin(ruling.primary)
        if not self.cluster.empty:
            self.primary_seen_at = now
            self.start(ruling.primary)

    def peer_is_primary(self, region: str) -> bool:
        """Whether the peer can be copied from."""
        try:
            with psycopg.connect(self.conninfo(region), autocommit=True) as connection:
                row = connection.execute("SELECT NOT pg_is_in_recovery()").fetchone()
        except psycopg.Error:
            return False
        return bool(row and row[0])

    def rejoin(self, primary: str) -> None:
        """Makes the stopped copy a standby of the primary: by rewinding it, else by copying everything again."""
        try:
            if not self.cluster.empty:
                # pg_rewind compares checkpoints: before its first one, a promoted primary seems not to have diverged.
                with psycopg.connect(self.conninfo(primary), autocommit=True) as connection:
                    connection.execute("CHECKPOINT")
                self.cluster.rewind_to(self.conninfo(primary))
                print(f"rejoined {primary} by pg_rewind", flush=True)
                return
        except (ClusterError, psycopg.Error) as problem:
            print(f"{problem}: a full copy is made instead", flush=True)
        try:
            self.cluster.copy_from(self.conninfo(primary))
            print(f"joined {primary} by pg_basebackup", flush=True)
        except ClusterError as problem:
            self.joining_after = time.monotonic() + 2
            print(f"{problem}: will be tried again", flush=True)

    def start(self, primary: str) -> None:
        """Starts PostgreSQL, following `primary` if it is a standby."""
        self.started_at = time.monotonic()
        self.postgres = self.cluster.start(self.conninfo(primary))
        if self.cluster.is_standby:
            print(f"standby of {primary} starts", flush=True)

    def step_down(self, how: Any) -> None:
        """No PostgreSQL runs after this."""
        if self.postgres is not None:
            child.stop(self.postgres, how, 0.5 if how == SIGQUIT else 5.0)
            print("PostgreSQL stopped: not primary any more", flush=True)
        self.postgres, self.holding, self.promoting = None, None, False

    def pages(self) -> dict[str, child.Page]:
        """Health and metrics."""

        def health() -> tuple[int, str, bytes]:
            status, holding = self.watch.status, self.holding
            serving = status.role == "primary" or (status.role == "standby" and status.streaming)
            body = {
                "status": status.role,
                "writable": status.role == "primary",
                "streaming": status.streaming,
                "standbys": status.standbys,
                "epoch": holding.epoch if holding else 0,
                "lease_seconds": round(holding.expires - time.monotonic(), 3) if holding else 0,
            }
            return 200 if serving else 503, "application/json", json.dumps(body).encode()

        def metrics() -> tuple[int, str, bytes]:
            status, holding = self.watch.status, self.holding
            values = {
                "sophia_postgres_up": int(status.role != "down"),
                "sophia_postgres_accepts": int(self.watch.accepts),
                "sophia_postgres_writable": int(status.role == "primary"),
                "sophia_postgres_streaming": int(status.streaming),
                "sophia_postgres_standbys": status.standbys,
                "sophia_postgres_behind_seconds": min(self.watch.behind, 1e9) if status.role == "standby" else 0,
                "sophia_lease_epoch": holding.epoch if holding else 0,
            }
            lines = [f"{name} {value}" for name, value in values.items()]
            return 200, "text/plain; version=0.0.4", ("\n".join(lines) + "\n").encode()

        return {"/health": health, "/metrics": metrics}


def main() -> int:
    """Until PostgreSQL ends by itself or the launcher is asked to end."""
    stopping = child.Stopping()
    node = Node()
    child.serve_pages(settings.integer("HTTP_PORT"), node.pages())
    early_ends = 0
    while not stopping:
        node.expire()
        node.ask()
        node.expire()
        node.obey()
        if node.postgres is not None and (code := node.postgres.poll()) is not None:
            early_ends += 1
            # Right after a kill the last backends of the old one may still be going, and a new one refuses to start.
            if time.monotonic() - node.started_at > 3 or early_ends > 5:
                return child.exit_code(code) or 1
            node.postgres = None
        stopping.wait(0.1)
    if node.postgres is not None:
        child.stop(node.postgres, SIGINT, 4.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
