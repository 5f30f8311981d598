"""The beacon: a light GET at a fixed beat through the edge, a new connection each time, on its own process and clock.

    python -m harness.load.beacon --url http://127.0.0.1:8080/api/ping --every 20ms --timeout 2s --record FOLDER

It is open: an outstanding probe never holds the next one back. What is in flight is bounded, so that a hung server
cannot use up descriptors; a probe above the bound is recorded as dropped. It ends on SIGINT or SIGTERM, at most one
time-out later.
"""

from __future__ import annotations

import argparse
import errno
import math
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.errors import BadInput
from harness.load import rxtime
from harness.load.http1 import Malformed, Reader, Response, request
from harness.load.order import RECORD_LOST, Status, status_file, stream, write_status
from harness.load.origin import origin
from harness.load.recorder import RecordError, Stream
from harness.load.timerfd import TimerFd
from harness.load.tls import Session, TlsFailed
from harness.model.base import parse_duration
from harness.model.records import REQUEST_COLUMNS, Content, Outcome

FLUSH_NS = 250_000_000
_BOTH_EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET  # one registration for a probe's whole life
_CUT = {errno.EPIPE, errno.ECONNRESET}
_LOCAL = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}


@dataclass(slots=True)
class Probe:
    """One probe under way."""

    index: int
    intended_ns: int
    started_ns: int
    sock: socket.socket
    reader: Reader
    tls: Session | None
    sent: bool = False


