"""The test bed's pure parts, and what its files promise each other."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from testbed import addons, build, dockerd, expose, images, kind, layout, machine, preload, process, roots
from testbed.state import HERE, REPOSITORY, TestbedError, forget

MANIFESTS = sorted(addons.MANIFESTS.glob("*.yaml"))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TESTBED_STATE", str(tmp_path))
    return tmp_path


def test_regions_are_one_per_node() -> None:
    assert layout.parse_regions("-,sjc,sjc,lax") == layout.REGIONS
    with pytest.raises(TestbedError, match="21 nodes"):
        layout.parse_regions(",".join(["-"] * 21))


def test_a_later_process_knows_the_bed(state: Path) -> None:
    before = machine.Before({"kernel.panic": "0"}, ("/var/lib/kubelet",), netns_mounted=True)
    record = layout.Record(("", "sjc"), (30080,), "2026-11-25T00:00:00+00:00", before)
    assert layout.read() is None
    layout.write(record)
    assert layout.read() == record
    assert layout.read().node("n2").region == "sjc"  # type: ignore[union-attr]
    with pytest.raises(TestbedError, match="no node 'n3'"):
        record.node("n3")


def test_no_two_nodes_share_an_address_or_a_name() -> None:
    nodes = layout.Record(("",) * 20, (), "", machine.Before({}, (), netns_mounted=False)).nodes
    for of in ("name", "netns", "address", "pods", "cgroup"):
        assert len({getattr(node, of) for node in nodes}) == len(nodes)


def test_every_program_of_an_image_is_built_and_named_once() -> None:
    built = [program for part in build.PARTS for program in part.programs]
    assert len(set(built)) == len(built)
    for image in (*images.IMAGES, *images.ON_DEMAND, *images.CONTROL_PLANE):
        assert set(image.programs.values()) <= set(built)
    assert len({image.name for image in (*images.IMAGES, *images.CONTROL_PLANE)}) == len(images.IMAGES) + len(
        images.CONTROL_PLANE
    )


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_name_images_that_are_made(path: Path) -> None:
    text = images.with_tags(path.read_text())
    made = {image.name for image in (*images.IMAGES, *images.ON_DEMAND)}
    assert set(re.findall(r"image: (\S+)", text)) <= made
    assert all(document["kind"] for document in YAML(typ="safe").load_all(text))


def test_an_unknown_image_is_an_error() -> None:
    with pytest.raises(TestbedError, match="unknown image 'nothing'"):
        images.with_tags("image: testbed.local/nothing")


def test_the_images_of_the_platform_are_what_its_manifests_ask_for() -> None:
    assert images.name("sophia") == "sophia.local/sophia:1.0.0"
    assert images.name("weaviate") == "sophia.local/weaviate:1.35.2"


def test_kind_publishes_the_same_ports_as_the_bare_bed_and_asks_for_the_images_that_its_node_has() -> None:
    config = YAML(typ="safe").load(kind.CONFIG.read_text())
    mappings = config["nodes"][0]["extraPortMappings"]
    assert tuple(each["hostPort"] for each in mappings) == layout.NODE_PORTS
    assert all(each["hostPort"] == each["containerPort"] and each["listenAddress"] == "127.0.0.1" for each in mappings)
    patch = YAML(typ="safe").load(config["kubeadmConfigPatches"][0])
    assert patch["imageRepository"] == images.OWN
    assert patch["dns"]["imageTag"] == images.named("coredns").tag
    assert patch["etcd"]["local"]["imageTag"] == images.named("etcd").tag
    mounts = {each["extraMounts"][0]["hostPath"] for each in config["nodes"]}
    assert mounts == {layout.SHARED} and layout.SHARED in dockerd.OWN


def test_dockers_name_server_is_in_nobodys_network() -> None:
    networks = [pool["base"] for pool in dockerd._daemon()["default-address-pools"]]  # type: ignore[attr-defined]
    for network in (*networks, layout.SERVICES, layout.PODS, "10.210.0.0/16"):
        assert ip_address(dockerd._daemon()["dns"][0]) not in ip_network(network)  # type: ignore[index]


def test_the_key_of_a_part_changes_with_what_goes_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_go", lambda: "go1.26.8\namd64\n")
    monkeypatch.setattr(build, "GO", tmp_path)
    (tmp_path / "own").mkdir()
    source = tmp_path / "own" / "main.go"
    source.write_text("package main")
    part = build.Part("own", "v1", ("testbed.local/own",), 1, folder="own")
    before = build._key(part)
    assert build._key(part) == before
    source.write_text("package  main")
    assert build._key(part) != before
    pinned = build.Part("other", "v1", ("example.org/other",), 1)
    assert build._key(pinned) != build._key(build.Part("other", "v2", ("example.org/other",), 1))


def test_what_is_built_on_demand_is_built_when_it_is_named(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    monkeypatch.setattr(build, "folder", lambda name: state / name)
    monkeypatch.setattr(build, "_build", lambda each, place: built.append(each.name))
    build.build()
    assert "helm" in built and "traefik" not in built
    build.build(["traefik"])
    assert built[-1] == "traefik"
    assert not {each.name for each in images.ON_DEMAND} & {each.name for each in images.IMAGES}


def test_python_packages_of_an_image_are_the_tested_versions() -> None:
    pinned = roots.requirements("sophia")
    assert all(re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==\S+", each) for each in pinned)
    imported = {"aiohttp", "prometheus-client", "psycopg", "psycopg-pool", "redis", "starlette", "uvicorn"}
    assert imported <= {re.split(r"[\[=]", each)[0] for each in pinned}


def test_ports_listened_on_are_read_from_the_kernels_table() -> None:
    table = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:7580 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:7580 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 00000000:2329 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
"""
    assert expose.listened(table) == {30080}
    assert expose.parse("6443:16443") == (6443, 16443)
    assert expose.parse("30080") == (30080, 30080)


