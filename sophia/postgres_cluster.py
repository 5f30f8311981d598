"""A PostgreSQL data directory and what is done to it with PostgreSQL's own programs. Nothing here decides anything.

Whatever takes several steps is done beside the data directory and moved into place, or leaves a marker: a launcher that
is killed in the middle finds out at its next start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGUSR1

from sophia import child, programs, settings, unprivileged

PARAMETERS = {
    "unix_socket_directories": "",
    "max_connections": "160",
    "shared_buffers": "64MB",
    "wal_level": "replica",
    "wal_log_hints": "on",
    "wal_keep_size": "256MB",
    "max_wal_senders": "6",
    "max_replication_slots": "4",
    "hot_standby": "on",
    "hot_standby_feedback": "on",
    "wal_receiver_status_interval": "1s",
    "wal_receiver_timeout": "10s",
    "wal_retrieve_retry_interval": "500ms",
    "wal_sender_timeout": "10s",
    "fsync": "on",
    "synchronous_commit": "on",
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "jit": "off",
}


class ClusterError(Exception):
    """One of PostgreSQL's programs failed; what it said is in the log."""


class Cluster:
    """The data directory `state`/data."""

    def __init__(self, state: Path, port: int) -> None:
        self.data, self.port = state / "data", port
        self._fresh, self._rewinding = state / "data.new", state / "rewinding"
        self._state = state
        if state.stat().st_mode & 0o011 != 0o011:  # the user that PostgreSQL runs as must be able to enter
            state.chmod(0o711)

    @property
    def empty(self) -> bool:
        """Whether there is no data that could be used."""
        return not (self.data / "PG_VERSION").exists() or self._rewinding.exists()

    @property
    def is_standby(self) -> bool:
        """Whether it would start as a standby."""
        return (self.data / "standby.signal").exists()

    def _run(self, *command: str, env: Mapping[str, str] | None = None) -> None:
        done = subprocess.run(
            command,
            cwd=self._state,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            preexec_fn=unprivileged.before_exec(self._state),
            check=False,
        )
        if done.returncode != 0:
            raise ClusterError(f"{Path(command[0]).name} ended with {done.returncode}")

    def _make_fresh(self) -> None:
        shutil.rmtree(self._fresh, ignore_errors=True)
        self._fresh.mkdir(mode=0o700)

    def _move_into_place(self) -> None:
        if self.data.exists():
            shutil.rmtree(self.data)
        self._fresh.rename(self.data)
        self._rewinding.unlink(missing_ok=True)

    def initialise(self, user: str, password: str, clients: Sequence[str] = ()) -> None:
        """A new, empty cluster with one role that has a password; `clients`: networks it may be used from."""
        self._make_fresh()
        secret = self._state / "password"
        secret.unlink(missing_ok=True)
        secret.touch(mode=0o600)
        secret.write_text(password)
        try:
            self._run(
                *(programs.find("initdb"), "--pgdata", str(self._fresh), "--username", user, "--pwfile", str(secret)),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--data-checksums"),
            )
        finally:
            secret.unlink()
        # In the file, not only on the command line: pg_rewind starts PostgreSQL by itself to recover a crashed cluster,
        # and a standby refuses to follow a primary that ran with larger limits than its own.
        with (self._fresh / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{name} = '{value}'\n" for name, value in PARAMETERS.items())
        with (self._fresh / "pg_hba.conf").open("a") as access:  # loopback stands there already
            for network in clients:
                access.write(f"host all,replication all {network} scram-sha-256\n")
        self._move_into_place()

    def copy_from(self, primary: str) -> None:
        """A full copy of the primary (conninfo), to start as its standby."""
        self._make_fresh()
        self._run(
            *(programs.find("pg_basebackup"), "--dbname", primary, "--pgdata", str(self._fresh)),
            *("--wal-method", "stream", "--checkpoint", "fast"),
        )
        (self._fresh / "standby.signal").touch(mode=0o600)
        self._move_into_place()

    def rewind_to(self, primary: str) -> None:
        """Takes back what only this cluster has, to start as the primary's standby; the copy must be stopped."""
        self._rewinding.touch()
        self._run(
            *(programs.find("pg_rewind"), "--target-pgdata", str(self.data), "--source-server", primary),
            "--no-ensure-shutdown" if self._cleanly_shut_down() else "--progress",
        )
        (self.data / "standby.signal").touch(mode=0o600)
        self._rewinding.unlink()

    def _cleanly_shut_down(self) -> bool:
        told = subprocess.run(
            [programs.find("pg_controldata"), str(self.data)], capture_output=True, text=True, check=True
        ).stdout
        return any(line.startswith("Database cluster state:") and "shut down" in line for line in told.splitlines())

    def start(self, primary: str) -> subprocess.Popen[bytes]:
        """Starts PostgreSQL; `primary` is whom it follows if it is a standby."""
        options = [f"-clisten_addresses={settings.host()}", f"-cport={self.port}", f"-cprimary_conninfo={primary}"]
        return child.start(
            [programs.find("postgres"), "-D", str(self.data), *options],
            cwd=self._state,
            before_exec=unprivileged.before_exec(self._state),
        )

    def promote(self, postgres: subprocess.Popen[bytes]) -> None:
        """Asks a running standby to become primary; needs no connection and does not wait."""
        (self.data / "promote").touch()
        postgres.send_signal(SIGUSR1)
