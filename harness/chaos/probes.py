"""Probes for Chaos Toolkit experiments: `module: harness.chaos.probes`.

Chaos Toolkit looks at a tolerance only in the hypothesis; a probe in the method that says False "succeeds". So the
probes that wait (`landed`, `holds`, `gone`, `level_becomes`) raise when they do not see what they wait for.
Durations are written with their unit ("5s", "500ms", "2m").
"""

from __future__ import annotations

import time
from typing import Any

from harness.chaos import context, http, lifecycle
from harness.chaos.lifecycle import NotSeen
from harness.model.base import parse_duration

PING = "/api/ping"


def landed(fault: str, within: str, name: str = "", configuration: dict[str, Any] | None = None) -> str:
    """Waits until an observer independent of the injector sees the fault's effect; raises when it does not in time."""
    return lifecycle.await_landed(context.session(configuration), name or fault, parse_duration(within)).detail


def holds(fault: str, over: str = "0s", name: str = "", configuration: dict[str, Any] | None = None) -> str:
    """The fault's effect is there now and at every look for so long; raises as soon as it is not."""
    return lifecycle.check_holds(context.session(configuration), name or fault, parse_duration(over)).detail


def gone(fault: str, within: str, name: str = "", configuration: dict[str, Any] | None = None) -> str:
    """Waits until the platform has healed the fault by itself; raises when it has not in time."""
    return lifecycle.await_gone(context.session(configuration), name or fault, parse_duration(within)).detail


def http_ok(url: str, status: int = 200, timeout: str = "2s") -> bool:
    """Whether a GET is answered with this status."""
    return http.get(url, parse_duration(timeout)).status == status


def level_is(
    level: int,
    path: str = PING,
    region: str = "",
    timeout: str = "2s",
    configuration: dict[str, Any] | None = None,
) -> bool:
    """Whether users are served at this degradation level now (and by this region, when one is named)."""
    return _serves(context.edge(configuration) + path, int(level), region, parse_duration(timeout))


def level_becomes(
    level: int,
    within: str,
    path: str = PING,
    region: str = "",
    sustained: str = "1s",
    every: str = "100ms",
    timeout: str = "2s",
    configuration: dict[str, Any] | None = None,
) -> dict[str, float]:
    """Waits until users are served at this level without a break for `sustained`; raises when that does not come.

    Returns after how many seconds the stretch began. For the eye and for the experiment's own order only: recovery is
    timed by the beacon.
    """
    url = context.edge(configuration) + path
    began, since = time.monotonic(), None
    limit_s, hold_s = parse_duration(within), parse_duration(sustained)
    while (now := time.monotonic()) - began <= limit_s + hold_s:
        if not _serves(url, int(level), region, parse_duration(timeout)):
            since = None
            if now - began > limit_s:
                break
        elif since is None:
            since = now
        if since is not None and time.monotonic() - since >= hold_s:
            return {"after_s": round(since - began, 3)}
        time.sleep(parse_duration(every))
    raise NotSeen(f"level {level}{f' by {region}' if region else ''} was not served within {within}")


def share_of_good(
    over: str,
    level: int = 1,
    path: str = PING,
    every: str = "100ms",
    timeout: str = "2s",
    configuration: dict[str, Any] | None = None,
) -> float:
    """Share of answers that were 200 at `level` or better, asked one after another for `over`."""
    url, good, asked = context.edge(configuration) + path, 0, 0
    end = time.monotonic() + parse_duration(over)
    while asked == 0 or time.monotonic() < end:
        answer = http.get(url, parse_duration(timeout))
        good += answer.status == 200 and 1 <= answer.level <= int(level)
        asked += 1
        time.sleep(parse_duration(every))
    return good / asked


def _serves(url: str, level: int, region: str, timeout_s: float) -> bool:
    answer = http.get(url, timeout_s)
    return answer.status == 200 and answer.level == level and region in ("", answer.headers.get("x-region", ""))
