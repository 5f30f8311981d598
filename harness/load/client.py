"""The one HTTP client of all journeys: raw sockets in the gevent hub.

A connection's read watcher stays on for its whole life: no system call per request but send and recv, and a kept
connection that the server closes is noticed before it is used again. `request` may be called from any greenlet.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from gevent import get_hub, getcurrent
from gevent.monkey import get_original

from harness.load import rxtime
from harness.load.http1 import Malformed, Reader, Response, request
from harness.load.origin import Origin, origin
from harness.load.tls import TlsFailed
from harness.model.records import Outcome

_socket = get_original("socket", "socket")  # gevent's own would start and stop a watcher for every read
_READ, _WRITE = 1, 2
_OURS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}


class NoAnswer(Exception):
    """No response came; `outcome` tells how."""

    def __init__(self, outcome: Outcome, detail: str = "") -> None:
        super().__init__(outcome, detail)
        self.outcome, self.detail = outcome, detail

    def __str__(self) -> str:
        return f"{self.outcome.name}: {self.detail}" if self.detail else self.outcome.name


class Client:
    """Sends requests to one origin (scheme, host, port). `keep` False opens a connection for each request."""

    def __init__(self, url: str, *, timeout_s: float, keep: bool = True, idle_s: float = 4.0) -> None:
        self._origin = origin(url)
        self._timeout, self._keep, self._idle_s = timeout_s, keep, idle_s
        self._hub = get_hub()
        self._idle: list[_Connection] = []
        self._waiting: dict[_Connection, float] = {}  # → its deadline; the earliest first, for all wait equally long
        self._alarm: Any = None
        self._stamps = rxtime.keep_on()
        self.opened = 0

    def request(self, method: str, target: str, body: bytes | None = None) -> Response:
        """The response, whatever its status. Raises NoAnswer: TIMEOUT, REFUSED, BROKEN, or DROPPED when this machine
        has no descriptor or port left for it."""
        data = request(method.encode(), target.encode(), self._origin.authority, body, close=not self._keep)
        now = time.monotonic()
        connection = self._take(now)
        connection.waiter = getcurrent()
        self._waiting[connection] = now + self._timeout
        if self._alarm is None:
            self._set_alarm(now + self._timeout, now)
        try:
            connection.send(data)
            answer = self._hub.switch()
        except BaseException:  # the send failed, or the waiting greenlet is being killed
            connection.close()
            raise
        finally:
            connection.waiter = None
            self._waiting.pop(connection, None)
        if not isinstance(answer, Response):
            raise answer
        if self._keep and answer.keep_alive and not connection.closed:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Closes what is idle; requests under way are not touched."""
        self._stamps.close()
        if self._alarm is not None:
            self._alarm.close()
            self._alarm = None
        while self._idle:
            self._idle.pop().close()

    def _take(self, now: float) -> _Connection:
        while self._idle:
            connection = self._idle.pop()  # the one used last is the likeliest to be alive
            if connection.closed:
                continue
            if now - connection.idle_since < self._idle_s:
                return connection
            connection.close()
        self.opened += 1
        return _Connection(self._hub, self._origin)

    def _set_alarm(self, deadline: float, now: float) -> None:
        self._alarm = self._hub.loop.timer(max(deadline - now, 0.001))
        self._alarm.start(self._expire)

    def _expire(self) -> None:
        """The alarm rings at the deadline of a request that may have ended since: one timer for all, rarely set."""
        now = time.monotonic()
        self._alarm.close()
        self._alarm = None
        late = [connection for connection, deadline in self._waiting.items() if deadline <= now]
        for connection in late:
            connection.give_up()
        if self._waiting and self._alarm is None:
            self._set_alarm(next(iter(self._waiting.values())), now)


