"""Images made without Docker: the same input gives the same bytes, and nothing of this machine gets in."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from testbed import mkimage
from testbed.state import TestbedError


def tree(folder: Path, when: int) -> Path:
    for name, content in (("usr/bin/tool", "tool"), ("etc/conf", "1"), ("var/log/boot", "noise"), ("proc/1", "noise")):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        os.utime(file, (when, when))
    (folder / "usr/bin/tool").chmod(0o755)
    os.link(folder / "usr/bin/tool", folder / "usr/bin/same")
    (folder / "bin").symlink_to("usr/bin")
    return folder


def image(folder: Path, when: int, content: str = "program") -> tuple[bytes, str]:
    folder.mkdir()
    root, own, program = folder / "root.tar", folder / "own.tar", folder / "program"
    program.write_text(content)
    os.utime(program, (when, when))
    mkimage.layer_of_tree(root, tree(folder / "tree", when), without=("proc", "var/log"))
    mkimage.layer_of_files(own, {"/opt/bin/program": program})
    out = folder / "image.tar"
    identity = mkimage.archive(
        out, "testbed.local/thing:1", [root, own], mkimage.Config(("/opt/bin/program",), "1:1", ("A=b",))
    )
    return out.read_bytes(), identity


def test_the_same_input_gives_the_same_bytes_at_any_time(tmp_path: Path) -> None:
    assert image(tmp_path / "one", 1_000) == image(tmp_path / "two", 2_000_000_000)


def test_one_other_byte_gives_another_image(tmp_path: Path) -> None:
    assert image(tmp_path / "one", 1_000)[1] != image(tmp_path / "two", 1_000, "progrom")[1]


def test_what_docker_reads_from_the_archive(tmp_path: Path) -> None:
    _, identity = image(tmp_path / "one", 1_000)
    archive = tmp_path / "one" / "image.tar"
    assert mkimage.name_of(archive) == "testbed.local/thing:1"
    with tarfile.open(archive) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
        config = json.load(tar.extractfile(manifest["Config"]))  # type: ignore[arg-type]
        assert manifest["Config"] == f"{identity}.json"
        assert [f"sha256:{Path(layer).parent}" for layer in manifest["Layers"]] == config["rootfs"]["diff_ids"]
    assert (config["architecture"], config["os"]) == (mkimage.architecture(), "linux")
    assert config["config"]["Entrypoint"] == ["/opt/bin/program"]
    assert config["config"]["User"] == "1:1"
    assert config["config"]["Env"] == [mkimage.PATH, "A=b"]


def test_a_layer_of_a_tree_keeps_links_and_modes_and_leaves_out_what_it_is_told(tmp_path: Path) -> None:
    out = tmp_path / "layer.tar"
    mkimage.layer_of_tree(out, tree(tmp_path / "tree", 1_000), without=("proc", "var/log"))
    with tarfile.open(out) as tar:
        names = tar.getnames()
        assert {"proc", "var/log", "etc/conf"} <= set(names)  # the folder itself stays: something is mounted there
        assert not {"proc/1", "var/log/boot"} & set(names)
        assert tar.getmember("bin").issym()
        assert {tar.getmember("usr/bin/same").islnk(), tar.getmember("usr/bin/tool").islnk()} == {True, False}
        assert tar.getmember("usr/bin/same").mode == 0o755
        assert {member.mtime for member in tar.getmembers()} == {0}
        assert {member.uname for member in tar.getmembers()} == {""}


def test_a_layer_of_files_has_their_folders_and_tmp(tmp_path: Path) -> None:
    program, out = tmp_path / "program", tmp_path / "layer.tar"
    program.write_text("x")
    mkimage.layer_of_files(out, {"/opt/bin/program": program})
    with tarfile.open(out) as tar:
        assert tar.getnames() == ["opt", "opt/bin", "tmp", "opt/bin/program"]
        assert tar.getmember("tmp").mode == 0o1777
        assert {(member.uid, member.gid) for member in tar.getmembers()} == {(0, 0)}


@pytest.mark.parametrize(("machine", "expected"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64")])
def test_an_image_is_labelled_with_the_machine_that_it_is_made_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, expected: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    image(tmp_path / "one", 1_000)
    with tarfile.open(tmp_path / "one" / "image.tar") as tar:
        (config,) = [name for name in tar.getnames() if name.endswith(".json") and name != "manifest.json"]
        assert json.load(tar.extractfile(config))["architecture"] == expected  # type: ignore[arg-type]


def test_a_machine_that_nobody_knows_is_no_amd64() -> None:
    with pytest.raises(TestbedError, match="'vax'"):
        mkimage.architecture("vax")


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="Debian's own word for it")
def test_debian_says_the_same_of_this_machine() -> None:
    told = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    assert mkimage.architecture() == {"ppc64el": "ppc64le"}.get(told, told)