class Prober:
    """An epoll loop around the probes. `run` returns once `stopping` was set and nothing is in flight any more."""

    def __init__(self, url: str, every_s: float, timeout_s: float, record: Stream) -> None:
        self._origin, parts = origin(url), urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._request = request(b"GET", target.encode(), self._origin.authority, close=True)
        self._every, self._timeout = round(every_s * 1e9), round(timeout_s * 1e9)
        self._bound = math.ceil(timeout_s / every_s) + 2
        self._record = record
        self._flying: dict[int, Probe] = {}  # by descriptor, the oldest first
        self._epoll = select.epoll()
        self._timer = TimerFd()
        self._epoll.register(self._timer.fd, select.EPOLLIN)
        self._stamps = rxtime.keep_on()
        self.stopping = False
        self.origin_ns = self.until_ns = -1
        self.scheduled = self.dropped = 0

    @property
    def in_flight(self) -> int:
        return len(self._flying)

    def run(self, each_second: Any) -> None:
        """Probes until told to stop; calls `each_second` about once a second. Raises RecordError."""
        self.origin_ns = now = time.monotonic_ns()
        flush_at, second_at, woken = now + FLUSH_NS, now, -1
        while not self.stopping or self._flying:
            self._expire()
            if not self.stopping:
                self._send_due()
            elif self.until_ns < 0:
                self.until_ns = min(time.monotonic_ns(), self._due())  # every probe intended before was sent
            now = time.monotonic_ns()
            if now >= flush_at:
                self._record.flush()
                flush_at = now + FLUSH_NS
            if now >= second_at:
                each_second()
                second_at = now + 1_000_000_000
            wake = now + self._every if self.stopping else self._due()
            if wake != woken:
                self._timer.set(wake)
                woken = wake
            for descriptor, ready in self._epoll.poll(1.0):
                if descriptor != self._timer.fd:
                    self._progress(self._flying[descriptor], ready)
        if self.until_ns < 0:
            self.until_ns = min(time.monotonic_ns(), self._due())

    def _due(self) -> int:
        return self.origin_ns + self.scheduled * self._every

    def _send_due(self) -> None:
        while (intended := self._due()) <= time.monotonic_ns():
            index, self.scheduled = self.scheduled, self.scheduled + 1
            if len(self._flying) >= self._bound:
                self._drop(index, intended)
                continue
            started = time.monotonic_ns()
            try:
                sock = socket.socket(self._origin.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            except OSError:
                self._drop(index, intended)
                continue
            rxtime.ask(sock)
            probe = Probe(index, intended, started, sock, Reader(), self._origin.session())
            self._flying[sock.fileno()] = probe
            code = sock.connect_ex(self._origin.address)
            if code not in (0, errno.EINPROGRESS):
                self._refused(probe, code)
                continue
            self._epoll.register(sock.fileno(), _BOTH_EDGES)

    def _progress(self, probe: Probe, ready: int) -> None:
        """The probe's socket is ready: go as far as it lets us."""
        if not probe.sent:
            try:
                # Tells, too, how the connecting ended.
                probe.sock.send(probe.tls.seal(self._request) if probe.tls else self._request)
            except BlockingIOError:
                return
            except OSError as error:
                self._refused(probe, error.errno or 0)
                return
            probe.sent = True
        if ready & ~select.EPOLLOUT:
            self._receive(probe)

    def _receive(self, probe: Probe) -> None:
        ended, response = False, None
        try:
            while not ended and response is None:  # an edge is told once: read on until there is nothing left
                data, received_ns = rxtime.receive(probe.sock)
                said, ended = _opened(probe, data)
                response = probe.reader.feed(said) if said else None
            if response is None:
                response = probe.reader.end()
        except BlockingIOError:
            return
        except (OSError, Malformed, TlsFailed):
            self._end(probe, Outcome.BROKEN)
            return
        if response is None:
            self._end(probe, Outcome.BROKEN)
            return
        response.received_ns = max(received_ns, probe.started_ns)
        self._end(probe, Outcome.ANSWERED, response)

    def _expire(self) -> None:
        limit = time.monotonic_ns() - self._timeout
        for probe in list(self._flying.values()):
            if probe.started_ns > limit:
                break
            if probe.sent:
                self._receive(probe)  # an answer may have come that we are late to read
            if probe.sock.fileno() in self._flying:
                self._end(probe, Outcome.TIMEOUT)

    def _refused(self, probe: Probe, code: int) -> None:
        if code in _CUT:
            self._end(probe, Outcome.BROKEN)
        elif code in _LOCAL:
            self._flying.pop(probe.sock.fileno())
            probe.sock.close()
            self._drop(probe.index, probe.intended_ns)
        else:
            self._end(probe, Outcome.REFUSED)

    def _drop(self, index: int, intended_ns: int) -> None:
        self.dropped += 1
        self._write(index, intended_ns, -1, -1, Outcome.DROPPED, None)

    def _end(self, probe: Probe, outcome: Outcome, response: Response | None = None) -> None:
        self._flying.pop(probe.sock.fileno())
        probe.sock.close()  # takes it out of the epoll set, too
        finished = response.received_ns if response else time.monotonic_ns()
        self._write(probe.index, probe.intended_ns, probe.started_ns, finished, outcome, response)

    def _write(
        self, index: int, intended: int, started: int, finished: int, outcome: Outcome, response: Response | None
    ) -> None:
        self._record.append(
            [
                index,
                "beacon",
                intended,
                started,
                finished,
                outcome,
                response.status if response else 0,
                Content.UNCHECKED,
                response.level if response else 0,
                response.header(b"x-release") if response else "",
                response.header(b"x-region") if response else "",
                response.header(b"x-instance") if response else "",
            ]
        )


def _opened(probe: Probe, data: bytes) -> tuple[bytes, bool]:
    """(what the edge said, whether it said that this is all); its hand-shake and such are answered."""
    if probe.tls is None:
        return data, not data
    opened = probe.tls.open(data)
    if opened.reply:
        _send_whole(probe.sock, opened.reply)
    return opened.plain, opened.ended


def _send_whole(sock: socket.socket, data: bytes) -> None:
    """A hand-shake's few hundred bytes find room in a socket that has sent nothing else."""
    try:
        sent = sock.send(data)
    except BlockingIOError:
        sent = 0
    if sent < len(data):
        raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A light probe at a fixed beat; records each.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--every", default="20ms")
    parser.add_argument("--timeout", default="2s")
    parser.add_argument("--record", required=True, help="folder of the record")
    options = parser.parse_args(argv)
    folder = Path(options.record)
    try:
        record = Stream(stream(folder, "beacon"), REQUEST_COLUMNS)
        prober = Prober(options.url, parse_duration(options.every), parse_duration(options.timeout), record)
    except (BadInput, RecordError, ValueError) as error:
        print(error, file=sys.stderr)
        return 20

    def stop(*_: object) -> None:
        prober.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    cpu = [time.monotonic(), time.process_time()]

    def status(**more: Any) -> None:
        now = [time.monotonic(), time.process_time()]
        share = (now[1] - cpu[1]) / max(now[0] - cpu[0], 1e-9)
        cpu[:] = now
        write_status(
            status_file(folder, "beacon"),
            Status(
                origin_ns=prober.origin_ns,
                until_ns=prober.until_ns,
                scheduled=prober.scheduled,
                recorded=record.written,
                in_flight=prober.in_flight,
                dropped=prober.dropped,
                cpu=share,
                **more,
            ),
        )

    try:
        prober.run(status)
        record.close()
        status(done=True)
    except (RecordError, OSError) as error:
        print(error, file=sys.stderr)
        return RECORD_LOST
    return 0


if __name__ == "__main__":
    sys.exit(main())
