"""The programs that run in agents: whole as texts, and what they find, on a /proc of paper."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.kube.programs import network, node, source

CONTAINER = "c0ffee"


def process(proc: Path, pid: int, cgroup: str, started: int, inner: int) -> None:
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "cgroup").write_text(f"4:memory:{cgroup}\n")
    (folder / "status").write_text(f"Name:\tx\nNSpid:\t{pid}\t{inner}\n")
    (folder / "stat").write_text(f"{pid} (a (b) c) S " + " ".join(["0"] * 18) + f" {started} 0\n")


def test_a_containers_first_process_is_pid_1_of_its_own_namespace(tmp_path: Path) -> None:
    process(tmp_path, 31, f"/kubepods/podx/{CONTAINER}", started=9, inner=1)
    process(tmp_path, 30, f"/kubepods/podx/{CONTAINER}", started=11, inner=7)
    process(tmp_path, 29, "/kubepods/podx/another", started=1, inner=1)
    assert node.members(CONTAINER, str(tmp_path)) == [31, 30]
    assert node.init(CONTAINER, str(tmp_path)) == 31


def test_with_a_shared_namespace_it_is_the_oldest(tmp_path: Path) -> None:
    process(tmp_path, 41, f"/kubepods.slice/cri-containerd-{CONTAINER}.scope", started=20, inner=12)
    process(tmp_path, 40, f"/kubepods.slice/cri-containerd-{CONTAINER}.scope", started=21, inner=11)
    assert node.init(CONTAINER, str(tmp_path)) == 41


def test_no_process_of_that_container_is_said_and_nothing_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        node.init(CONTAINER, str(tmp_path))
    assert "no process of container c0ffee" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize("names", [("node",), ("node", "network"), ("node", "pressure"), ("undo",), ("connections",)])
def test_a_text_is_whole_in_itself(names: tuple[str, ...]) -> None:
    """It runs where there is no harness, and carries none of our imports."""
    text = source(*names)
    assert "from harness" not in text
    assert "$(" not in text, "the kubelet would replace it"
    argv = ["0", "[]"] if names == ("undo",) else ["hold", "0.01"]
    command = [sys.executable, "-I", "-c", "import os; exec(os.environ['HARNESS_AGENT'])", *argv]
    ran = subprocess.run(command, env={"HARNESS_AGENT": text}, capture_output=True, text=True, timeout=20, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[0]) == {"ready": True}


def spec(**values: object) -> dict[str, object]:
    return {"id": "ab12", "pod": "u", "delay_ms": 0, "jitter_ms": 0, "loss": 1, "peers": [], "dns": False, **values}


def test_rules_never_touch_what_a_pod_says_to_itself() -> None:
    for both in (False, True):
        for dns in (False, True):
            for _, _, matches in network.rules(spec(both=both, dns=dns, peers=["10.0.0.1", "10.0.0.2"])):
                assert all("lo" in match and match[0] == "!" for match in matches)


def test_rules_for_one_way_and_for_both() -> None:
    assert list(network.rules(spec(peers=["10.0.0.1"]))) == [
        ("HARNESS-ab12-O", "OUTPUT", [["!", "-o", "lo", "-d", "10.0.0.1"]])
    ]
    assert list(network.rules(spec(both=True))) == [
        ("HARNESS-ab12-O", "OUTPUT", [["!", "-o", "lo"]]),
        ("HARNESS-ab12-I", "INPUT", [["!", "-i", "lo"]]),
    ]
    ((_, _, matches),) = network.rules(spec(dns=True))
    assert matches == [
        ["!", "-o", "lo", "-p", "udp", "--dport", "53"],
        ["!", "-o", "lo", "-p", "tcp", "--dport", "53"],
    ]


def test_a_name_server_that_the_rules_do_not_reach_cannot_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    """Silence of what was asked over IPv6 would be taken for questions that get lost."""
    with pytest.raises(SystemExit):
        network.resolve("p", "fd00:10::a")
    assert json.loads(capsys.readouterr().out) == {"error": "name server fd00:10::a has an IPv6 address"}


def test_an_echo_has_a_right_checksum() -> None:
    packet = network._echo(0x1234, 7)
    total = sum(int.from_bytes(packet[at : at + 2], "big") for at in range(0, len(packet), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


def test_a_blow_hits_all_of_a_pod_but_what_holds_its_namespaces(tmp_path: Path) -> None:
    sleeping = [subprocess.Popen(["sleep", "60"]) for _ in range(3)]
    try:
        for each, comm, pod in zip(sleeping, ("pause", "sleep", "sleep"), ("p-1", "p-1", "p-2"), strict=True):
            process(tmp_path, each.pid, f"/kubepods/pod{pod}/{each.pid}", started=1, inner=1)
            (tmp_path / str(each.pid) / "comm").write_text(f"{comm}\n")
        assert node.blow("p-1", str(tmp_path)) == 1
        assert sleeping[1].wait(5) == -9
        assert [each.poll() for each in sleeping] == [None, -9, None]
    finally:
        for each in sleeping:
            each.kill()
            each.wait()
