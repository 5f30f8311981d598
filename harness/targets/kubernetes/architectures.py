"""What images are built for, and what nodes are, as far as it is known: an API server does not tell it of images."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.model.on_cluster import OnCluster
from harness.targets.kubernetes import objects, room
from harness.targets.kubernetes.api import Manifest
from harness.targets.kubernetes.objects import key

Built = Mapping[str, frozenset[str]]  # image → architectures, as "amd64"; "": of every other image
ARCH = "kubernetes.io/arch"


def built(on: OnCluster) -> Built:
    """As the archives tell that a kind cluster is loaded with, and as the scenario declares."""
    found = dict(each for archive in (on.kind.archives if on.kind else ()) for each in of_archive(Path(archive)))
    return {**found, **({"": frozenset(on.architectures)} if on.architectures else {})}


def of_archive(file: Path) -> list[tuple[str, frozenset[str]]]:
    """(image, its architecture) of a docker-archive; nothing of what is none, or cannot be read."""
    try:
        with tarfile.open(file) as archive:
            images = _json(archive, "manifest.json")
            return [
                (tag, frozenset({_json(archive, image["Config"])["architecture"]}))
                for image in images
                for tag in image.get("RepoTags") or []
            ]
    except (OSError, tarfile.TarError, KeyError, TypeError, ValueError):
        return []


def _json(archive: tarfile.TarFile, name: str) -> Any:
    stream = archive.extractfile(name)
    if stream is None:
        raise KeyError(name)
    return json.load(stream)


def misplaced(manifests: Sequence[Manifest], nodes: Sequence[Manifest], known: Built) -> list[str]:
    """Workloads that may run on a node for which one of their images is not built, in words; each once."""
    wrong: dict[str, str] = {}
    for each in manifests:
        for image in _images(each):
            fits = known.get(image, known.get(""))
            for node in room.takers(each, nodes):
                arch = of_node(node)
                if fits is not None and arch and arch not in fits:
                    name, are = node["metadata"]["name"], " and ".join(sorted(fits))
                    wrong.setdefault(
                        str(key(each)), f"{key(each)} may run on {name}, which is {arch}: {image} is {are}"
                    )
    return list(wrong.values())


def unknown(manifests: Iterable[Manifest], nodes: Sequence[Manifest], known: Built) -> str:
    """Why it cannot be told of some images; "" when it can of all."""
    unsure = sorted({image for each in manifests for image in _images(each) if "" not in known and image not in known})
    if not unsure:
        return ""
    kinds = " and ".join(sorted({of_node(each) or "unknown" for each in nodes})) or "unknown"
    return f"nobody says what {', '.join(unsure)} {'is' if len(unsure) == 1 else 'are'} built for; nodes are {kinds}"


def of_node(node: Manifest) -> str:
    """By the kubelet's word."""
    told = (node.get("status") or {}).get("nodeInfo") or {}
    return str(told.get("architecture") or (node["metadata"].get("labels") or {}).get(ARCH, ""))


def _images(manifest: Manifest) -> list[str]:
    return sorted({container["image"] for container in objects.containers(manifest, init=True)})
