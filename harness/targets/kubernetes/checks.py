"""Post-deployment checks of a platform on a cluster. Where one means the same as on the local target, it has the same
name: objectives name checks."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from harness.errors import TargetError
from harness.model.events import CheckDone
from harness.ports import Endpoints, Instance, Report
from harness.targets.checks import PLACEHOLDER_SECRET, done, public_addresses
from harness.targets.gates import see_checks
from harness.targets.kubernetes import objects, pods, state
from harness.targets.kubernetes.api import ApiError, Cluster, Manifest
from harness.targets.kubernetes.gates import Gates, Place
from harness.targets.kubernetes.nodes import node_troubles
from harness.targets.kubernetes.objects import RUN
from harness.targets.kubernetes.state import ClusterFolder, ClusterState
from harness.targets.probe import Look
from harness.targets.state import write_whole
from harness.tls import distrusted

LOG_LIMIT = 4 * 1024 * 1024
THREADS = 8


def of_cluster(cluster: Cluster, folder: ClusterFolder, now: ClusterState) -> Iterator[CheckDone]:
    """What is looked at wherever a platform is, in words and counts; then the platform file's own: `declared`."""
    seen = pods.of_run(cluster, now)
    serving = pods.instances(now, seen, folder.root)
    by_name = {pod["metadata"]["name"]: pod for pod in seen}
    yield _health(Gates((Place(cluster, now, folder.root),), folder, now), serving, by_name)
    yield _restarts(now, serving, by_name)
    yield _endpoints(cluster, now)
    yield from _logs(cluster, folder, now, serving, by_name)
    applied = [each for group in state.read_applied(folder).values() for each in group.values()]
    yield done("no placeholder secret", placeholder_secrets(applied), len(applied))
    yield done("no hard-coded public address", hard_coded(applied), len(applied))
    yield _nodes(cluster, by_name)


def certificates(at: Endpoints, report: Report) -> None:
    """Nothing can be measured at an https address that nobody may believe. Raises TargetError."""
    addresses = [at.edge, at.prometheus, at.alertmanager, *at.regions.values()]
    secure = [each for each in dict.fromkeys(addresses) if each.startswith("https://")]
    wrong = [f"{each}: {why}" for each in secure if (why := distrusted(each))]
    if secure:
        report(done("certificates are believed", wrong, len(secure)))
    if wrong:
        fix = "renew it, or name a private authority's certificates in $SSL_CERT_FILE"
        raise TargetError("\n".join([*wrong, f"  fix: {fix}"]))


def declared(looking: Gates) -> list[CheckDone]:
    """The platform file's own checks."""
    return see_checks(looking.state.spec.checks, looking.look, looking.folder.gates)


def together(found: Mapping[str, Sequence[CheckDone]]) -> list[CheckDone]:
    """Cluster → its checks, as one per name: what one cluster cannot tell is not known of the whole."""
    merged: dict[str, list[tuple[str, CheckDone]]] = {}
    for cluster, checks in found.items():
        for each in checks:
            merged.setdefault(each.name, []).append((cluster, each))
    return [_one(name, parts) for name, parts in merged.items()]


def _one(name: str, parts: Sequence[tuple[str, CheckDone]]) -> CheckDone:
    detail = "; ".join(f"{cluster}: {each.detail}" for cluster, each in parts if each.detail)
    if any(each.of == 0 and each.detail for _, each in parts):
        return CheckDone(name=name, passed=0, of=0, detail=detail)
    passed, of = sum(each.passed for _, each in parts), sum(each.of for _, each in parts)
    return CheckDone(name=name, passed=passed, of=of, detail=detail)


def _health(looking: Gates, serving: Sequence[Instance], by_name: Mapping[str, Manifest]) -> CheckDone:
    def one(each: Instance) -> Look:
        health = looking.state.service(each.service).health
        if health is not None:
            return looking.healthy(each, health)
        return Look(pods.is_ready(by_name[each.name]), "the pod is not Ready")

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        looks = list(pool.map(one, serving))
    wrong = [f"{each.name}: {look.evidence}" for each, look in zip(serving, looks, strict=True) if not look.ok]
    return done("every health endpoint answers", wrong, len(serving))


def _restarts(now: ClusterState, serving: Sequence[Instance], by_name: Mapping[str, Manifest]) -> CheckDone:
    """Neither waiting for its next try nor ended a short while ago (the platform file's `forget_after`)."""
    wrong = []
    for each in serving:
        forget = now.service(each.service).restart.forget_after
        for status in pods.statuses(by_name[each.name]):
            waiting = (status.get("state") or {}).get("waiting") or {}
            ended = (status.get("lastState") or {}).get("terminated") or {}
            if waiting.get("reason") == "CrashLoopBackOff" or _age(ended.get("finishedAt")) < forget:
                code = ended.get("exitCode", "unknown")
                wrong.append(f"{each.name}: restarted {status.get('restartCount')} times, last exit code {code}")
    return done("no instance is restarting", wrong, len(serving))


def _age(moment: str | None) -> float:
    """Seconds since a time that the API gave; without one, for ever."""
    if not moment:
        return float("inf")
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


