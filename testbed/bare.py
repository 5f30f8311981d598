"""The bare bed: `up`, `down` and `status` of a real Kubernetes in network namespaces.

`up` writes down what it will change before it changes it, so that `down` cleans up after an `up` that was killed at any
point.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from testbed import addons, build, layout, machine, network, nodes, pki, preload, process
from testbed.kubectl import answers, ready_nodes, wait_for_nodes
from testbed.layout import Record
from testbed.state import HERE, TestbedError, Word, locked, run, say, until

INOTIFY = "fs.inotify.max_user_instances"  # kubelets and containerds of several nodes need more than the usual 128
INOTIFY_WANTED = 1024
CONTROL_PLANE, API, ETCD = "control-plane", "kube-apiserver", "http://127.0.0.1:2379"
NEEDED = ("ip", "nsenter", "unshare", "openssl", "runc", "iptables", "conntrack", "sysctl")


def up(regions: tuple[str, ...], node_ports: tuple[int, ...] = layout.NODE_PORTS, with_addons: bool = True) -> None:
    """Brings the bed up; what is left of an earlier one that is not whole is cleaned up first."""
    with locked("bare"):
        record = layout.read()
        if record is not None:
            if record.regions == regions and _control_plane_runs():
                _switch_on_again(record)
                say(f"the bare bed is up, since {record.since}")
                return
            say("cleaning up a bed that is not whole, or has other nodes")
            _down(record)
        machine.only("bare")
        _check()
        build.build()
        preload.make()
        began = time.monotonic()
        before = machine.look((*machine.SYSCTLS, INOTIFY), (*layout.OWN, layout.SHARED))
        record = Record(regions, node_ports, datetime.now(UTC).isoformat(timespec="seconds"), before)
        layout.write(record)
        _up(record, with_addons)
        layout.mark_whole()
        took = time.monotonic() - began
        say(f"the bare bed is up after {took:.1f} s: {len(record.nodes)} nodes; KUBECONFIG={layout.kubeconfig()}")


def down() -> None:
    """Ends and removes all that `up` made; nothing is done when there is nothing."""
    with locked("bare"):
        record = layout.read()
        if record is None:
            say("the bare bed is not up")
            return
        _down(record)
        say("the bare bed is down")


def status() -> dict[str, Any]:
    record = layout.read()
    if record is None:
        return {"bed": "bare", "up": False}
    api = answers(layout.kubeconfig())
    ready = ready_nodes(layout.kubeconfig()) if api else {}
    return {
        "bed": "bare",
        "up": api and _control_plane_runs(),
        "since": record.since,
        "kubeconfig": str(layout.kubeconfig()),
        "context": "bare",
        "kubectl": str(build.program("kubectl")),
        "ports": [layout.API_PORT, *record.node_ports],
        "nodes": [
            {"name": node.name, "region": node.region, "on": nodes.is_on(node), "ready": ready.get(node.name, False)}
            for node in record.nodes
        ],
    }


def _control_plane_runs() -> bool:
    roles = {each.role for each in process.running(layout.folder(), CONTROL_PLANE) if each.daemon}
    return {
        "etcd",
        API,
        "kube-controller-manager",
        "kube-scheduler",
        "expose",
    } <= roles and layout.is_whole()


def _switch_on_again(record: Record) -> None:
    off = [node for node in record.nodes if not nodes.is_on(node)]
    for node in off:
        nodes.switch_on_whole(record, node)
    wait_for_nodes(layout.kubeconfig(), {node.name for node in record.nodes})


def _check() -> None:
    if os.geteuid() != 0:
        raise TestbedError("network namespaces and mounts need root", "sudo -E python -m testbed …")
    missing = [name for name in NEEDED if shutil.which(name, path=process.PATH) is None]
    if missing:
        raise TestbedError(f"not installed: {', '.join(missing)}", "scripts/setup.sh --testbed")
    if strangers := network.names():
        raise TestbedError(
            f"network namespaces of another bed: {', '.join(sorted(strangers))}", "take it down with its TESTBED_STATE"
        )


def _up(record: Record, with_addons: bool) -> None:
    folder, first = layout.folder(), record.nodes[0]
    run("sysctl", "-qw", f"{INOTIFY}={max(INOTIFY_WANTED, int(record.before.sysctls[INOTIFY]))}")
    machine.make_folders(record.before)
    (folder / "shared").mkdir(mode=0o755)
    (folder / "resolv.conf").write_text(f"nameserver {layout.DNS}\n")
    _credentials(record)
    nodes.switch_on(record, first)
    _start_api(record)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda node: nodes.switch_on(record, node), record.nodes[1:]))
        list(pool.map(nodes.wait_for_containerd, record.nodes))
    say("containerd is up on every node")
    until(lambda: answers(layout.kubeconfig()), "the API server answers", 60, f"read {folder / 'log'}")
    say("the API server is ready")
    _start_controllers(first.netns)
    for node in record.nodes:
        nodes.start_kubelet(record, node)
    wait_for_nodes(layout.kubeconfig(), {node.name for node in record.nodes})
    say("every node is Ready")
    if with_addons:
        addons.install(layout.kubeconfig(), first.name, [node.name for node in record.nodes if node.region])


def _credentials(record: Record) -> None:
    folder = layout.folder()
    certificates, first = folder / "pki", record.nodes[0]
    pki.make_certificates(certificates, first.address, layout.KUBERNETES_SERVICE)
    tokens, ca = pki.Tokens(folder / "tokens.csv"), certificates / "ca.crt"
    inside, between = "https://127.0.0.1:6443", f"https://{first.address}:6443"
    pki.write_kubeconfig(folder / "controllers.kubeconfig", inside, ca, tokens.add("system:kube-controller-manager"))
    pki.write_kubeconfig(folder / "scheduler.kubeconfig", inside, ca, tokens.add("system:kube-scheduler"))
    pki.write_kubeconfig(folder / "proxy.kubeconfig", between, ca, tokens.add("system:kube-proxy"))
    for node in record.nodes:
        token = tokens.add(f"system:node:{node.name}", "system:nodes")
        pki.write_kubeconfig(folder / f"kubelet-{node.name}.kubeconfig", between, ca, token)
    pki.write_kubeconfig(
        layout.kubeconfig(), f"https://127.0.0.1:{layout.API_PORT}", ca, tokens.add("admin", "system:masters")
    )


def stop_api() -> None:
    """The API server is killed; all else of the bed goes on."""
    with locked("bare"):
        _whole()
        process.end(lambda: [each.pid for each in process.running(layout.folder(), CONTROL_PLANE, API)])
        say("the API server is off")


def freeze_api() -> None:
    """The API server hangs: connections are made, and nothing is ever answered on them. All else goes on."""
    with locked("bare"):
        _whole()
        process.send([process.daemon(layout.folder(), CONTROL_PLANE, API).pid], signal.SIGSTOP)
        say("the API server hangs")


def start_api() -> None:
    """Starts it unless it runs, and lets it go on when it hangs; returns when it answers."""
    with locked("bare"):
        record = _whole()
        if not (there := process.running(layout.folder(), CONTROL_PLANE, API)):
            _start_api_server(record)
        process.send([each.pid for each in there], signal.SIGCONT)
        until(lambda: answers(layout.kubeconfig()), "the API server answers", 60, f"read {layout.folder() / 'log'}")
        say("the API server is ready")


def _whole() -> Record:
    record = layout.read()
    if record is None or not layout.is_whole():
        raise TestbedError("the bare bed is not up", "python -m testbed up bare")
    return record


def _start_api(record: Record) -> None:
    """etcd on memory, the API server, and the way into the bed from outside."""
    data, netns = layout.etcd_data(), record.nodes[0].netns
    shutil.rmtree(data, ignore_errors=True)
    peers = "http://127.0.0.1:2380"
    etcd = [f"--data-dir={data}", "--unsafe-no-fsync", f"--listen-client-urls={ETCD}", f"--listen-peer-urls={peers}"]
    _start("etcd", [build.program("etcd"), *etcd, f"--advertise-client-urls={ETCD}"], netns)
    _start_api_server(record)
    ports = [f"6443:{layout.API_PORT}", *map(str, record.node_ports)]
    _start("expose", [sys.executable, "-I", HERE / "expose.py", netns, *ports])


def _start_api_server(record: Record) -> None:
    folder, keys = layout.folder(), layout.folder() / "pki"
    address, netns = record.nodes[0].address, record.nodes[0].netns
    _start(
        API,
        [
            build.program("kube-apiserver"),
            f"--etcd-servers={ETCD}",
            f"--advertise-address={address}",
            "--secure-port=6443",
            f"--service-cluster-ip-range={layout.SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--endpoint-reconciler-type=lease",
            f"--token-auth-file={folder / 'tokens.csv'}",
            f"--client-ca-file={keys / 'ca.crt'}",
            f"--tls-cert-file={keys / 'apiserver.crt'}",
            f"--tls-private-key-file={keys / 'apiserver.key'}",
            f"--kubelet-client-certificate={keys / 'kubelet-client.crt'}",
            f"--kubelet-client-key={keys / 'kubelet-client.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-jwks-uri=https://{address}:6443/openid/v1/jwks",
            f"--service-account-key-file={keys / 'sa.pub'}",
            f"--service-account-signing-key-file={keys / 'sa.key'}",
            f"--requestheader-client-ca-file={keys / 'ca.crt'}",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={keys / 'front-proxy.crt'}",
            f"--proxy-client-key-file={keys / 'front-proxy.key'}",
            "--enable-aggregator-routing=true",
        ],
        netns,
    )


def _start_controllers(netns: str) -> None:
    folder, keys = layout.folder(), layout.folder() / "pki"
    _start(
        "kube-controller-manager",
        [
            build.program("kube-controller-manager"),
            f"--kubeconfig={folder / 'controllers.kubeconfig'}",
            f"--service-account-private-key-file={keys / 'sa.key'}",
            f"--root-ca-file={keys / 'ca.crt'}",
            "--use-service-account-credentials=true",
            f"--cluster-cidr={layout.PODS}",
            "--allocate-node-cidrs=false",
            "--leader-elect=false",
            # quicker than the defaults, so that a test need not wait (20 requests a second: 4 s more at its start)
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            "--node-monitor-grace-period=10s",
            "--node-monitor-period=1s",
            "--horizontal-pod-autoscaler-sync-period=5s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=10s",
        ],
        netns,
    )
    scheduler: list[Word] = [
        build.program("kube-scheduler"),
        f"--kubeconfig={folder / 'scheduler.kubeconfig'}",
        "--leader-elect=false",
    ]
    _start("kube-scheduler", scheduler, netns)


def _start(role: str, argv: list[Word], netns: str = "") -> None:
    process.start(layout.folder(), CONTROL_PLANE, role, argv, netns=netns)


def _down(record: Record) -> None:
    def control_plane() -> list[int]:
        return [each.pid for each in process.running(layout.folder(), CONTROL_PLANE)]

    process.end(control_plane, gently_s=2)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda node: nodes.switch_off(record, node), reversed(record.nodes)))
    process.end(lambda: [each.pid for each in process.running(layout.folder())])
    machine.restore(record.before)
    shutil.rmtree(layout.etcd_data(), ignore_errors=True)
    shutil.rmtree(layout.folder())
