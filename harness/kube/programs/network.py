"""In a pod's network namespace: delays or loses the packets that match, and looks from there.

Rules hand packets to a netfilter queue with `--queue-bypass`: when nobody listens to it any more, however this program
ended, packets pass. So the fault cannot outlive it; what stays of it then are rules without effect, which `lift`
removes.
"""

from __future__ import annotations

import contextlib
import ctypes
import heapq
import json
import os
import random
import select
import signal
import socket
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.kube.programs.node import COMMANDS, fail, machine, members, tell

CLONE_NEWNET, NETLINK_NETFILTER, SOL_NETLINK, NO_ENOBUFS, RCVBUFFORCE = 0x40000000, 12, 270, 5, 33
QUEUE = 3 << 8  # nfnetlink's subsystem for queues
PACKET, VERDICT, CONFIG = QUEUE, QUEUE | 1, QUEUE | 2
DROP, ACCEPT = 0, 1
MAX_QUEUED = 65535
PREFIX = "HARNESS"


def processes(pod_uid: str) -> list[int]:
    """The pids of a pod's containers, by its uid in their cgroups. Exits when there is none."""
    pids = members(pod_uid) or members(pod_uid.replace("-", "_"))
    if not pids:
        fail(f"no process of pod {pod_uid} on this node")
    return pids


def enter(pod_uid: str) -> None:
    """Into the pod's network namespace, which outlives its containers."""
    descriptor = os.open(f"/proc/{processes(pod_uid)[0]}/ns/net", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        fail(f"cannot enter the network of pod {pod_uid}: {os.strerror(ctypes.get_errno())}")
    os.close(descriptor)


# -- the fault


def disturb(spec: dict[str, object], seconds: float) -> None:
    """Until `seconds` are over or SIGTERM comes. spec: id, pod, delay_ms, jitter_ms, loss, peers, dns, both."""
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.append(1))
    enter(str(spec["pod"]))
    lift(str(spec["id"]))
    queue = Queue(int(str(spec["id"])[:4], 16))
    try:
        for chain, hook, matches in rules(spec):
            iptables("-N", chain)
            for match in matches:
                iptables("-A", chain, *match, "-j", "NFQUEUE", "--queue-num", str(queue.number), "--queue-bypass")
            iptables("-I", hook, "-j", chain)
        tell(ready=True)
        queue.serve(
            float(str(spec["delay_ms"])) / 1e3,
            float(str(spec["jitter_ms"])) / 1e3,
            float(str(spec["loss"])),
            time.monotonic() + seconds,
            lambda: bool(stopped),
        )
    finally:
        lift(str(spec["id"]))
        tell(lifted=True)


def rules(spec: dict[str, object]) -> Iterator[tuple[str, str, list[list[str]]]]:
    """(chain, hook, matches): what the pod sends, and with `both` what it gets. Never what it says to itself."""
    peers = spec.get("peers") or []
    assert isinstance(peers, list)
    for letter, hook, way, end in (("O", "OUTPUT", "-o", "-d"), ("I", "INPUT", "-i", "-s")):
        if letter == "I" and not spec.get("both"):
            continue
        other = [[end, ",".join(peers)]] if peers else [[]]
        ports = [["-p", kind, "--dport", "53"] for kind in ("udp", "tcp")] if spec.get("dns") else [[]]
        yield f"{PREFIX}-{spec['id']}-{letter}", hook, [["!", way, "lo", *a, *b] for a in other for b in ports]


def lift(fault: str) -> int:
    """Removes the fault's rules; how many chains there were. Idempotent."""
    found = 0
    for letter, hook in (("O", "OUTPUT"), ("I", "INPUT")):
        chain = f"{PREFIX}-{fault}-{letter}"
        if iptables("-n", "-L", chain, check=False) == 0:
            found += 1
            for argv in (("-D", hook, "-j", chain), ("-F", chain), ("-X", chain)):
                iptables(*argv, check=False)
    return found


def iptables(*argv: str, check: bool = True) -> int:
    """The image's own, else the node's."""
    node = machine()
    for prepare in (None, lambda: os.chroot(node)):
        try:
            ran = subprocess.run(
                ["iptables", "-w", "5", *argv], capture_output=True, text=True, check=False, preexec_fn=prepare
            )
        except FileNotFoundError:
            continue
        if check and ran.returncode:
            fail(f"iptables {' '.join(argv)}: {ran.stderr.strip()}")
        return ran.returncode
    fail("neither the agent's image nor the node has iptables")
    return 1


