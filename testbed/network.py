"""The bare bed's network: a namespace per node, all on a bridge in the first. No default route: no packet can leave."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence

from testbed.layout import SERVICES, Node
from testbed.machine import NAMESPACES
from testbed.state import TestbedError, run

BRIDGE = "testbed"
SETTINGS = ("net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1", "net.ipv4.conf.all.rp_filter=0")


def make_bridge(first: Node) -> None:
    """The first node's namespace with the bridge in it. The dummy pair keeps the bridge up without another port."""
    _make(first)
    _ip(
        first,
        f"link add {BRIDGE} type bridge",
        f"addr add {first.address}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
        "link add dummy0 type veth peer name dummy1",
        f"link set dummy0 master {BRIDGE} up",
        "link set dummy1 up",
    )


def connect(node: Node, first: Node) -> None:
    """A further node's namespace, with a link to the bridge."""
    _make(node)
    _ip(
        first,
        f"link add to-{node.name} type veth peer name eth0 netns {node.netns}",
        f"link set to-{node.name} master {BRIDGE} up",
    )
    _ip(node, f"addr add {node.address}/24 dev eth0", "link set eth0 up")


def route(node: Node, nodes: Sequence[Node]) -> None:
    """Routes to the other nodes' pods; one for services, so that packets of the node itself reach their DNAT rules."""
    device = BRIDGE if node.holds_control_plane else "eth0"
    others = [other for other in nodes if other != node]
    _ip(
        node, f"route add {SERVICES} dev {device}", *(f"route add {other.pods} via {other.address}" for other in others)
    )
    run("nsenter", f"--net={NAMESPACES / node.netns}", "sysctl", "-qw", *SETTINGS)


def cut(node: Node, first: Node) -> None:
    """Takes a node's link away: from now on nobody hears of it. A namespace alone goes some time later."""
    with contextlib.suppress(TestbedError):  # it has none
        _ip(first, f"link del to-{node.name}")


def remove(node: Node) -> None:
    """Removes a namespace, and with it its links."""
    if node.netns in names():
        run("ip", "netns", "del", node.netns)


def names() -> set[str]:
    """All of the bare bed's namespaces that there are."""
    found = NAMESPACES.iterdir() if NAMESPACES.exists() else ()
    return {path.name for path in found if re.fullmatch(r"testbed-n\d+", path.name)}


def _make(node: Node) -> None:
    run("ip", "netns", "add", node.netns)
    _ip(node, "link set lo up")


def _ip(node: Node, *lines: str) -> None:
    run("ip", "-n", node.netns, "-batch", "-", stdin="\n".join(lines) + "\n")
