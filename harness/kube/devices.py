"""Devices of nodes that can go away and come back: the capability `Devices` on a cluster.

A device is a file on the node, as its plug-in sees it: away, the plug-in tells the kubelet that the device is not well.
An agent hides the file of the device that a pod was given, and shows it again when it ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import TargetError
from harness.kube import agent, pods
from harness.kube.ports import Manifest, Site
from harness.kube.rights import rights

NODE = "v1/Node"
REGION = "topology.kubernetes.io/region"
AWAY_S = 900.0  # a device does not stay away for longer than this, whatever becomes of the harness
RIGHTS = (*agent.RIGHTS, *rights("list", "nodes", namespaced=False))


def users(found: Sequence[Manifest], kind: str) -> list[Manifest]:
    """The pods whose main container was given a device of a kind."""
    return [pod for pod in found if kind in (pods.main_container(pod["spec"]).get("resources", {}).get("limits") or {})]


def detach(site: Site, name: str, path: str, having: Sequence[Manifest]) -> None:
    """Hides the device of each of these pods. Raises TargetError when one has none."""
    if not having:
        raise TargetError(f"no pod has the device {name!r}")
    made = []
    for number, pod in enumerate(having):
        made.append(f"harness-device-{name}-{number}")
        argv = ["hide", str(AWAY_S), pods.container_id(pods.main(pod)), path]
        agent.launch(
            site, made[-1], _fault(name), ("node", "device"), argv, AWAY_S, security=agent.NODE, node=pods.node(pod)
        )
    for each in made:
        agent.await_ready(site, each)


def attach(site: Site, name: str, kind: str, region: str, path: str) -> None:
    """Ends what hides it, and shows what is still hidden on any node of the region. Idempotent, and from cold."""
    agent.remove(site, _fault(name))
    folder = path.rpartition("/")[0]
    for node in nodes(site, kind, region):
        where = node["metadata"]["name"]
        sweeper = f"harness-device-{name}-{where}"
        agent.launch(
            site, sweeper, _fault(name), ("node", "device"), ["hold", "30"], 30, security=agent.NODE, node=where
        )
        agent.ask(site, sweeper, ["show", folder])
    agent.remove(site, _fault(name))


def nodes(site: Site, kind: str, region: str) -> list[Manifest]:
    """Those of a region that have devices of a kind."""
    labels = {REGION: region} if region else ""
    return [
        node for node in site.cluster.list(NODE, labels=labels) if kind in node.get("status", {}).get("capacity", {})
    ]


def all_well(site: Site, kind: str, region: str) -> bool:
    """Whether every device of the region's nodes can be given out, by the kubelets' word. TargetError when none tells:
    a node whose plug-in is gone has no devices, and knows nothing of them."""
    found = [node["status"] for node in nodes(site, kind, region) if node["status"]["capacity"][kind] != "0"]
    if not found:
        raise TargetError(f"no node{f' of region {region}' if region else ''} tells of a {kind}")
    return all(each["allocatable"].get(kind, "0") == each["capacity"][kind] for each in found)


def _fault(name: str) -> str:
    return f"device-{name}"
