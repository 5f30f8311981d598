"""The launchers around real PostgreSQL, Redis and Weaviate: the lease, the failover, the rejoin, the corpus."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def get(url: str, body: object = None) -> dict[str, Any]:
    """The JSON of any answer; {} when nobody answers."""
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            raw = answer.read()
    except urllib.error.HTTPError as error:
        raw = error.read()
    except OSError:
        return {}
    found: dict[str, Any] = json.loads(raw)
    return found


def wait_for(what: str, true: Callable[[], bool], within: float = 40.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, f"not within {within:.0f} s: {what}"
        time.sleep(0.05)


@dataclass
class Processes:
    """Launchers, each in its own session and folder; none survives the test."""

    root: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, module: str, **environment: object) -> None:
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        with (folder / "log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=folder,
                env={**os.environ, **{key: str(value) for key, value in environment.items()}},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        self.running[name].kill()
        self.running.pop(name).wait()

    def end(self, name: str) -> int:
        self.running[name].terminate()
        return self.running.pop(name).wait(20)

    def log(self, name: str) -> str:
        return (self.root / name / "log").read_text()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    found = Processes(tmp_path)
    try:
        yield found
    finally:
        for process in found.running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


@dataclass
class Databases:
    """Two nodes and the agent that decides between them, with short times."""

    processes: Processes
    agent: int = field(default_factory=free_port)
    shares: int = field(default_factory=free_port)
    sql: dict[str, int] = field(default_factory=lambda: {"sjc": free_port(), "lax": free_port()})
    http: dict[str, int] = field(default_factory=lambda: {"sjc": free_port(), "lax": free_port()})
    behind_at_most: float = 300.0
    check_every: float = 0.5

    def start_agent(self) -> None:
        topology = self.processes.root / "topology.json"
        endpoints = [
            {"name": region, "service": "postgres", "region": region, "url": f"http://127.0.0.1:{port}/health"}
            for region, port in self.http.items()
        ]
        topology.write_text(json.dumps({"endpoints": endpoints, "weaviates": []}))
        self.processes.start(
            "agent",
            "sophia.failover_agent",
            **{"SERVICE": "failover-agent", "PORT": self.agent, "REGIONS": "sjc,lax", "TOPOLOGY": topology},
            **{"LEASE_TTL": 3, "CHECK_EVERY": self.check_every, "CHECK_FAILURES": 3, "SNAPSHOT_EVERY": 0},
            **{"BEHIND_AT_MOST": self.behind_at_most, "BACKUPS": self.processes.root, "SHARES_PORT": self.shares},
        )

    def start_node(self, region: str) -> None:
        self.processes.start(
            region,
            "sophia.postgres_node",
            **{"PORT": self.sql[region], "HTTP_PORT": self.http[region], "REGION": region},
            **{"AGENT": f"127.0.0.1:{self.agent}", "LEASE_RENEW": 0.5, "LEASE_MARGIN": 1.5},
            PEERS=",".join(f"{name}=127.0.0.1:{port}" for name, port in self.sql.items()),
            **{"PGUSER": "sophia", "PGPASSWORD": "only-here", "PGDATABASE": "sophia"},
        )

    def health(self, region: str) -> dict[str, Any]:
        return get(f"http://127.0.0.1:{self.http[region]}/health")

    def term(self) -> dict[str, Any]:
        return get(f"http://127.0.0.1:{self.agent}/term")

    def writable(self, region: str) -> bool:
        """As the database itself says, not its launcher."""
        try:
            with self.connect(region) as connection:
                row = connection.execute("SELECT NOT pg_is_in_recovery()").fetchone()
        except psycopg.Error:
            return False
        return bool(row and row[0])

    def connect(self, region: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            f"host=127.0.0.1 port={self.sql[region]} user=sophia password=only-here dbname=sophia connect_timeout=2",
            autocommit=True,
        )

    def keys(self, region: str) -> list[str]:
        """All keys there; none while the database or its table is not there yet."""
        try:
            with self.connect(region) as connection:
                return [key for (key,) in connection.execute("SELECT key FROM memories ORDER BY key")]
        except psycopg.Error:
            return []

    def write(self, region: str, key: str) -> None:
        with self.connect(region) as connection:
            connection.execute("INSERT INTO memories (key, text) VALUES (%s, 'text')", (key,))

    def up(self) -> None:
        self.start_agent()
        self.start_node("sjc")
        self.start_node("lax")
        wait_for("lax follows sjc", lambda: self.health("sjc").get("standbys") == 1 and self.writable("sjc"))
        wait_for("the agent knows that the region is healthy", lambda: bool(self.term().get("armed")))


@pytest.fixture
def databases(processes: Processes) -> Databases:
    return Databases(processes)


def test_a_deleted_memory_is_gone_until_it_is_written_again(databases: Databases) -> None:
    from sophia.mcp_server import FOLLOW
    from sophia.memories import Memories

    databases.start_agent()
    databases.start_node("sjc")
    wait_for("sjc is primary", lambda: databases.writable("sjc"))
    wait_for("the table is there", lambda: databases.writable("sjc") and databases.keys("sjc") == [])
    conninfo = f"host=127.0.0.1 port={databases.sql['sjc']} user=sophia password=only-here dbname=sophia"

    async def story() -> list[Any]:
        memories = Memories(conninfo)
        while await memories.look() is not True:
            await asyncio.sleep(0.1)
        await memories.write("k", "kept")
        told: list[Any] = [await memories.delete("k"), await memories.delete("k"), await memories.delete("never")]
        told.append(await memories.read(["k"]))
        with databases.connect("sjc") as connection:  # the indexes learn of it
            told.append(connection.execute(FOLLOW, ("-infinity", 10)).fetchall()[0][:3])
        again = await memories.write("k", "kept")
        told += [again.duplicate, again.version, [memory["text"] for memory in await memories.read(["k"])]]
        await memories.close()
        return told

    assert asyncio.run(story()) == [True, False, False, [], ("k", "", 2), False, 3, ["kept"]]


def test_a_dead_primary_is_replaced_and_rejoins_as_standby_without_losing_what_was_acknowledged(
    databases: Databases,
) -> None:
    databases.up()
    databases.write("sjc", "before")
    wait_for("the row is replicated", lambda: databases.keys("lax") == ["before"])
    databases.processes.kill("sjc")
    wait_for("lax is primary", lambda: databases.writable("lax"))
    assert databases.term()["epoch"] == 2
    databases.write("lax", "after")

    databases.start_node("sjc")
    wait_for("sjc follows lax", lambda: databases.health("sjc").get("streaming") is True)
    assert not databases.writable("sjc")
    assert databases.writable("lax")
    wait_for("sjc has everything", lambda: databases.keys("sjc") == ["after", "before"])

    url = f"http://127.0.0.1:{databases.agent}/switchover"
    wait_for("the agent knows that sjc follows", lambda: get(url, {"to": "sjc"}).get("heir") == "sjc")
    wait_for("sjc is primary again", lambda: databases.writable("sjc"))
    wait_for("lax follows again", lambda: databases.health("lax").get("streaming") is True)
    assert not databases.writable("lax")
    assert databases.keys("sjc") == ["after", "before"]
    assert databases.processes.end("sjc") == 0


def test_users_are_shared_as_told_and_the_edge_is_told_so(databases: Databases) -> None:
    """The agent check of an edge, by a real HAProxy's word for it: a line, answered by a percentage."""
    databases.start_agent()
    url = f"http://127.0.0.1:{databases.agent}/users"
    wait_for("the agent answers", lambda: bool(databases.term()))

    def share(region: str) -> str:
        with socket.create_connection(("127.0.0.1", databases.shares), timeout=2) as edge:
            edge.sendall(f"{region}\n".encode())
            return edge.makefile().read()

    assert (share("sjc"), share("lax"), share("mars")) == ("100%\n", "0%\n", "0%\n")
    assert get(url, {"region": "lax", "share": 0.1}) == {"sjc": 0.9, "lax": 0.1}
    assert (share("sjc"), share("lax")) == ("90%\n", "10%\n")
    for wrong in ({"region": "lax", "share": 1}, {"region": "lax", "share": True}, {"region": "mars", "share": 0.1}):
        assert get(url, wrong).get("error"), wrong
    databases.processes.kill("agent")
    databases.start_agent()
    wait_for("the agent answers again", lambda: bool(databases.term()))
    assert databases.term()["users"] == {"sjc": 0.9, "lax": 0.1}, "who starts again remembers"


