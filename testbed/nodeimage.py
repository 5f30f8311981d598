"""The kind node image: Debian with systemd, our programs and units, and the cluster's own images unpacked in it.

What kind v0.33 needs of a node: "Reached target … Multi-User System" on the console within 30 s, /kind/version,
/kind/manifests, kubeadm, kubectl, ctr and containerd in PATH with their socket in its usual place, and a
kubelet.service that reads /var/lib/kubelet/kubeadm-flags.env.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import string
import tempfile
from pathlib import Path

from testbed import addons, build, images, mkimage, preload, roots
from testbed.state import HERE, forget, locked, root, say

FILES = HERE / "node"
NAME = f"{images.OWN}/kind-node:{build.KUBERNETES}"
PROGRAMS = ("kubelet", "kubeadm", "kubectl", "containerd", "containerd-shim-runc-v2", "ctr")
CLUSTER_IMAGES = tuple(each for each in images.IMAGES if each.registry == images.OWN) + images.CONTROL_PLANE
# kind applies one manifest last, meant for storage; the cluster's other add-ons come with it.
ADDONS = ("storage", "gpu-sim", "metrics-server")
# Debian starts these; a node has no use for them.
REMOVED = tuple(f"{wants}.wants" for wants in ("getty.target", "timers.target", "sysinit.target"))


def archive() -> Path:
    return root() / "img" / f"kind-node-{_key()[:12]}.tar"


def make() -> Path:
    """The docker-archive of the image, made when something in it has changed."""
    out = archive()
    base, unpacked = roots.make("node"), preload.make(CLUSTER_IMAGES)
    with locked("node-image"):
        if not out.exists():
            say(f"making {NAME}")
            with tempfile.TemporaryDirectory(dir=out.parent) as work:
                own, layers = Path(work) / "own", [images.layer_of_root("node"), Path(work) / "own.tar"]
                _fill(own, base)
                preload.copy(unpacked, own / "var/lib/containerd")
                mkimage.layer_of_tree(layers[1], own)
                config = mkimage.Config(("/usr/local/bin/entrypoint",), env=("container=docker",))
                mkimage.archive(Path(work) / out.name, NAME, layers, config)
                (Path(work) / out.name).replace(out)
            say(f"image {NAME}: {out.stat().st_size / 1e6:.0f} MB")
            forget(out.parent.glob("kind-node-*.tar"))
    return out


def _fill(own: Path, base: Path) -> None:
    programs, systemd = own / "usr/local/bin", own / "etc/systemd/system"
    for folder in (
        programs,
        own / "etc/containerd",
        own / "kind/manifests",
        systemd / "multi-user.target.wants",
        own / "opt/cni",
        own / "var/lib",
    ):
        folder.mkdir(parents=True)
    for name in PROGRAMS:
        shutil.copy2(build.program(name), programs / name)
    shutil.copytree(build.folder("cni"), own / "opt/cni/bin")
    for name in ("entrypoint", "kubelet-pre", "routes"):
        shutil.copy2(FILES / name, programs / name)
        (programs / name).chmod(0o755)
    (own / "kind/version").write_text(build.KUBERNETES)  # without a newline
    shutil.copy2(FILES / "default-cni.yaml", own / "kind/manifests/default-cni.yaml")
    (own / "kind/manifests/default-storage.yaml").write_text("---\n".join(map(addons.manifest, ADDONS)))
    (own / "etc/containerd/config.toml").write_text(_containerd())
    for unit in (FILES / "units").iterdir():
        shutil.copy2(unit, systemd / unit.name)
        (systemd / "multi-user.target.wants" / unit.name).symlink_to(f"../{unit.name}")
    for unit_name in (FILES / "masked").read_text().split():
        (systemd / unit_name).symlink_to("/dev/null")
    (systemd / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    for name in REMOVED:
        (systemd / f".wh.{name}").touch()  # what a layer says for "not there"
    _without_oom_scores(own, base)


def _without_oom_scores(own: Path, base: Path) -> None:
    """Units that lower their OOM score do not start on a machine without CAP_SYS_RESOURCE."""
    for unit in (base / "usr/lib/systemd/system").glob("*.service"):
        if not unit.is_symlink() and "OOMScoreAdjust=-" in (text := unit.read_text()):
            changed = own / unit.relative_to(base)
            changed.parent.mkdir(parents=True, exist_ok=True)
            changed.write_text(re.sub(r"^OOMScoreAdjust=-.*\n", "", text, flags=re.MULTILINE))


def _containerd() -> str:
    template = string.Template((HERE / "containerd.toml").read_text())
    return template.substitute(
        root="/var/lib/containerd",
        state="/run/containerd",
        socket="/run/containerd/containerd.sock",
        pause=images.name("pause"),
        plugins="/opt/cni/bin",
        conf="/etc/cni/net.d",
    )


def _key() -> str:
    digest = hashlib.sha256(f"{NAME} {roots.folder('node').name} {preload.folder(CLUSTER_IMAGES).name}".encode())
    for part in ("k8s", "containerd", "cni"):
        digest.update(build.folder(part).name.encode())
    for file in sorted(
        [
            *(path for path in FILES.rglob("*") if path.is_file()),
            HERE / "containerd.toml",
            *(addons.MANIFESTS / f"{name}.yaml" for name in ADDONS),
        ]
    ):
        digest.update(file.read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()
