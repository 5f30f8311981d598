"""Post-deployment checks (of those that make sense for processes)."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.model.events import CheckDone
from harness.targets import instances as inst
from harness.targets import restart_policy
from harness.targets.folder import PlatformFolder
from harness.targets.gates import gate_look, see_checks
from harness.targets.preflight import free_disk_mib, free_memory_mib
from harness.targets.render import render
from harness.targets.state import ANSWERING, PlatformState, write_whole

# A secret that somebody forgot to replace: the whole value, or a word of it between separators.
PLACEHOLDER_SECRET = re.compile(r"(?i)(?<![a-z0-9])(changeme|change-me|your-[a-z0-9_-]+|sk-x{3,}|xxx+)(?![a-z0-9])")
LOG_LIMIT = 4 * 1024 * 1024
ADDRESS = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")


def post_deployment(folder: PlatformFolder, state: PlatformState) -> Iterator[CheckDone]:
    """One CheckDone per check, in words and counts."""
    yield _health(folder, state)
    yield _restarts(folder, state)
    logs = deployment_logs(folder, state)
    yield _log_success(logs, state)
    yield _log_failure(logs, state)
    yield _secrets(folder, state)
    yield _public_addresses(state)
    yield _room(folder, state)
    yield from see_checks(state.spec.checks, lambda gate: gate_look(folder, state, gate), folder.gates)


def done(name: str, wrong: list[str], of: int) -> CheckDone:
    return CheckDone(name=name, passed=of - len(wrong), of=of, detail="; ".join(wrong)[:2000])


def _health(folder: PlatformFolder, state: PlatformState) -> CheckDone:
    serving = state.of(roles=ANSWERING)
    with ThreadPoolExecutor(max_workers=16) as pool:
        looks = list(pool.map(lambda each: inst.look(folder, state, each), serving))
    wrong = [f"{each.name}: {look.evidence}" for each, look in zip(serving, looks, strict=True) if not look.ok]
    return done("every health endpoint answers", wrong, len(serving))


def _restarts(folder: PlatformFolder, state: PlatformState) -> CheckDone:
    serving = state.of(roles=ANSWERING)
    forget_ns = {each.name: state.service(each.service).restart.forget_after * 1e9 for each in serving}
    now = time.monotonic_ns()
    ended = [
        line["instance"]
        for line in restart_policy.read_lines(folder)
        if line["what"] == "exited" and not line["held"] and now - line["mono_ns"] < forget_ns.get(line["instance"], 0)
    ]
    wrong = [f"{each.name}: ended {ended.count(each.name)} times by itself" for each in serving if each.name in ended]
    return done("no instance is restarting", wrong, len(serving))


def _log_success(logs: Mapping[str, str], state: PlatformState) -> CheckDone:
    wrong, of = [], 0
    for each in state.of(roles=ANSWERING):
        patterns = state.service(each.service).logs.success or state.spec.logs.success
        if not patterns:
            continue
        of += 1
        text = logs[each.name]
        if not any(re.search(pattern, text, re.MULTILINE) for pattern in patterns):
            wrong.append(f"{each.name}: its log has none of {', '.join(patterns)}")
    return done("logs show success", wrong, of)


def _log_failure(logs: Mapping[str, str], state: PlatformState) -> CheckDone:
    wrong, serving = [], state.of(roles=ANSWERING)
    for each in serving:
        patterns = (*state.service(each.service).logs.failure, *state.spec.logs.failure)
        text = logs[each.name]
        found = next((hit for pattern in patterns if (hit := re.search(pattern, text, re.MULTILINE))), None)
        if found:
            line = text[text.rfind("\n", 0, found.start()) + 1 :].split("\n", 1)[0]
            wrong.append(f"{each.name}: {line[:200]}")
    return done("logs show no failure", wrong, len(serving))


def deployment_logs(folder: PlatformFolder, state: PlatformState) -> dict[str, str]:
    """What each instance logged until it was first checked (at most its last 4 MiB).

    Later lines tell of what was done to a platform that stays up, faults included, not of its deployment.
    """
    sizes: dict[str, int] = json.loads(folder.checked.read_text()) if folder.checked.exists() else {}
    texts = {}
    for each in state.of(roles=ANSWERING):
        try:
            with folder.log(each.name).open("rb") as stream:
                size = sizes.setdefault(each.name, os.fstat(stream.fileno()).st_size)
                stream.seek(max(0, size - LOG_LIMIT))
                texts[each.name] = stream.read(min(size, LOG_LIMIT)).decode(errors="replace")
        except FileNotFoundError:
            texts[each.name] = ""
    write_whole(folder.checked, json.dumps(sizes).encode())
    return texts


def _secrets(folder: PlatformFolder, state: PlatformState) -> CheckDone:
    wrong, serving = [], state.of(roles=ANSWERING)
    for each in serving:
        environment = render(folder, state, each).environment
        names = sorted(key for key, value in environment.items() if PLACEHOLDER_SECRET.search(value))
        if names:
            wrong.append(f"{each.name}: {', '.join(names)}")
    return done("no placeholder secret", wrong, len(serving))


def _public_addresses(state: PlatformState) -> CheckDone:
    files = [Path(state.platform_file)]
    files += [Path(state.source) / file.template for service in state.spec.services for file in service.files]
    files = [file for file in dict.fromkeys(files) if file.exists()]
    wrong = [f"{file.name}: {', '.join(found)}" for file in files if (found := public_addresses(file.read_text()))]
    return done("no hard-coded public address", wrong, len(files))


def public_addresses(text: str) -> list[str]:
    """IPv4 addresses of the public Internet in a text."""
    found = []
    for word in ADDRESS.findall(text):
        try:
            if ipaddress.IPv4Address(word).is_global:
                found.append(word)
        except ValueError:
            continue
    return found


def _room(folder: PlatformFolder, state: PlatformState) -> CheckDone:
    needs, wrong = state.spec.needs, []
    if (memory := free_memory_mib()) < needs.memory_mib // 4:
        wrong.append(f"{memory} MiB of memory left")
    if (disk := free_disk_mib(folder.root)) < needs.disk_mib // 4:
        wrong.append(f"{disk} MiB of disk left")
    return done("memory and disk are left", wrong, 2)