class Queue:
    """A netfilter queue of the network namespace we are in; meta data only, no packet is copied."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(SOL_NETLINK, NO_ENOBUFS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, RCVBUFFORCE, 8 << 20)
        self._configure(_attribute(1, struct.pack("!BBH", 1, 0, 0)))  # bind
        self._configure(_attribute(2, struct.pack("!IB", 0, 1)))  # copy meta data
        self._configure(_attribute(3, struct.pack("!I", MAX_QUEUED)))
        self._configure(_attribute(4, struct.pack("!I", 5)) + _attribute(5, struct.pack("!I", 5)))  # fail open, GSO

    def serve(self, delay_s: float, jitter_s: float, loss: float, end: float, stopped: Callable[[], bool]) -> None:
        """Gives each packet its verdict when it is due; all that is held passes at the end."""
        held: list[tuple[float, int]] = []
        while (now := time.monotonic()) < end and not stopped():
            while held and held[0][0] <= now:
                self._verdict(heapq.heappop(held)[1], ACCEPT)
            wait = min(0.2, (held[0][0] - now) if held else 0.2)
            if not select.select([self._socket], [], [], max(0.0, wait))[0]:
                continue
            for packet in self._packets():
                if random.random() < loss:
                    self._verdict(packet, DROP)
                elif delay_s <= 0:
                    self._verdict(packet, ACCEPT)
                else:
                    due = time.monotonic() + max(0.0, delay_s + random.uniform(-jitter_s, jitter_s))
                    heapq.heappush(held, (due, packet))
        for _, packet in held:
            self._verdict(packet, ACCEPT)

    def _packets(self) -> Iterator[int]:
        data = self._socket.recv(1 << 16)
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            body = data[20:length]
            while kind == PACKET and len(body) >= 8:
                size, attribute = struct.unpack_from("=HH", body)
                if attribute & 0x3FFF == 1:
                    yield struct.unpack_from("!I", body, 4)[0]
                    break
                body = body[(size + 3) & ~3 or 4 :]
            data = data[(length + 3) & ~3 or 16 :]

    def _verdict(self, packet: int, verdict: int) -> None:
        self._send(VERDICT, 1, _attribute(2, struct.pack("!II", verdict, packet)))

    def _configure(self, attributes: bytes) -> None:
        self._send(CONFIG, 5, attributes)  # with acknowledgement
        answer = self._socket.recv(1 << 16)
        error = -struct.unpack_from("=i", answer, 16)[0]
        if error:
            fail(f"the kernel gives no netfilter queue: {os.strerror(error)}")

    def _send(self, kind: int, flags: int, attributes: bytes) -> None:
        body = struct.pack("=BB", 0, 0) + struct.pack("!H", self.number) + attributes
        self._socket.sendto(struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body, (0, 0))


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


# -- the observer


def ping(
    pod: str, address: str, keep: bool = False, count: int = 20, every_s: float = 0.02, timeout_s: float = 1.0
) -> None:
    """ICMP echoes from the pod's place: how many came back, their median round trip, and the one that this observer was
    last told to `keep` (in its own file system: it is lost with it)."""
    enter(pod)
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.getprotobyname("icmp"))
    mark, sent, times = os.getpid() & 0xFFFF, list[float](), dict[int, float]()
    end = time.monotonic() + count * every_s + timeout_s
    while time.monotonic() < end and len(times) < count:
        if len(sent) < count:
            sent.append(time.monotonic())
            with contextlib.suppress(OSError):  # a rule may refuse it at once
                raw.sendto(_echo(mark, len(sent) - 1), (address, 0))
        until = time.monotonic() + every_s if len(sent) < count else end
        while len(times) < count and (left := until - time.monotonic()) > 0 and select.select([raw], [], [], left)[0]:
            packet = raw.recv(2048)
            kind, _, _, who, number = struct.unpack_from("!BBHHH", packet, (packet[0] & 15) * 4)
            if kind == 0 and who == mark and number < len(sent):
                times.setdefault(number, time.monotonic() - sent[number])
    rtt = round(statistics.median(times.values()) * 1e3, 3) if times else None
    kept = Path(tempfile.gettempdir(), f"harness-rtt-{pod}")
    if keep and rtt is not None:
        kept.write_text(str(rtt))
    tell(sent=count, received=len(times), rtt_ms=rtt, before_ms=float(kept.read_text()) if kept.exists() else None)


def _echo(mark: int, number: int) -> bytes:
    head = struct.pack("!BBHHH", 8, 0, 0, mark, number)
    total = sum(struct.unpack("!4H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHHH", 8, 0, ~total & 0xFFFF, mark, number)


def resolve(pod: str, server: str = "", timeout_s: float = 1.0) -> None:
    """Whether a name server (the pod's own) answers, anything, from the pod's place. Exits for one with an IPv6
    address: what goes there is not lost by rules for IPv4."""
    server = server or nameserver(pod)
    if ":" in server:
        fail(f"name server {server} has an IPv6 address")
    enter(pod)
    asked = struct.pack("!HHHHHH", 4711, 0x0100, 1, 0, 0, 0) + b"\x0akubernetes\x07default\x03svc\0" + b"\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(timeout_s)
        try:
            udp.sendto(asked, (server, 53))
            tell(answered=bool(udp.recv(512)), server=server)
        except OSError as refused:
            tell(answered=False, server=server, why=str(refused))


def nameserver(pod: str) -> str:
    """The first in the /etc/resolv.conf of the pod's containers."""
    for pid in processes(pod):
        with contextlib.suppress(OSError), Path(f"/proc/{pid}/root", "etc/resolv.conf").open() as file:
            for line in file:
                if line.startswith("nameserver "):
                    return line.split()[1]
    fail(f"pod {pod} has no name server")
    return ""


def gateway(pod: str) -> None:
    """The pod's way out."""
    enter(pod)
    for row in Path("/proc/self/net/route").read_text().splitlines()[1:]:
        fields = row.split()
        if fields[1] == "00000000" and fields[2] != "00000000":
            tell(address=socket.inet_ntoa(struct.pack("<I", int(fields[2], 16))))
            return
    tell(address="")


def swept(pod: str, fault: str) -> None:
    """Removes what is left of the fault's rules and tells how much that was."""
    enter(pod)
    tell(chains=lift(fault))


COMMANDS.update(
    disturb=lambda args: disturb(json.loads(args[1]), float(args[0])),
    ping=lambda args: ping(args[0], args[1], keep=args[2:] == ["keep"]),
    resolve=lambda args: resolve(args[0], "".join(args[1:])),
    gateway=lambda args: gateway(args[0]),
    swept=lambda args: swept(args[0], args[1]),
)
