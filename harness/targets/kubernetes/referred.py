"""Looks at what objects refer to and do not bring along: Secrets, ConfigMaps, storage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.targets.kubernetes import objects, storage
from harness.targets.kubernetes.api import ApiError, Manifest
from harness.targets.kubernetes.checks import placeholder_secrets
from harness.targets.kubernetes.finding import Finding, Intent


def named_by_pods(intent: Intent, there: Manifest | None) -> Iterator[Finding]:
    """Secrets and ConfigMaps that pods cannot start without are in the manifests, made by us, or there already; and
    such a Secret, as all that is applied, holds no example."""
    generated = intent.spec.kubernetes.secrets.values() if intent.spec.kubernetes else ()
    known = {(each["kind"], each["metadata"]["name"]) for each in intent.manifests}
    known |= {("Secret", place.secret) for place in generated if place.generate}
    named = {one for each in intent.manifests for one in objects.references(each)}
    missing: list[str] = []
    unread: dict[str, list[str]] = {"ConfigMap": [], "Secret": []}
    read: list[Manifest] = []
    for kind, name in sorted(named - known):
        try:
            found = None if there is None else intent.cluster.read(f"v1/{kind}", intent.namespace, name)
        except ApiError as error:
            if error.status != 403:
                raise
            unread[kind].append(f"{kind} {name}")
        else:
            missing += [] if found else [f"{kind} {name}"]
            read += [found] if found and kind == "Secret" else []
    hidden = ", ".join(unread["ConfigMap"] + unread["Secret"])
    yield Finding(
        "what pods refer to is there",
        len(named),
        tuple(missing),
        unknown=f"we may not look at {hidden}" if hidden and not missing else "",
        fix="add it to the manifests, or create it first",
    )
    looked_at = [*intent.manifests, *read]
    examples, hidden = placeholder_secrets(looked_at), ", ".join(unread["Secret"])
    yield Finding(
        "no placeholder secret",
        len(looked_at),
        tuple(examples),
        unknown=f"we may not look at {hidden}" if hidden and not examples else "",
        fix="give it a real value",
    )


def claimed(intent: Intent, there: Manifest | None) -> Iterator[Finding]:
    """The storage classes that claims name are there; and so is what they ask for, where that can be known."""
    if not list(storage.claims(intent.manifests)):
        return
    made = _seen(intent, "v1/PersistentVolumeClaim", intent.namespace) if there else []  # 403: told by the rights
    wanted = list(storage.claims(intent.manifests, {each["metadata"]["name"] for each in made or ()}))
    classes, volumes = _seen(intent, "storage.k8s.io/v1/StorageClass"), _seen(intent, "v1/PersistentVolume")
    capacities = _seen(intent, "storage.k8s.io/v1/CSIStorageCapacity")
    has = storage.Storage(
        [*(classes or ()), *(each for each in intent.manifests if each["kind"] == "StorageClass")],
        [*(volumes or ()), *(each for each in intent.manifests if each["kind"] == "PersistentVolume")],
        capacities or (),
    )
    count, missing = storage.no_class(wanted, has)
    yield Finding(
        "storage classes are there",
        count,
        () if classes is None else tuple(missing),
        unknown="we may not look at storage classes" if classes is None else "",
        fix="name a class that is there (`kubectl get storageclass`)",
    )
    wrong, untold = storage.short(wanted, has)
    unseen = [name for name, found in (("storage classes", classes), ("volumes", volumes)) if found is None]
    if unseen:
        wrong, unknown = [], f"we may not look at {' and '.join(unseen)}"
    else:
        who = "we may not look at what drivers say" if capacities is None else "nobody says what"
        unknown = f"{who} is left of storage class {', '.join(untold)}" if untold and not wrong else ""
    yield Finding(
        "claims find storage",
        max(len(wanted), len(wrong)),
        tuple(wrong),
        unknown=unknown,
        fix="make volumes that fit, or ask for less (`kubectl get persistentvolume,csistoragecapacity -A`)",
    )


def _seen(intent: Intent, kind: str, namespace: str = "") -> Sequence[Manifest] | None:
    """All objects of a kind, None when we may not look; there is none of a kind that is not served."""
    try:
        return intent.cluster.list(kind, namespace)
    except ApiError as error:
        if error.status not in (403, 404):
            raise
        return None if error.status == 403 else ()
