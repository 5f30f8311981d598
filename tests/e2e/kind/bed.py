"""The bare test bed, and looks at it that owe nothing to the harness."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

STATE = Path(os.environ.get("TESTBED_STATE") or "/var/lib/testbed")
KUBECONFIG, BIN = STATE / "run" / "bare" / "kubeconfig", STATE / "bin"
KINDS = "namespaces,persistentvolumes,clusterroles,clusterrolebindings,customresourcedefinitions,storageclasses"


def kubectl(*words: str) -> str:
    command = [str(BIN / "kubectl"), f"--kubeconfig={KUBECONFIG}", "--context=bare", "--request-timeout=10s", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def why_not() -> str:
    """Why nothing can be tested on the bed; "" when it is up."""
    if not KUBECONFIG.exists():
        return "the test bed is not up: python -m testbed up bare"
    try:
        kubectl("get", "--raw", "/readyz")
    except (OSError, subprocess.SubprocessError) as error:
        return f"the test bed does not answer: {error}"
    return ""


def everything() -> set[str]:
    """Names of all objects outside of namespaces, and of all pods and claims within."""
    outside = kubectl("get", KINDS, "-o", "name").split()
    within = kubectl(
        "get",
        "pods,pvc,services,leases",
        "-A",
        "-o",
        "jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name} {end}",
    )
    return {*outside, *within.split()}
