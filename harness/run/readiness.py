"""Watching who is Ready by the cluster's own word, as tools do that ask the API server and not the users."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from harness.errors import HarnessError
from harness.model.events import AnyEvent, ReadinessSeen, ReadinessWatched

ASK_EVERY_S = 0.5
STOP_WITHIN_S = 2.0

Look = Callable[[], Mapping[tuple[str, str], tuple[Sequence[str], Sequence[str]]]]


class ReadinessWatch:
    """Asks twice a second, in a thread of its own, and records what changed; what holds, holds until the next event.

    A look that fails says nothing: the next change is then known to lie between the answers around it.
    """

    def __init__(self, look: Look, record: Callable[[AnyEvent], object], every_s: float = ASK_EVERY_S) -> None:
        self._look, self._record, self._every_s = look, record, every_s
        self._known: dict[tuple[str, str], tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._from_ns = self._asked_ns = self._until_ns = 0
        self._begun_ns = time.monotonic_ns()
        self._looks = self._failed = self._longest_ns = 0
        self._ended = threading.Event()
        self._lock = threading.Lock()  # once it is stopped, nothing more is recorded
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Records how it looked; idempotent."""
        with self._lock:
            if not self._ended.is_set():
                self._ended.set()
                if not self._asked_ns:  # nobody ever answered
                    self._longest_ns = time.monotonic_ns() - self._begun_ns
                self._record(
                    ReadinessWatched(
                        from_ns=self._from_ns,
                        until_ns=self._until_ns,
                        every_s=self._every_s,
                        looks=self._looks,
                        failed=self._failed,
                        longest_s=self._longest_ns / 1e9,
                    )
                )
        self._thread.join(STOP_WITHIN_S)

    def _watch(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._every_s, time.monotonic())
            asked = time.monotonic_ns()
            try:
                seen = self._look()
            except HarnessError:
                with self._lock:
                    self._looks, self._failed = self._looks + 1, self._failed + 1
                continue
            with self._lock:
                if self._ended.is_set():
                    return
                try:
                    self._take(seen, asked, time.monotonic_ns())
                except OSError:  # the journal cannot be written: that it is looked at no more, its end will show
                    return

    def _take(self, seen: Mapping[tuple[str, str], tuple[Sequence[str], Sequence[str]]], asked: int, now: int) -> None:
        for place in sorted({*self._known, *seen}):
            ready, unready = seen.get(place, ((), ()))
            found = (tuple(sorted(ready)), tuple(sorted(unready)))
            if self._known.get(place) == found:
                continue
            self._known[place] = found
            self._record(
                ReadinessSeen(
                    service=place[0],
                    region=place[1],
                    ready=found[0],
                    unready=found[1],
                    since_ns=self._asked_ns,
                    seen_ns=now,
                )
            )
        self._looks += 1
        self._longest_ns = max(self._longest_ns, now - (self._asked_ns or self._begun_ns))
        self._from_ns = self._from_ns or asked
        self._asked_ns, self._until_ns = asked, now