def test_writes_wait_while_the_primary_is_moved_as_planned(databases: Databases, monkeypatch: Any) -> None:
    from sophia.memories import Unavailable
    from sophia.orchestrator import Orchestrator, every
    from sophia.settings import Identity

    databases.up()
    told = {"REDIS": "127.0.0.1:1", "WEAVIATE": "127.0.0.1:1", "GPU": "x", "GATEWAY": "x", "EMBEDDER": "x"}
    told |= {"PEERS": ",".join(f"{name}=127.0.0.1:{port}" for name, port in databases.sql.items()), "DB_HOLD": "5"}
    told |= {"FAILOVER_AGENT": f"127.0.0.1:{databases.agent}", "HOME_REGION": "sjc"}
    told["DATABASE"] = f"postgresql://sophia:only-here@127.0.0.1:{databases.sql['lax']}/sophia?connect_timeout=2"
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    url = f"http://127.0.0.1:{databases.agent}"
    get(f"{url}/users", {"region": "lax", "share": 0.5})

    async def story() -> tuple[int, list[str]]:
        """A region that serves half of the users, with the other one's database, writes on and on."""
        api, written, failed = Orchestrator(Identity("unified-api", "lax-0", "lax", "1", 1)), 0, []
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            api.connect(session)
            tasks = [
                asyncio.create_task(every(0.1, work))
                for work in (api.probe_database, api.probe_primary, api.follow_term)
            ]
            while not api.serves():
                await asyncio.sleep(0.1)
            await asyncio.to_thread(get, f"{url}/switchover", {"to": "lax"})
            end = time.monotonic() + 6
            while time.monotonic() < end:
                try:
                    await api.on_primary(lambda its, key=f"k{written}": its.write(key, "text"))
                    written += 1
                except Unavailable as problem:
                    failed.append(str(problem))
                assert api.serves(), "the edge keeps its users"
                await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            for memories in api.databases.values():
                await memories.close()
        return written, failed

    written, failed = asyncio.run(story())
    assert databases.term()["primary"] == "lax"
    assert (failed, written > 50) == ([], True)
    assert len(databases.keys("lax")) == written, "nothing that was acknowledged is lost"