class _Connection:
    """One socket; `waiter` is the greenlet whose response is awaited on it."""

    __slots__ = (
        "_connecting",
        "_hub",
        "_reader",
        "_sock",
        "_tls",
        "_unsent",
        "_watcher",
        "_writable",
        "closed",
        "idle_since",
        "waiter",
    )

    def __init__(self, hub: Any, to: Origin) -> None:
        self.waiter: Any = None
        self.closed, self._connecting, self.idle_since = False, False, 0.0
        self._hub, self._unsent, self._reader = hub, b"", Reader()
        self._writable: Any = None
        self._tls = to.session()
        try:
            self._sock = _socket(to.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as error:
            raise _no_connection(error.errno or 0) from error
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rxtime.ask(self._sock)
        code = self._sock.connect_ex(to.address)
        if code not in (0, errno.EINPROGRESS):
            self._sock.close()
            raise _no_connection(code)
        self._connecting = code == errno.EINPROGRESS
        self._watcher = hub.loop.io(self._sock.fileno(), _READ)
        if not self._connecting:
            self._watcher.start(self._readable)

    def send(self, data: bytes) -> None:
        """Raises NoAnswer when it cannot be sent."""
        self._push(self._tls.seal(data) if self._tls else data)

    def _push(self, data: bytes) -> None:
        if self._writable is not None:  # what came before is not on its way yet
            self._unsent += data
            return
        if self._connecting:
            self._unsent = data
            self._when_writable(self._connected)
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise NoAnswer(Outcome.BROKEN, os.strerror(error.errno or 0)) from error
        if sent < len(data):
            self._unsent = data[sent:]
            self._when_writable(self._send_rest)

    def finish(self, answer: Response | NoAnswer) -> None:
        """Gives the answer to the waiter, or closes a connection that nobody waits on. Called on the hub."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None and isinstance(answer, Response):
            waiter.switch(answer)
            return
        self.close()
        if waiter is not None:
            waiter.switch(answer)

    def give_up(self) -> None:
        """The time is over, but an answer may have come that we are late to read."""
        if not self._connecting:
            self._readable()
        if self.waiter is not None:
            self.finish(NoAnswer(Outcome.TIMEOUT))

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._watcher.stop()
            self._watcher.close()
            self._stop_writing()
            self._sock.close()

    def _readable(self) -> None:
        try:
            data, received_ns = rxtime.receive(self._sock)
        except BlockingIOError:
            return
        except OSError as error:
            self.finish(NoAnswer(Outcome.BROKEN, os.strerror(error.errno or 0)))
            return
        try:
            said, ended = self._open(data) if self._tls else (data, not data)
            if self.waiter is None:
                if said or ended:  # the server ended an idle connection, or spoke unasked
                    self.close()
                return
            answer = self._reader.feed(said) if said else None
            if answer is None and ended:
                answer = self._reader.end()
        except (Malformed, TlsFailed) as error:
            what = "malformed: " if isinstance(error, Malformed) else ""
            self.finish(NoAnswer(Outcome.BROKEN, f"{what}{error}"))
            return
        except NoAnswer as failure:
            self.finish(failure)
            return
        if answer is not None:
            answer.received_ns = received_ns
            answer.keep_alive &= not ended
            self.finish(answer)
        elif ended:
            self.finish(NoAnswer(Outcome.BROKEN, "closed before the response was whole"))

    def _open(self, data: bytes) -> tuple[bytes, bool]:
        """(what the server said, whether it said that this is all); its hand-shake and such are answered."""
        assert self._tls is not None
        opened = self._tls.open(data)
        if opened.reply:
            self._push(opened.reply)
        return opened.plain, opened.ended

    def _when_writable(self, callback: Callable[[], None]) -> None:
        self._writable = self._hub.loop.io(self._sock.fileno(), _WRITE)
        self._writable.start(callback)

    def _stop_writing(self) -> None:
        if self._writable is not None:
            self._writable.stop()
            self._writable.close()
            self._writable = None

    def _connected(self) -> None:
        self._stop_writing()
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.finish(_no_connection(code))
            return
        self._connecting = False
        self._watcher.start(self._readable)
        self._continue()

    def _send_rest(self) -> None:
        self._stop_writing()
        self._continue()

    def _continue(self) -> None:
        data, self._unsent = self._unsent, b""
        try:
            self._push(data)
        except NoAnswer as failure:
            self.finish(failure)


def _no_connection(code: int) -> NoAnswer:
    return NoAnswer(Outcome.DROPPED if code in _OURS else Outcome.REFUSED, os.strerror(code))