def test_processes_are_found_by_their_mark_and_ended_others_are_not(state: Path) -> None:
    run = state / "run"
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
        process.start(run, "n1", "daemon", [sys.executable, "-c", stubborn])
        process.start(run, "n2", "daemon", ["sh", "-c", "sleep 60 & wait"])  # a child inherits the mark
        assert process.daemon(run, "n1", "daemon").daemon
        assert {each.node for each in process.running(run)} == {"n1", "n2"}
        process.end(lambda: [each.pid for each in process.running(run)], gently_s=0.2)
        assert process.running(run) == []
        assert other.poll() is None
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    with pytest.raises(TestbedError, match="daemon of n1 does not run"):
        process.daemon(run, "n1", "daemon")


def test_only_the_newest_of_what_is_cached_is_kept(tmp_path: Path) -> None:
    for number in range(5):
        made = tmp_path / f"part-{number}"
        made.mkdir()
        os.utime(made, (number, number))
    forget(tmp_path.glob("part-*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part-2", "part-3", "part-4"]


def test_a_second_bed_is_refused(state: Path) -> None:
    machine.only("bare")
    (state / "run" / "docker").mkdir(parents=True)
    machine.only("docker")
    with pytest.raises(TestbedError, match="the docker bed is up"):
        machine.only("bare")


def test_the_machine_is_put_back_to_what_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    before = machine.look((), (str(folder), str(tmp_path)))
    assert [path for path in before.made if path.startswith(str(tmp_path))] == [str(tmp_path / "a"), str(folder)]
    machine.make_folders(machine.Before({}, (str(tmp_path / "a"), str(folder)), netns_mounted=True))
    (tmp_path / "a" / "somebody's").touch()
    machine.restore(machine.Before({}, (str(tmp_path / "a"), str(folder)), netns_mounted=True))
    assert not folder.exists()
    assert (tmp_path / "a" / "somebody's").exists()


def test_setup_installs_what_the_bed_needs() -> None:
    from testbed.bare import NEEDED

    script = (REPOSITORY / "scripts/setup.sh").read_text()
    packages = set(re.search(r"--testbed\) packages\+=\(([^)]*)\)", script)[1].split())  # type: ignore[index]
    by_package = {"ip": "iproute2", "nsenter": "util-linux", "unshare": "util-linux", "sysctl": "procps"}
    always = {"util-linux", "procps"}  # essential, or there in any case
    assert {by_package.get(name, name) for name in NEEDED} <= packages | always


def test_manual_programs_are_executable() -> None:
    node = HERE / "node"
    programs = [node / name for name in ("entrypoint", "kubelet-pre", "routes", "runc-nosysres", "docker-holder")]
    for path in (*programs, HERE / "pip-in-root"):
        assert os.access(path, os.X_OK)


def test_images_unpacked_onto_a_copy_leave_the_earlier_ones_as_they_were(tmp_path: Path) -> None:
    earlier, fresh = tmp_path / "earlier", tmp_path / "fresh"
    earlier.mkdir()
    preload._note(earlier, [Path("sophia-old.tar")])
    for path in (earlier, *earlier.iterdir()):
        os.utime(path, (1, 1))
    for other in ("b", "c"):
        (tmp_path / other).mkdir()
        os.utime(tmp_path / other, (2, 2))
    preload.copy(earlier, fresh)
    preload._note(fresh, [Path("sophia-new.tar")])
    assert (earlier / preload.HOLDS).read_text() == "sophia-old.tar"
    forget(tmp_path.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c", "fresh"]
