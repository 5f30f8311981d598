"""Whoever decides, for all regions, who is primary and who serves users: asked and told over HTTP."""

from __future__ import annotations

import json
import time
from typing import Any

from harness.errors import TargetError
from harness.faults import _shared as shared
from harness.kube.rights import rights
from harness.ports import Instance, Target

RIGHTS = rights("get create", "pods", subresource="proxy")  # on Kubernetes
ASKING_S, AGAIN_S = 5.0, 0.5


def term(target: Target, instance: Instance, port: str, path: str) -> dict[str, Any]:
    """What he tells at `path`, at least the `primary`; TargetError when he does not."""
    status, said = shared.calls(target).call(instance, port, "GET", path, None, ASKING_S)
    try:
        found = dict(json.loads(said)) if status == 200 else {}
    except (ValueError, TypeError):
        found = {}
    if "primary" not in found:
        raise TargetError(f"{instance.name} does not tell at {path} who is primary: status {status}")
    return found


def settled(target: Target, instance: Instance, port: str, path: str, within_s: float) -> dict[str, Any]:
    """The term once no change goes on: until then it still names the old primary. TargetError when one does not end."""
    end = time.monotonic() + within_s
    while (found := term(target, instance, port, path)).get("heir"):
        if time.monotonic() > end:
            raise TargetError(f"{instance.name} is still about to make {found['heir']} primary")
        time.sleep(AGAIN_S)
    return found


def tell(target: Target, instance: Instance, port: str, path: str, body: dict[str, Any], within_s: float) -> None:
    """POST until it is accepted. Raises TargetError with the last refusal."""
    calls, end = shared.calls(target), time.monotonic() + within_s
    while True:
        status, said = calls.call(instance, port, "POST", path, json.dumps(body), ASKING_S)
        if 200 <= status < 300:
            return
        if time.monotonic() > end:
            raise TargetError(f"{instance.name} does not accept {path} {body}: status {status}: {said[:200]}")
        time.sleep(AGAIN_S)
