"""Health checks and gates: one look, and polling to a deadline with every attempt kept."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.model.platform import HttpCheck

EVIDENCE_LIMIT = 2000
KEPT_ATTEMPTS = 200


@dataclass(frozen=True)
class Look:
    """One look at something: whether it was as it should be, and what was seen."""

    ok: bool
    evidence: str


@dataclass(frozen=True)
class Attempt:
    """A look and when it was taken: monotonic ns at its start, seconds it took."""

    at_ns: int
    seconds: float
    look: Look


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    text: str


# method, URL, headers, body, time-out in seconds → answer; OSError or HTTPException when there is none
Send = Callable[[str, urllib.parse.SplitResult, Mapping[str, str], str | None, float], Answer]


def send_direct(
    method: str, url: urllib.parse.SplitResult, headers: Mapping[str, str], body: str | None, timeout: float
) -> Answer:
    """One request on a connection of its own."""
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=timeout)
    try:
        connection.request(method, target_of(url), body=body, headers={**headers, "Connection": "close"})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, text)
    finally:
        connection.close()


def target_of(url: urllib.parse.SplitResult) -> str:
    """Path and query, as a request line has them."""
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def http_look(check: HttpCheck, url: str, fill: Callable[[str], str], send: Send = send_direct) -> Look:
    """One request, judged by the check. Never raises for what the other side does.

    `url` is the scheme, host and port; the check's path may also be a whole URL of its own.
    """
    path = fill(check.path)
    whole = urllib.parse.urlsplit(path if "://" in path else url + path)
    body = None if check.body is None else json.dumps(filled(check.body, fill))
    headers = {key: fill(value) for key, value in check.headers.items()}
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    if not whole.hostname:
        return Look(False, f"{path} is no URL")
    begun = time.monotonic()
    try:
        answer = send(check.method, whole, headers, body, check.timeout)
    except (OSError, http.client.HTTPException) as error:
        return Look(False, f"{check.method} {whole.geturl()}: {type(error).__name__}: {error}")
    seconds = time.monotonic() - begun
    wrong = judge(check, answer.status, answer.headers, answer.text, seconds, fill)
    said = f"{check.method} {target_of(whole)} → {answer.status} in {seconds * 1000:.1f} ms: {answer.text[:400]}"
    return Look(not wrong, ("; ".join(wrong) + " | " if wrong else "") + said)


def judge(
    check: HttpCheck,
    status: int,
    headers: Mapping[str, str],
    text: str,
    seconds: float,
    fill: Callable[[str], str] = lambda text: text,
) -> list[str]:
    """What is wrong with an answer, in words; empty when all is as the check says. `headers` has lower-case names."""
    wrong = [f"status {status}, not {check.status}"] if status != check.status else []
    if check.faster_than is not None and seconds >= check.faster_than:
        wrong.append(f"took {seconds:.3f} s, not less than {check.faster_than:g} s")
    for name, expected in check.expect_headers.items():
        if headers.get(name.lower()) != fill(expected):
            wrong.append(f"header {name} is {headers.get(name.lower())!r}, not {fill(expected)!r}")
    if not (check.expect or check.at_least or check.at_most):
        return wrong
    try:
        document = json.loads(text)
    except ValueError:
        return [*wrong, "the answer is not JSON"]
    for pointer, expected_value in check.expect.items():
        found = at_pointer(document, pointer)
        if found != filled(expected_value, fill) or isinstance(found, bool) is not isinstance(expected_value, bool):
            wrong.append(f"{pointer} is {short(found)}, not {short(expected_value)}")
    for limits, fits, word in (
        (check.at_least, float.__ge__, "at least"),
        (check.at_most, float.__le__, "at most"),
    ):
        for pointer, limit in limits.items():
            found = at_pointer(document, pointer)
            if isinstance(found, bool) or not isinstance(found, int | float) or not fits(float(found), limit):
                wrong.append(f"{pointer} is {short(found)}, not {word} {limit:g}")
    return wrong


class Missing:
    """Nothing stands at a pointer; equal to no JSON value."""

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()


def at_pointer(document: Any, pointer: str) -> Any:
    """RFC 6901; MISSING where it leads nowhere."""
    found = document
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return MISSING
    return found


def filled(value: Any, fill: Callable[[str], str]) -> Any:
    """A JSON value with the placeholders of all its strings filled in."""
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, dict):
        return {key: filled(item, fill) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, fill) for item in value]
    return value


def short(value: Any) -> str:
    return repr(value)[:120]


def command_look(
    argv: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    timeout: float,
    user: str = "",
    cancelled: Callable[[], bool] = lambda: False,
) -> Look:
    """Runs a program to its end in a group of its own, which is killed when time is up. Output is the evidence."""
    who: dict[str, Any] = {"user": user, "group": _group_of(user), "extra_groups": []} if user else {}
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            **who,
        )
    except OSError as error:
        return Look(False, f"{argv[0]}: {error.strerror}")
    deadline = time.monotonic() + timeout
    while True:
        try:
            output, _ = child.communicate(timeout=0.1)
            ended = f"exit {child.returncode}"
            break
        except subprocess.TimeoutExpired:
            if time.monotonic() < deadline and not cancelled():
                continue
            os.killpg(child.pid, signal.SIGKILL)
            output, _ = child.communicate()
            ended = "given up" if cancelled() else f"not done within {timeout:g} s"
            break
    text = output.decode(errors="replace").strip()
    return Look(child.returncode == 0, f"{ended}: {text[-EVIDENCE_LIMIT:]}")


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def poll(
    look: Callable[[], Look], within: float, every: float, give_up: Callable[[], str] = lambda: ""
) -> tuple[bool, list[Attempt]]:
    """Looks until it is ok or `within` seconds are over; at least once. Attempts beyond KEPT_ATTEMPTS lose the middle.

    `give_up` may end the wait early: it says why, or nothing.
    """
    deadline = time.monotonic() + within
    attempts: list[Attempt] = []
    while True:
        begun = time.monotonic_ns()
        seen = look()
        attempts.append(Attempt(begun, (time.monotonic_ns() - begun) / 1e9, seen))
        if len(attempts) > KEPT_ATTEMPTS:
            del attempts[KEPT_ATTEMPTS // 2]
        if seen.ok:
            return True, attempts
        reason = give_up()
        if reason or time.monotonic() + every > deadline:
            if reason:
                attempts.append(Attempt(time.monotonic_ns(), 0.0, Look(False, reason)))
            return False, attempts
        time.sleep(every)
