"""supervisord, one per platform: its configuration, its start, and calls to it.

Its own restarting is off; harness.targets.restart_policy, an event listener beside the services, does that. Output goes
straight to files, not through supervisord, so that services outlive it.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.errors import TargetError
from harness.targets import procfs
from harness.targets.folder import PlatformFolder

POLICY = "restart-policy"
START_WITHIN_S = 15.0
ALREADY_STARTED, NOT_RUNNING, BAD_NAME, ALREADY_ADDED = 60, 70, 10, 90

MAIN = """\
[supervisord]
logfile = {log}
logfile_maxbytes = 0
pidfile = {control}/supervisord.pid
childlogdir = {control}
nocleanup = true
identifier = {id}
minfds = 1024
[unix_http_server]
file = {socket}
chmod = 0600
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[eventlistener:{policy}]
command = {python} -m harness.targets.restart_policy {root}
events = PROCESS_STATE_RUNNING,PROCESS_STATE_EXITED
buffer_size = 1000
autostart = true
autorestart = true
startsecs = 0
stderr_logfile = {control}/restart-policy.log
stderr_logfile_maxbytes = 0
[include]
files = {control}/*.conf
"""

PROGRAM = """\
[program:{name}]
command = /bin/sh {script}
directory = {directory}
autostart = false
autorestart = false
startsecs = 0
startretries = 0
stopsignal = {signal}
stopwaitsecs = {wait}
killasgroup = true
stdout_logfile = NONE
stderr_logfile = NONE
{user}
"""


def start(folder: PlatformFolder, environment: dict[str, str]) -> procfs.Seen:
    """Starts supervisord, which makes itself a daemon in a session of its own, and waits until it answers.

    Raises TargetError with what it said.
    """
    values = {
        "log": folder.supervisor_log,
        "control": folder.control,
        "id": folder.id,
        "socket": folder.socket,
        "policy": POLICY,
        "python": sys.executable,
        "root": folder.root,
    }
    config = folder.control / "supervisord.ini"
    config.write_text(MAIN.format(**{key: escape(str(value)) for key, value in values.items()}))
    folder.born.write_text(str(procfs.ticks_now()))
    said = folder.control / "supervisord.out"
    with said.open("wb") as output:
        ended = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder.root,
            env=environment,
            start_new_session=True,
            timeout=START_WITHIN_S,
            check=False,
        )
    deadline = time.monotonic() + START_WITHIN_S
    while ended.returncode == 0 and time.monotonic() < deadline:
        try:
            pid = call(folder, "supervisor.getPID")
        except TargetError:
            time.sleep(0.01)
            continue
        if seen := procfs.look(pid):
            return seen
    raise TargetError(f"supervisord did not start: {said.read_text(errors='replace')[-500:].strip()}")


def pid_of(folder: PlatformFolder) -> int:
    """The pid that supervisord wrote down, 0 when it did not."""
    try:
        return int((folder.control / "supervisord.pid").read_text())
    except (OSError, ValueError):
        return 0


def escape(value: str) -> str:
    """supervisord expands %(…)s and ends a value at ' ;'."""
    if " ;" in value or "\n" in value:
        raise TargetError(f"{value!r} cannot stand in supervisord's configuration")
    return value.replace("%", "%%")


def configure(folder: PlatformFolder, name: str, stop_signal: str, stop_wait_s: float, user: str) -> None:
    """Writes one instance's section; `load` makes supervisord read it."""
    text = PROGRAM.format(
        name=name,
        script=escape(str(folder.script(name))),
        directory=escape(str(folder.instance(name))),
        signal=stop_signal,
        wait=max(1, round(stop_wait_s)),
        user=f"user = {user}" if user else "",
    )
    (folder.control / f"{name}.conf").write_text(text)


def load(folder: PlatformFolder, names: Iterable[str]) -> None:
    """Makes supervisord know instances that were configured."""
    call(folder, "supervisor.reloadConfig")
    for name in names:
        call(folder, "supervisor.addProcessGroup", name, ignore=(ALREADY_ADDED,))


def forget(folder: PlatformFolder, name: str) -> None:
    """Takes a stopped instance out of supervisord's hands."""
    (folder.control / f"{name}.conf").unlink(missing_ok=True)
    call(folder, "supervisor.removeProcessGroup", name, ignore=(BAD_NAME,))


def call(
    folder: PlatformFolder, method: str, *arguments: object, ignore: tuple[int, ...] = (), timeout: float = 10
) -> Any:
    """One XML-RPC call over the platform's socket; None when the fault is one to ignore. Raises TargetError."""
    with xmlrpc.client.ServerProxy("http://supervisor", transport=_Transport(folder.socket, timeout)) as proxy:
        try:
            return getattr(proxy, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in ignore:
                return None
            raise TargetError(f"supervisord refused {method}{arguments}: {fault.faultString}") from None
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise TargetError(f"supervisord of {folder.root} does not answer: {error}") from None


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket, with a time-out (supervisor's own client has none)."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self.path, self.timeout = path, timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self.path, self.timeout)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


EXIT = re.compile(r"(?:exited|stopped): (\S+) \((?:exit status (\d+)|terminated by (SIG\w+))")


def exit_codes(log_text: str) -> dict[str, int]:
    """The last exit code of each process as supervisord logged it, negative for a signal.

    Its XML-RPC says -1 for every signal; only the log has the name.
    """
    codes: dict[str, int] = {}
    for name, status, number in EXIT.findall(log_text):
        codes[name] = int(status) if status else -getattr(signal, number, 0)
    return codes


def last_exit_code(folder: PlatformFolder, name: str, tail: int = 65536) -> int | None:
    """The last exit code of one process, None when it has not ended (or longer ago than the log's tail)."""
    try:
        with folder.supervisor_log.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - tail))
            return exit_codes(log.read().decode(errors="replace")).get(name)
    except FileNotFoundError:
        return None
