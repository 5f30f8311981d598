"""A run's place on the cluster: its namespace, the Lease that keeps other runs out, the secrets that it makes."""

from __future__ import annotations

import base64
import os
import secrets
from datetime import UTC, datetime

from harness.errors import BadInput, TargetError
from harness.targets.kubernetes.api import ApiError, Cluster, Manifest
from harness.targets.kubernetes.objects import RUN
from harness.targets.kubernetes.state import ClusterState

LEASE, LEASE_KIND = "sophia-harness", "coordination.k8s.io/v1/Lease"
PROTECTED = ("default", "kube-system", "kube-public", "kube-node-lease")
Secrets = dict[str, dict[str, str]]  # name of a Secret → key → value
MANAGED = {"app.kubernetes.io/managed-by": "sophia-harness"}


def cluster_uid(cluster: Cluster) -> str:
    """What tells a cluster from every other: the uid of its namespace kube-system; "" when we may not read it."""
    try:
        found = cluster.read("v1/Namespace", "", "kube-system")
    except ApiError as error:
        if error.status == 403:
            return ""
        raise
    return str(found["metadata"]["uid"]) if found else ""


def refuse_protected(namespace: str) -> None:
    """A run takes its namespace down, and so never acts on one that the cluster itself lives in."""
    if namespace in PROTECTED or namespace.startswith("kube-"):
        raise BadInput(f"namespace {namespace} is protected", fix="give the platform a namespace of its own")


def namespace(cluster: Cluster, name: str) -> Manifest | None:
    """The namespace as an object, or None. One that we may not look at is taken as there, and as nobody's."""
    try:
        return cluster.read("v1/Namespace", "", name)
    except ApiError as error:
        if error.status == 403:
            return {"metadata": {"name": name}}
        raise


def is_ours(found: Manifest, run: str) -> bool:
    return bool((found["metadata"].get("labels") or {}).get(RUN) == run)


def holder(cluster: Cluster, namespace: str) -> str:
    """Who holds the namespace's Lease, in words; "" when it is free."""
    found = cluster.read(LEASE_KIND, namespace, LEASE)
    if found is None:
        return ""
    spec = found.get("spec") or {}
    return f"{spec.get('holderIdentity', 'somebody')} since {spec.get('acquireTime', 'an unknown time')}"


def claim(cluster: Cluster, state: ClusterState, declared: Manifest, made_here: Secrets) -> None:
    """Makes the namespace unless it is there (labelled as `declared` in the manifests), takes its Lease, makes the
    secrets. Raises TargetError when another run has it."""
    where = state.on.namespace
    if namespace(cluster, where) is None:
        made = _object("v1", "Namespace", "", where, state)
        about = declared.get("metadata") or {}
        made["metadata"]["labels"] = {**(about.get("labels") or {}), **made["metadata"]["labels"]}
        made["metadata"]["annotations"] = about.get("annotations") or {}
        cluster.create(made)
    _take_lease(cluster, state)
    for name, text in made_here.items():
        cluster.create({**_object("v1", "Secret", where, name, state), "type": "Opaque", "stringData": text})


def _take_lease(cluster: Cluster, state: ClusterState) -> None:
    """The Lease has no end: a platform outlives the harness that brought it up, and holds it until it is down."""
    lease = _object("coordination.k8s.io/v1", "Lease", state.on.namespace, LEASE, state)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    lease["spec"] = {"holderIdentity": f"{state.id} of {os.uname().nodename}", "acquireTime": now}
    try:
        cluster.create(lease)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        raise TargetError(taken(state.on.namespace, holder(cluster, state.on.namespace))) from None


def taken(namespace: str, by: str) -> str:
    return (
        f"namespace {namespace} is taken by {by}\n"
        f"  fix: take that platform down (`harness status`); when it is of a machine that is no more: "
        f"kubectl delete lease -n {namespace} {LEASE}"
    )


def _generated(state: ClusterState) -> dict[str, list[str]]:
    """Name of a Secret → its keys that are made here."""
    found: dict[str, list[str]] = {}
    for place in state.section.secrets.values():
        if place.generate:
            found.setdefault(place.secret, []).append(place.key)
    return found


def new_secrets(state: ClusterState) -> Secrets:
    """Values for all of them: a platform has the same wherever it is."""
    return {name: {key: secrets.token_urlsafe(24) for key in keys} for name, keys in _generated(state).items()}


def generated_names(state: ClusterState) -> list[str]:
    return list(_generated(state))


def secret(cluster: Cluster, state: ClusterState, name: str) -> str:
    """The value of `${secret.name}`, from the cluster. Raises TargetError when it is not there."""
    place = state.section.secrets.get(name)
    if place is None:
        raise BadInput(
            f"${{secret.{name}}} has no place on Kubernetes",
            file=state.platform_file,
            fix=f"add {name} to spec.kubernetes.secrets",
        )
    found = cluster.read("v1/Secret", state.on.namespace, place.secret) or {}
    encoded = (found.get("data") or {}).get(place.key)
    if encoded is None:
        raise TargetError(f"Secret {state.on.namespace}/{place.secret} has no key {place.key!r}")
    return base64.b64decode(encoded).decode()


def _object(api_version: str, kind: str, namespace: str, name: str, state: ClusterState) -> Manifest:
    about: Manifest = {"name": name, "labels": {RUN: state.id, **MANAGED}}
    if namespace:
        about["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": about}
