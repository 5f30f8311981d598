"""The name server of the bed's Docker: it is seen to answer before Docker is started, or `up` says why it does not."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed import dockerd, nameserver, process
from testbed.state import TestbedError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace, which needs root")
Reply = Callable[[bytes], bytes | None]

# What stands for CoreDNS: it answers every question with this code.
PROGRAM = f"""#!{sys.executable}
import socket, struct
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("{nameserver.ADDRESS}", {nameserver.PORT}))
while True:
    question, asker = server.recvfrom(512)
    server.sendto(question[:2] + struct.pack(">H", 0x8180 | CODE) + question[4:], asker)
"""


def flagged(flags: int) -> Callable[[bytes], bytes]:
    return lambda question: question[:2] + struct.pack(">H", flags) + question[4:]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (flagged(0x8183), True),
        (flagged(0x8180), False),  # that the name exists
        (flagged(0x8182), False),  # SERVFAIL
        (flagged(0x0103), False),  # a question
        (lambda question: b"\0\0" + flagged(0x8183)(question)[2:], False),  # to another question
        (lambda question: question[:2], False),
        (lambda _: None, False),
    ],
)
def test_it_answers_when_it_says_that_a_name_does_not_exist(reply: Reply, expected: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            question, asker = server.recvfrom(512)
            if told := reply(question):
                server.sendto(told, asker)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert nameserver.answers("127.0.0.1", server.getsockname()[1], within_s=0.3) is expected
        thread.join(5)


def test_where_nobody_listens_it_does_not() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert not nameserver.answers("127.0.0.1", port, within_s=0.3)


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the bed's programs, with a network namespace that has the address."""
    netns = f"testbed-test-{os.getpid()}"
    monkeypatch.setenv("TESTBED_STATE", str(tmp_path))
    monkeypatch.setattr(dockerd, "NETNS", netns)
    dockerd.folder().mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    for words in (
        ("netns", "add", netns),
        ("-n", netns, "link", "set", "lo", "up"),
        ("-n", netns, "address", "add", f"{nameserver.ADDRESS}/32", "dev", "lo"),
    ):
        subprocess.run(["ip", *words], check=True)
    yield tmp_path / "bin"
    process.end(lambda: [each.pid for each in process.running(dockerd.folder())])
    subprocess.run(["ip", "netns", "del", netns], check=True)


def program(bed: Path, code: int) -> None:
    (bed / "coredns").write_text(PROGRAM.replace("CODE", str(code)))
    (bed / "coredns").chmod(0o755)


@as_root
def test_docker_is_started_beside_one_that_answers(bed: Path) -> None:
    program(bed, 3)
    dockerd._start_name_server()


@as_root
def test_a_name_server_that_is_not_there_is_told(bed: Path) -> None:
    with pytest.raises(TestbedError, match=r"(?s)coredns of docker does not run.*No such file.*fix: read .*log"):
        dockerd._start_name_server()


@as_root
def test_one_that_knows_names_is_not_ours(bed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dockerd, "ANSWERS_WITHIN_S", 1.0)
    program(bed, 0)
    with pytest.raises(TestbedError, match=f"coredns answers at {nameserver.ADDRESS}: not within 1 s"):
        dockerd._start_name_server()
