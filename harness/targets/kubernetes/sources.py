"""From what a scenario names to the objects that are applied: a Kustomize folder, a Helm chart, or plain manifests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from harness import effort
from harness.errors import BadInput
from harness.model.on_cluster import HelmChart, OnCluster
from harness.targets.kubernetes.api import Manifest
from harness.targets.render import program_path

RENDER_WITHIN_S = 60.0
SUFFIXES = (".yaml", ".yml", ".json")


def rendered(on: OnCluster) -> tuple[Manifest, ...]:
    """All objects, lists taken apart, in the order in which they stand. Raises BadInput."""
    if on.kustomize:
        return parse(_kustomize(on.kustomize), on.kustomize)
    if on.helm:
        return parse(_helm(on.helm, on.namespace), on.helm.chart)
    path = Path(on.manifests)
    files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES) if path.is_dir() else [path]
    found = tuple(each for file in files for each in parse(file.read_text(), str(file)))
    if not found:
        raise BadInput("no manifest is in it", file=path, fix="name a file or folder with manifests")
    return found


def program(name: str) -> str:
    """The path of a program: HARNESS_PATH, then PATH. Raises BadInput when there is none."""
    found = installed(name)
    if not found:
        raise BadInput(f"{name} is not installed", fix="install it, or name its folder in HARNESS_PATH")
    return found


def installed(name: str) -> str | None:
    """The same, None when there is none; a name with a slash is a path already."""
    return shutil.which(name, path=os.pathsep.join(program_path()))


def _kustomize(folder: str) -> str:
    return _said([program("kubectl"), "kustomize", folder], folder)


def _helm(chart: HelmChart, namespace: str) -> str:
    values = [f"--values={file}" for file in chart.values]
    single = [f"--set-string={key}={value}" for key, value in chart.set.items()]
    command = [program("helm"), "template", namespace, chart.chart, f"--namespace={namespace}", *values, *single]
    return _said([*command, "--include-crds", "--no-hooks"], chart.chart)


def _said(command: list[str], source: str) -> str:
    what = " ".join([Path(command[0]).name, command[1]])
    effort.ran(what)
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=RENDER_WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        raise BadInput(f"{what} took more than {RENDER_WITHIN_S:g} s", file=source) from None
    if ran.returncode:
        raise BadInput(ran.stderr.strip()[-500:], file=source, fix=f"`{what} …` tells the same")
    return ran.stdout


def parse(text: str, file: str) -> tuple[Manifest, ...]:
    """The objects of a YAML or JSON text, read as kubectl does (YAML 1.1)."""
    import yaml

    try:
        documents = list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        cause = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise BadInput(cause, file=file, line=mark.line + 1 if mark else None, fix="mend the manifest") from None
    return tuple(each for document in documents if document is not None for each in _objects(document, file))


def _objects(document: Any, file: str) -> list[Manifest]:
    if isinstance(document, dict) and document.get("kind") == "List":
        return [each for item in document.get("items") or [] for each in _objects(item, file)]
    about = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(about, dict) or not all(
        isinstance(value, str) and value
        for value in (document.get("apiVersion"), document.get("kind"), about.get("name"))
    ):
        shown = str(document)[:80].replace("\n", " ")
        raise BadInput(
            f"is no Kubernetes object: {shown}", file=file, fix="an object has apiVersion, kind and metadata.name"
        )
    return [document]
