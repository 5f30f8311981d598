"""One node of the bare bed: network, mounts, containerd, kubelet, kube-proxy; switched on and off like a machine."""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path

from testbed import build, cgroups, images, layout, mkimage, network, preload, process
from testbed.layout import Node, Record
from testbed.state import HERE, TestbedError, Word, locked, run, say, until


def switch_on(record: Record, node: Node) -> None:
    """Starts a node up to its containerd; kubelet comes when the API server is there (`start_kubelet`)."""
    first = record.nodes[0]
    if node == first:
        network.make_bridge(first)
    else:
        network.connect(node, first)
    network.route(node, record.nodes)
    folder = layout.of(node)
    folder.mkdir(exist_ok=True)
    cgroups.make(node.cgroup)
    mounted = folder / "mounted"
    mounted.unlink(missing_ok=True)
    paths = [str(folder), str(layout.folder() / "shared"), layout.SHARED, *layout.OWN]
    unshare = ["unshare", "--mount", "--propagation", "private"]
    process.start(layout.folder(), node.name, "holder", [*unshare, "bash", str(HERE / "holder.sh"), *paths])
    until(
        mounted.exists,
        f"the mounts of {node.name}",
        10,
        f"read {process.log_of(layout.folder(), node.name, 'holder')}",
        0.02,
    )
    (folder / "cni").mkdir(exist_ok=True)
    (folder / "cni" / "10-testbed.conflist").write_text(_cni(node, folder))
    (folder / "containerd.toml").write_text(_containerd(folder))
    if not (folder / "containerd").exists():
        preload.copy(preload.folder(), folder / "containerd")
    programs = ":".join(str(build.folder(name)) for name in ("containerd", "cni"))
    _start(
        node,
        "containerd",
        [build.program("containerd"), "-c", folder / "containerd.toml"],
        {"PATH": f"{programs}:{process.PATH}"},
    )


def start_kubelet(record: Record, node: Node) -> None:
    folder = layout.of(node)
    (folder / "kubelet.json").write_text(json.dumps(_kubelet(node, folder), indent=1))
    (folder / "proxy.json").write_text(json.dumps(_proxy(node), indent=1))
    labels = [f"--node-labels=topology.kubernetes.io/region={node.region}"] if node.region else []
    names = [f"--hostname-override={node.name}", f"--node-ip={node.address}", f"--cert-dir={folder / 'pki'}", *labels]
    kubeconfig = layout.folder() / f"kubelet-{node.name}.kubeconfig"
    _start(
        node,
        "kubelet",
        [build.program("kubelet"), f"--config={folder / 'kubelet.json'}", f"--kubeconfig={kubeconfig}", *names],
    )
    process.start(
        layout.folder(),
        node.name,
        "kube-proxy",
        [build.program("kube-proxy"), f"--config={folder / 'proxy.json'}"],
        netns=node.netns,
    )


def switch_off(record: Record, node: Node) -> None:
    """Power loss: the link goes first, then everything that runs there at once. What lies on its disk stays."""
    first = record.nodes[0]
    if node != first:
        network.cut(node, first)

    def pids() -> list[int]:
        of_pods = cgroups.processes(node.cgroup)
        return [*of_pods, *(each.pid for each in process.running(layout.folder(), node.name))]

    process.end(pids)
    network.remove(node)
    cgroups.remove(node.cgroup)
    for lost in ("ipam", "containerd-state"):  # what a machine keeps under /run
        shutil.rmtree(layout.of(node) / lost, ignore_errors=True)


def stop(name: str) -> None:
    """`testbed node stop NAME`"""
    record = _record()
    node = record.node(name)
    if node.holds_control_plane:
        raise TestbedError(f"{name} holds the control plane: without it there is no cluster", "stop another node")
    with locked("bare"):
        switch_off(record, node)
    say(f"{name} is off")


def start(name: str) -> None:
    """`testbed node start NAME`; nothing is done to a node that is on."""
    record = _record()
    node = record.node(name)
    with locked("bare"):
        if is_on(node):
            say(f"{name} is on already")
            return
        switch_on_whole(record, node)
    say(f"{name} is on")


def is_off(name: str) -> bool:
    """Whether nothing of the node runs, pods included."""
    node = _record().node(name)
    return not cgroups.processes(node.cgroup) and not process.running(layout.folder(), node.name)


def switch_on_whole(record: Record, node: Node) -> None:
    """Switches a node on in one go, whatever is left of it."""
    switch_off(record, node)
    switch_on(record, node)
    wait_for_containerd(node)
    start_kubelet(record, node)


def load(archive: Path) -> None:
    """`testbed load ARCHIVE`"""
    for node in _record().nodes:
        if is_on(node):
            preload.load(layout.of(node) / "containerd.sock", archive)
    say(f"{mkimage.name_of(archive)} is on every node that is on")


def is_on(node: Node) -> bool:
    on = {each.role for each in process.running(layout.folder(), node.name) if each.daemon}
    return {"holder", "containerd", "kubelet", "kube-proxy"} <= on


def wait_for_containerd(node: Node) -> None:
    socket = layout.of(node) / "containerd.sock"

    def answers() -> bool:
        process.daemon(layout.folder(), node.name, "containerd")
        try:
            run(build.program("ctr"), "-a", socket, "version")
        except TestbedError:
            return False
        return True

    until(
        answers,
        f"containerd of {node.name} answers",
        20,
        f"read {process.log_of(layout.folder(), node.name, 'containerd')}",
    )


def _record() -> Record:
    record = layout.read()
    if record is None:
        raise TestbedError("the bare bed is not up", "python -m testbed up bare")
    return record


def _start(node: Node, role: str, argv: list[Word], env: dict[str, str] | None = None) -> None:
    """Starts a daemon in the node's network and mounts."""
    holder = process.daemon(layout.folder(), node.name, "holder")
    process.start(layout.folder(), node.name, role, argv, netns=node.netns, mounts_of=holder.pid, env=env)


def _cni(node: Node, folder: Path) -> str:
    ranges = [[{"subnet": node.pods}]]
    ipam = {"type": "host-local", "dataDir": str(folder / "ipam"), "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipMasq": False, "ipam": ipam}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "1.0.0", "name": node.name, "plugins": [bridge, portmap]}, indent=1)


def _containerd(folder: Path) -> str:
    template = string.Template((HERE / "containerd.toml").read_text())
    return template.substitute(
        root=folder / "containerd",
        state=folder / "containerd-state",
        socket=folder / "containerd.sock",
        pause=images.name("pause"),
        plugins=build.folder("cni"),
        conf=folder / "cni",
    )


def _kubelet(node: Node, folder: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.folder() / "pki" / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "podLogsDir": str(folder / "pod-logs"),
        "clusterDNS": [layout.DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(layout.folder() / "resolv.conf"),
        "failSwapOn": False,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        # The controller manager's grace period is 10 s: heartbeats must come well within it, or nodes flap.
        "nodeStatusUpdateFrequency": "2s",
        "nodeStatusReportFrequency": "2s",
        "nodeLeaseDurationSeconds": 8,
    }


def _proxy(node: Node) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(layout.folder() / "proxy.kubeconfig")},
        "mode": "iptables",  # in nftables mode 127.0.0.1:NodePort does not answer
        "clusterCIDR": layout.PODS,
        "hostnameOverride": node.name,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {"minSyncPeriod": "0s", "syncPeriod": "30s"},
    }