def test_a_primary_that_cannot_renew_its_lease_stops_before_anybody_may_take_over(databases: Databases) -> None:
    databases.check_every = 5.0  # time enough for sjc to start again before its region counts as lost
    databases.up()
    databases.processes.kill("agent")
    wait_for("sjc stops writing", lambda: not databases.writable("sjc"), within=6)
    assert not databases.writable("lax"), "nobody was crowned, so nobody may write"
    databases.start_agent()
    wait_for("sjc is primary again", lambda: databases.writable("sjc"))
    assert databases.term()["epoch"] == 1


def test_a_standby_that_lacks_too_much_is_not_promoted(databases: Databases) -> None:
    databases.behind_at_most = 0.0  # no standby is this near
    databases.up()
    databases.processes.kill("sjc")
    wait_for("the checks have failed", lambda: databases.term()["failed_checks"] >= 3)
    time.sleep(4)  # longer than the lease: whoever might be crowned would be by now
    assert not databases.writable("lax")
    assert databases.term()["epoch"] == 1


def test_killing_a_launcher_takes_its_postgresql_along(databases: Databases) -> None:
    databases.start_agent()
    databases.start_node("sjc")
    wait_for("sjc is primary", lambda: databases.writable("sjc"))
    databases.processes.kill("sjc")
    wait_for("PostgreSQL is gone", lambda: not databases.writable("sjc"), within=5)


def test_redis_node_tells_its_health(processes: Processes) -> None:
    port, http = free_port(), free_port()
    processes.start("redis", "sophia.redis_node", PORT=port, HTTP_PORT=http)
    wait_for("redis answers", lambda: get(f"http://127.0.0.1:{http}/health") == {"status": "ok"}, within=10)
    with urllib.request.urlopen(f"http://127.0.0.1:{http}/metrics", timeout=2) as answer:
        assert b"redis_up 1" in answer.read()
    assert processes.end("redis") == 0


