"""What an agent does to a pod's network, in network namespaces of our own: the kernel is real, there is no cluster."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces"),
    pytest.mark.skipif(not (shutil.which("iptables") and shutil.which("ip")), reason="no iptables, ip"),
]
HERE, THERE = "10.77.0.1", "10.77.0.2"
SERVER = """
import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 53))
print("up", flush=True)
while True:
    udp.sendto(b"answer", udp.recvfrom(512)[1])
"""
CALL = """
import json, sys
from harness.kube.programs import network
network.processes = lambda _: [int(sys.argv[1])]
network.COMMANDS[sys.argv[2]](sys.argv[3:])
"""


@dataclass
class Pair:
    """Two namespaces with a wire between them, each held by a sleeping process."""

    here: subprocess.Popen[bytes]
    there: subprocess.Popen[bytes]

    def command(self, *argv: str) -> list[str]:
        return [sys.executable, "-c", CALL, str(self.here.pid), *argv]

    def ask(self, *argv: str) -> dict[str, Any]:
        ran = subprocess.run(self.command(*argv), capture_output=True, text=True, timeout=30, check=True)
        return dict(json.loads(ran.stdout.splitlines()[-1]))

    def disturb(self, seconds: float = 20, **spec: Any) -> subprocess.Popen[str]:
        whole = {"id": "ab12cd", "pod": "p", "delay_ms": 0, "jitter_ms": 0, "loss": 0, "peers": [], "dns": False}
        argv = self.command("disturb", str(seconds), json.dumps({**whole, "both": False, **spec}))
        hand = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert hand.stdout is not None
        assert json.loads(hand.stdout.readline()) == {"ready": True}
        return hand

    def rules(self) -> str:
        argv = ["nsenter", f"--net=/proc/{self.here.pid}/ns/net", "iptables", "-S"]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def pair() -> Iterator[Pair]:
    holders = [subprocess.Popen(["unshare", "--net", "sleep", "120"]) for _ in range(2)]
    own = Path("/proc/self/ns/net").readlink()
    for holder in holders:
        while Path(f"/proc/{holder.pid}/ns/net").readlink() == own:
            time.sleep(0.01)
    made = Pair(*holders)
    try:
        wire = f"hk{os.getpid() % 100000}"
        ends = ["ip", "link", "add", f"{wire}a", "netns", str(made.here.pid), "type", "veth", "peer", "name"]
        subprocess.run([*ends, f"{wire}b", "netns", str(made.there.pid)], check=True)
        for holder, end, address in ((made.here, f"{wire}a", HERE), (made.there, f"{wire}b", THERE)):
            for argv in (
                ["addr", "add", f"{address}/24", "dev", end],
                ["link", "set", end, "up"],
                ["link", "set", "lo", "up"],
            ):
                subprocess.run(["nsenter", f"--net=/proc/{holder.pid}/ns/net", "ip", *argv], check=True)
        yield made
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()


@pytest.fixture(autouse=True)
def observers_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def end(hand: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> None:
    hand.send_signal(how)
    hand.wait(10)


def test_a_delay_is_measured_and_goes_with_its_maker(pair: Pair) -> None:
    assert pair.ask("ping", "p", THERE)["before_ms"] is None
    before = pair.ask("ping", "p", THERE, "keep")
    assert before["before_ms"] == before["rtt_ms"] < 20
    hand = pair.disturb(delay_ms=80, jitter_ms=10)
    seen = pair.ask("ping", "p", THERE)
    end(hand)
    assert seen["before_ms"] == before["rtt_ms"], "what was kept stays"
    assert seen["received"] == 20
    assert 65 <= seen["rtt_ms"] <= 120, seen
    assert pair.ask("ping", "p", THERE)["rtt_ms"] < 20
    assert "HARNESS" not in pair.rules()


def test_a_share_is_lost(pair: Pair) -> None:
    hand = pair.disturb(loss=0.5)
    seen = [pair.ask("ping", "p", THERE)["received"] for _ in range(3)]
    end(hand)
    assert 10 <= sum(seen) <= 50, seen
    assert pair.ask("ping", "p", THERE)["received"] == 20


def test_a_partition_lets_nothing_through_but_oneself(pair: Pair) -> None:
    hand = pair.disturb(loss=1, both=True)
    assert pair.ask("ping", "p", THERE)["received"] == 0
    assert pair.ask("ping", "p", "127.0.0.1")["received"] == 20
    end(hand)
    assert pair.ask("ping", "p", THERE)["received"] == 20


def test_who_is_no_peer_is_still_reached(pair: Pair) -> None:
    hand = pair.disturb(loss=1, both=True, peers=["10.77.0.9"])
    assert pair.ask("ping", "p", THERE)["received"] == 20
    end(hand)


def test_only_questions_to_a_name_server_are_lost(pair: Pair) -> None:
    server = [
        "nsenter",
        f"--net=/proc/{pair.there.pid}/ns/net",
        sys.executable,
        "-c",
        SERVER,
    ]
    serving = subprocess.Popen(server, stdout=subprocess.PIPE, text=True)
    try:
        assert serving.stdout is not None
        assert serving.stdout.readline() == "up\n"
        assert pair.ask("resolve", "p", THERE)["answered"]
        hand = pair.disturb(loss=1, dns=True)
        assert not pair.ask("resolve", "p", THERE)["answered"]
        assert pair.ask("ping", "p", THERE)["received"] == 20
        end(hand)
        assert pair.ask("resolve", "p", THERE)["answered"]
    finally:
        serving.kill()
        serving.wait()


def test_killed_with_sigkill_its_fault_is_over_and_its_rules_are_swept(pair: Pair) -> None:
    hand = pair.disturb(loss=1, both=True)
    assert pair.ask("ping", "p", THERE)["received"] == 0
    end(hand, signal.SIGKILL)
    assert pair.ask("ping", "p", THERE)["received"] == 20, "nobody listens: packets pass"
    assert "HARNESS-ab12cd-O" in pair.rules()
    assert pair.ask("swept", "p", "ab12cd")["chains"] == 2
    assert pair.ask("swept", "p", "ab12cd")["chains"] == 0
    assert "HARNESS" not in pair.rules()


def test_it_ends_by_itself_at_its_deadline(pair: Pair) -> None:
    hand = pair.disturb(seconds=1, loss=1)
    assert hand.wait(10) == 0
    assert pair.ask("ping", "p", THERE)["received"] == 20
    assert "HARNESS" not in pair.rules()
