"""Who is who in the bare bed: nodes, addresses, folders. Known from the bed's own record, also to a later process."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from testbed.machine import Before
from testbed.state import TestbedError, root

REGIONS = ("", "sjc", "sjc", "lax")
SERVICES = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"
DNS = "10.96.0.10"
PODS = "10.244.0.0/16"
API_PORT = 16443
# The platform's NodePorts: edge, Prometheus, Alertmanager, databases, unified APIs, front end (deploy/kustomize); the
# gateway's (manifests/gateway.yaml).
NODE_PORTS = (30080, 30090, 30093, 30432, 30433, 30180, 30181, 30300, 30088)
VOLUMES = "/var/local/volumes"
GPUS = "/var/local/gpus"
SHARED = "/var/local/shared"  # the same on every node, as a network file system would be
# Paths that kubelet, containerd, libcni or we fix: each node has its own, mounted over the machine's.
OWN = ("/var/lib/kubelet", "/var/lib/cni", "/var/log/containers", "/run/containerd", VOLUMES, GPUS)


@dataclass(frozen=True)
class Node:
    number: int
    region: str

    @property
    def name(self) -> str:
        return f"n{self.number}"

    @property
    def netns(self) -> str:
        return f"testbed-{self.name}"

    @property
    def cgroup(self) -> str:
        return f"testbed-{self.name}"

    @property
    def address(self) -> str:
        return f"10.210.0.{self.number}"

    @property
    def pods(self) -> str:
        return f"10.244.{self.number}.0/24"

    @property
    def holds_control_plane(self) -> bool:
        return self.number == 1


@dataclass(frozen=True)
class Record:
    """What `up` writes before it changes anything, and `down` reads."""

    regions: tuple[str, ...]
    node_ports: tuple[int, ...]
    since: str
    before: Before

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(Node(number, region) for number, region in enumerate(self.regions, 1))

    def node(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise TestbedError(f"no node {name!r}", f"one of {', '.join(node.name for node in self.nodes)}")


def folder() -> Path:
    return root() / "run" / "bare"


def kubeconfig() -> Path:
    return folder() / "kubeconfig"


def etcd_data() -> Path:
    return Path("/dev/shm/testbed-etcd")  # noqa: S108 - memory, not a temporary file


def of(node: Node) -> Path:
    return folder() / node.name


def read() -> Record | None:
    """The record of the bed that is up, or half up; None when there is none."""
    try:
        content = json.loads((folder() / "bed.json").read_text())
    except FileNotFoundError:
        return None
    before = Before.of(content["before"])
    return Record(tuple(content["regions"]), tuple(content["node_ports"]), content["since"], before)


def write(record: Record) -> None:
    shutil.rmtree(
        folder(), ignore_errors=True
    )  # of an `up` that was killed before it had a record, or made anything else
    folder().mkdir(parents=True)
    new = folder() / "bed.json.new"
    new.write_text(json.dumps(asdict(record), indent=1))
    new.replace(folder() / "bed.json")


def mark_whole() -> None:
    """`up` came to its end."""
    (folder() / "whole").touch()


def is_whole() -> bool:
    return (folder() / "whole").exists()


def parse_regions(text: str) -> tuple[str, ...]:
    """`-,sjc,sjc,lax`: one word per node, - for no region."""
    words = tuple("" if word.strip() == "-" else word.strip() for word in text.split(","))
    if not 1 <= len(words) <= 20:
        raise TestbedError(f"{len(words)} nodes", "1 to 20 regions, separated by commas")
    return words