def test_weaviate_has_the_corpus_with_its_known_neighbours_also_after_a_kill(processes: Processes) -> None:
    from sophia import corpus

    ports = {name: free_port() for name in ("PORT", "GRPC_PORT", "GOSSIP_PORT", "DATA_PORT", "RAFT_PORT")}
    ports |= {name: free_port() for name in ("RAFT_RPC_PORT", "METRICS_PORT")}
    base = f"http://127.0.0.1:{ports['PORT']}"

    def neighbours(name: str) -> set[str]:
        near = f'nearObject:{{id:"{corpus.document_id(name)}"}}'
        query = {"query": f"{{Get{{Document({near},limit:3){{name}}}}}}"}
        request = urllib.request.Request(
            f"{base}/v1/graphql", json.dumps(query).encode(), {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                found = json.load(answer)["data"]["Get"]["Document"] or []
        except OSError:
            return set()
        return {hit["name"] for hit in found}

    def logged(lines: list[str]) -> bool:
        return all(line in processes.log("weaviate") for line in lines)

    for start in (1, 2):
        processes.start("weaviate", "sophia.weaviate_node", **ports)
        wait_for("the neighbours are found", lambda: neighbours("doc-17") == corpus.neighbours("doc-17"))
        assert get(f"{base}/v1/schema/Document")["vectorIndexConfig"]["rq"] == {
            "enabled": True,
            "bits": 8,
            "rescoreLimit": 20,
        }
        lines = [f"Corpus ready: {count} documents loaded" for count in (corpus.DOCUMENTS, 0)[:start]]
        wait_for(lines[-1], partial(logged, lines))
        processes.kill("weaviate")


def test_a_loader_beside_weaviate_fills_it_whenever_it_comes_back_empty(processes: Processes) -> None:
    from sophia import corpus

    ports = {name: free_port() for name in ("PORT", "GRPC_PORT", "GOSSIP_PORT", "DATA_PORT", "RAFT_PORT")}
    ports |= {name: free_port() for name in ("RAFT_RPC_PORT", "METRICS_PORT")}
    processes.start("corpus", "sophia.weaviate_corpus", WEAVIATE=f"127.0.0.1:{ports['PORT']}")
    line = f"Corpus ready: {corpus.DOCUMENTS} documents loaded"
    for times in (1, 2):
        processes.start("weaviate", "sophia.weaviate_node", SEED=0, **ports)
        wait_for("the corpus is loaded", lambda times=times: processes.log("corpus").count(line) == times)  # type: ignore[misc]
        processes.kill("weaviate")
        shutil.rmtree(processes.root / "weaviate" / "data")
    assert "Corpus ready" not in processes.log("weaviate")
    assert processes.end("corpus") == 0


def test_a_database_lets_in_the_networks_it_is_told_of_and_only_with_the_password(
    processes: Processes, databases: Databases
) -> None:
    databases.start_agent()
    os.environ["CLIENTS"] = "10.0.0.0/8,192.168.0.0/16"
    try:
        databases.start_node("sjc")
    finally:
        del os.environ["CLIENTS"]
    wait_for("sjc is primary", lambda: databases.writable("sjc"))
    access = (processes.root / "sjc" / "data" / "pg_hba.conf").read_text().splitlines()
    own = [line.split() for line in access if line.strip() and not line.startswith("#")]
    assert own[-2:] == [
        ["host", "all,replication", "all", network, "scram-sha-256"] for network in ("10.0.0.0/8", "192.168.0.0/16")
    ]
    assert {line[-1] for line in own} == {"scram-sha-256"}


@pytest.mark.parametrize(
    ("module", "environment"),
    [
        ("sophia.agent_ui", {"SERVICE": "agent-ui", "BRIDGE": "http://127.0.0.1:1", "PORT": "{port}"}),
        ("sophia.redis_node", {"PORT": "{other}", "HTTP_PORT": "{port}"}),
    ],
)
def test_a_service_listens_where_it_is_told_and_nowhere_else(
    processes: Processes, module: str, environment: dict[str, str]
) -> None:
    port, other = free_port(), free_port()
    told = {name: value.format(port=port, other=other) for name, value in environment.items()}
    processes.start("service", module, HOST="127.0.0.2", **told)
    wait_for("it answers there", lambda: get(f"http://127.0.0.2:{port}/health") != {}, within=15)
    assert get(f"http://127.0.0.1:{port}/health") == {}
