"""Whether a cluster's nodes are well, by their own conditions."""

from __future__ import annotations

import time

from harness.errors import TargetError
from harness.targets.kubernetes.api import ApiError, Cluster, Manifest

EVERY_S = 1.0


def node_troubles(node: Manifest) -> list[str]:
    """What is wrong with a node, in its own words: not Ready, or short of something."""
    conditions = {each["type"]: each for each in node["status"].get("conditions") or []}
    found = []
    ready = conditions.pop("Ready", None)
    if ready is None or ready["status"] != "True":
        found.append(f"is not Ready: {(ready or {}).get('message', 'it does not say')}")
    found += [name for name, each in conditions.items() if each["status"] == "True"]
    return found


def wait_for_nodes(cluster: Cluster, within_s: float, count: int = 1) -> None:
    """Until there are at least `count` nodes and all are Ready. Raises TargetError when they are not in time."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            nodes = cluster.list("v1/Node")
            troubles = [f"{each['metadata']['name']} {what}" for each in nodes for what in node_troubles(each)]
            troubles += [f"{len(nodes)} of {count} nodes are there"] if len(nodes) < count else []
        except ApiError as error:
            troubles = [str(error)]
        if not troubles:
            return
        if time.monotonic() > deadline:
            raise TargetError(f"nodes are not Ready within {within_s:g} s: {'; '.join(troubles)}")
        time.sleep(EVERY_S)
