"""Runs one PostgreSQL, makes its cluster, role, database and schema when they are missing, and tells its health.

Environment: PORT (PostgreSQL), HTTP_PORT (health and metrics), REGION, PGUSER, PGPASSWORD, PGDATABASE. State is kept in
the working directory. Commits are durable when acknowledged: fsync and synchronous_commit stay on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT

import psycopg

from sophia import child, programs, settings, unprivileged

SCHEMA = """
CREATE TABLE IF NOT EXISTS memories (
    key text PRIMARY KEY,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    text text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
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
PARAMETERS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "140",
    "shared_buffers": "64MB",
    "wal_level": "replica",
    "wal_log_hints": "on",
    "wal_keep_size": "256MB",
    "max_wal_senders": "6",
    "hot_standby": "on",
    "fsync": "on",
    "synchronous_commit": "on",
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "jit": "off",
}


def run(command: list[str], before_exec: Callable[[], None], cwd: Path) -> None:
    """Runs one of PostgreSQL's own programs to its end; raises CalledProcessError, its output is in the log."""
    subprocess.run(command, check=True, cwd=cwd, stdin=subprocess.DEVNULL, preexec_fn=before_exec)


def make_cluster(data: Path, user: str, password: str) -> None:
    """An empty cluster with one role that has a password."""
    data.mkdir(mode=0o700)
    secret = data.parent / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    before_exec = unprivileged.before_exec(data.parent)
    try:
        run(
            [
                *(programs.find("initdb"), "--pgdata", str(data), "--username", user, "--pwfile", str(secret)),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--data-checksums"),
            ],
            before_exec,
            data.parent,
        )
    finally:
        secret.unlink()
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host replication all 127.0.0.1/32 scram-sha-256\n")


def conninfo(port: int, database: str) -> str:
    """Role and password come from PGUSER and PGPASSWORD."""
    return f"host=127.0.0.1 port={port} dbname={database} connect_timeout=2 application_name=postgres-node"


def make_schema(port: int, database: str) -> None:
    """Database and tables, where missing; raises psycopg.OperationalError while PostgreSQL does not answer."""
    with psycopg.connect(conninfo(port, "postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone():
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(database)))
    with psycopg.connect(conninfo(port, database)) as connection:
        connection.execute(SCHEMA)


class Watch:
    """What the database says of itself, asked on one kept connection."""

    def __init__(self, port: int, database: str) -> None:
        self._conninfo = conninfo(port, database)
        self._connection: psycopg.Connection | None = None
        self.role = "down"

    def look(self) -> str:
        """`primary`, `standby`, or `down` while it does not answer."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self._conninfo, autocommit=True)
            row = self._connection.execute("SELECT pg_is_in_recovery()").fetchone()
        except psycopg.Error:
            if self._connection is not None:
                self._connection.close()
            self._connection, self.role = None, "down"
        else:
            self.role = "standby" if row and row[0] else "primary"
        return self.role


def pages(watch: Watch) -> dict[str, child.Page]:
    """The node's health page and metrics."""

    def health() -> tuple[int, str, bytes]:
        body = json.dumps({"status": watch.role, "writable": watch.role == "primary"}).encode()
        return (503 if watch.role == "down" else 200), "application/json", body

    def metrics() -> tuple[int, str, bytes]:
        lines = [f"sophia_postgres_up {int(watch.role != 'down')}"]
        lines += [f'sophia_postgres_role{{role="{role}"}} {int(watch.role == role)}' for role in ("primary", "standby")]
        return 200, "text/plain; version=0.0.4", ("\n".join(lines) + "\n").encode()

    return {"/health": health, "/metrics": metrics}


def main() -> int:
    """Until PostgreSQL ends or the launcher is asked to."""
    stopping = child.Stopping()
    state = Path.cwd()
    data, port, database = state / "data", settings.integer("PORT"), settings.text("PGDATABASE")
    watch = Watch(port, database)
    child.serve_pages(settings.integer("HTTP_PORT"), pages(watch))
    if not (data / "PG_VERSION").exists():
        make_cluster(data, settings.text("PGUSER"), settings.text("PGPASSWORD"))
    options = [f"-c{name}={value}" for name, value in {**PARAMETERS, "port": str(port)}.items()]
    postgres = child.start(
        [programs.find("postgres"), "-D", str(data), *options], cwd=state, before_exec=unprivileged.before_exec(data)
    )
    schema_made = False
    while postgres.poll() is None and not stopping:
        if not schema_made:
            try:
                make_schema(port, database)
            except psycopg.OperationalError:
                stopping.wait(0.05)
                continue
            schema_made = True
            print(f"database system is ready, schema made at {time.strftime('%X')}", flush=True)
        watch.look()
        stopping.wait(0.25)
    return 0 if stopping and child.stop(postgres, SIGINT, 4.0) is not None else child.exit_code(postgres.wait())


if __name__ == "__main__":
    sys.exit(main())