def _endpoints(cluster: Cluster, now: ClusterState) -> CheckDone:
    """A Service with a selector leads to somebody who is ready; one of canaries has nobody until there is one."""
    selectors = {
        each["metadata"]["name"]: (each["spec"] or {}).get("selector") or {}
        for each in cluster.list("v1/Service", now.on.namespace, {RUN: now.id})
    }
    services = [name for name, selector in selectors.items() if selector and pods.TRACK not in selector]
    ready: set[str] = set()
    for part in cluster.list("discovery.k8s.io/v1/EndpointSlice", now.on.namespace):
        if any((each.get("conditions") or {}).get("ready", True) for each in part.get("endpoints") or []):
            ready.add((part["metadata"].get("labels") or {}).get("kubernetes.io/service-name", ""))
    wrong = [f"{name}: nobody is behind it" for name in services if name not in ready]
    return done("every Service has endpoints", wrong, len(services))


def _logs(
    cluster: Cluster,
    folder: ClusterFolder,
    now: ClusterState,
    serving: Sequence[Instance],
    by_name: Mapping[str, Manifest],
) -> Iterator[CheckDone]:
    texts = deployment_logs(cluster, folder, now, serving, by_name)
    unread = [f"{name}: its log cannot be read" for name, text in texts.items() if text is None]
    lacking, failing, asked = [], [], 0
    for each in serving:
        text, own = texts[each.name] or "", now.service(each.service).logs
        success = own.success or now.spec.logs.success
        asked += bool(success)
        if success and not any(re.search(pattern, text, re.MULTILINE) for pattern in success):
            lacking.append(f"{each.name}: its log has none of {', '.join(success)}")
        patterns = (*own.failure, *now.spec.logs.failure)
        found = next((hit for pattern in patterns if (hit := re.search(pattern, text, re.MULTILINE))), None)
        if found:
            line = text[text.rfind("\n", 0, found.start()) + 1 :].split("\n", 1)[0]
            failing.append(f"{each.name}: {line[:200]}")
    yield done("logs show success", lacking, asked)
    yield done("logs show no failure", [*failing, *unread], len(serving))


def deployment_logs(
    cluster: Cluster,
    folder: ClusterFolder,
    now: ClusterState,
    serving: Sequence[Instance],
    by_name: Mapping[str, Manifest],
) -> dict[str, str | None]:
    """What each pod's containers logged until they were first checked (at most the first 4 MiB of each); None when it
    cannot be read.

    Later lines tell of what was done to a platform that stays up, faults included, not of its deployment.
    """
    sizes: dict[str, int] = json.loads(folder.checked.read_text()) if folder.checked.exists() else {}

    def one(each: Instance) -> str | None:
        text = ""
        for status in pods.statuses(by_name[each.name]):
            limit = sizes.get(status.get("containerID", ""), LOG_LIMIT)
            try:
                part = cluster.logs(now.on.namespace, each.name, status["name"], limit_bytes=limit) if limit else ""
            except ApiError:
                return None
            sizes.setdefault(status.get("containerID", ""), len(part.encode()))
            text += part
        return text

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        texts = dict(zip((each.name for each in serving), pool.map(one, serving), strict=True))
    write_whole(folder.checked, json.dumps(sizes).encode())
    return texts


def placeholder_secrets(manifests: Sequence[Manifest]) -> list[str]:
    """Secrets and environments in which somebody forgot to replace what stood there as an example."""
    wrong = []
    for each in manifests:
        values = dict(_secret_values(each)) if each["kind"] == "Secret" else {}
        values |= {
            variable["name"]: variable["value"]
            for container in objects.containers(each, init=True)
            for variable in container.get("env") or []
            if isinstance(variable.get("value"), str)
        }
        names = sorted(name for name, value in values.items() if PLACEHOLDER_SECRET.search(value))
        if names:
            wrong.append(f"{objects.key(each)}: {', '.join(names)}")
    return wrong


def _secret_values(secret: Manifest) -> Iterator[tuple[str, str]]:
    yield from (secret.get("stringData") or {}).items()
    for name, encoded in (secret.get("data") or {}).items():
        try:
            yield name, base64.b64decode(encoded).decode(errors="replace")
        except ValueError:
            yield name, str(encoded)


def hard_coded(manifests: Sequence[Manifest]) -> list[str]:
    """Addresses of the public Internet that stand in objects."""
    found: list[tuple[Any, list[str]]] = [(objects.key(each), public_addresses(json.dumps(each))) for each in manifests]
    return [f"{name}: {', '.join(addresses)}" for name, addresses in found if addresses]


def _nodes(cluster: Cluster, by_name: Mapping[str, Manifest]) -> CheckDone:
    """The nodes that the platform runs on are Ready and short of nothing."""
    names = {pod["spec"].get("nodeName", "") for pod in by_name.values()} - {""}
    wrong, seen = [], 0
    try:
        for node in cluster.list("v1/Node"):
            if node["metadata"]["name"] in names:
                seen += 1
                wrong += [f"{node['metadata']['name']}: {what}" for what in node_troubles(node)]
    except ApiError as error:
        if error.status != 403:
            raise
        return CheckDone(name="memory and disk are left", passed=0, of=0, detail="we may not look at nodes")
    return done("memory and disk are left", wrong, max(seen, len(wrong)))
