"""Whether claims find storage: volumes that are there already, and what drivers say they have left. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from harness.targets.kubernetes import objects, room
from harness.targets.kubernetes.api import Manifest
from harness.targets.kubernetes.objects import key

DEFAULT = "storageclass.kubernetes.io/is-default-class"
NOBODY = "kubernetes.io/no-provisioner"  # the provisioner of a class whose volumes somebody makes by hand


@dataclass(frozen=True, eq=False)
class Claim:
    """One that is going to be made: how it is told, its own name, and what it asks for."""

    told: str
    namespace: str
    name: str
    spec: Manifest

    @property
    def asked(self) -> str:
        return str(((self.spec.get("resources") or {}).get("requests") or {}).get("storage", "0"))

    @property
    def size(self) -> Decimal:
        return objects.quantity(self.asked)

    @property
    def needs_a_volume(self) -> bool:
        """One that is there: no provisioner makes a volume for a claim that says which."""
        return bool(self.spec.get("volumeName") or self.spec.get("selector"))


@dataclass(frozen=True)
class Storage:
    """What the cluster has, and what is applied beside it; `capacities`: what drivers say of their classes."""

    classes: Sequence[Manifest]
    volumes: Sequence[Manifest]
    capacities: Sequence[Manifest]

    @property
    def default(self) -> str:
        """The class of a claim that names none; "" where no class is the default one: such a claim has none."""
        marked = (each for each in self.classes if (each["metadata"].get("annotations") or {}).get(DEFAULT) == "true")
        return next((str(each["metadata"]["name"]) for each in marked), "")

    def has_class(self, claim: Claim) -> bool:
        """One of which there is a volume needs no object; one that says "" is about volumes alone."""
        volumes = {_class_of(each) for each in self.volumes}
        name = self.class_of(claim)
        return claim.spec.get("storageClassName") == "" or name in volumes | {_name(each) for each in self.classes}

    def class_of(self, claim: Claim) -> str:
        named = claim.spec.get("storageClassName")
        return self.default if named is None else str(named)


def claims(manifests: Sequence[Manifest], there: Collection[str] = ()) -> Iterator[Claim]:
    """Those that objects are, or make for their pods; without the ones that are `there` by name, which are used."""
    for each in manifests:
        spec, about = each.get("spec") or {}, each["metadata"]
        where = about.get("namespace", "")
        if each["kind"] == "PersistentVolumeClaim":
            yield Claim(str(key(each)), where, about["name"], spec)
        first = int((spec.get("ordinals") or {}).get("start", 0))
        for made in spec.get("volumeClaimTemplates") or []:
            for number in range(first, first + objects.replicas(each)):
                name = f"{made['metadata']['name']}-{about['name']}-{number}"
                if name not in there:
                    yield Claim(f"claim {name} of {key(each)}", where, name, made.get("spec") or {})


def no_class(wanted: Sequence[Claim], storage: Storage) -> tuple[int, list[str]]:
    """(classes that claims need, those that are not there). A claim that says which volume it wants needs none."""
    needed = [each for each in wanted if not each.spec.get("volumeName") and each.spec.get("storageClassName") != ""]
    missing = {storage.class_of(each) for each in needed if not storage.has_class(each)}
    return len({storage.class_of(each) for each in needed}), sorted(name or "a default class" for name in missing)


def short(wanted: Sequence[Claim], storage: Storage) -> tuple[list[str], list[str]]:
    """(claims that find nothing, classes of which nobody tells what is left), in words. A claim whose class is not
    there is told by `no_class`."""
    by_class: dict[str, list[Claim]] = {}
    for each in wanted:
        if storage.has_class(each) or each.spec.get("volumeName"):
            by_class.setdefault(storage.class_of(each), []).append(each)
    provisioners = {_name(each): each.get("provisioner", "") for each in storage.classes}
    wrong, unknown = [], []
    for name, those in sorted(by_class.items()):
        volumes = [each for each in storage.volumes if _class_of(each) == name]
        rest = _unbound(those, volumes)
        dynamic = provisioners.get(name, NOBODY) != NOBODY
        made = [each for each in rest if dynamic and not each.needs_a_volume]
        wrong += [_no_volume(each, volumes) for each in rest if each not in made]
        left = [each for each in storage.capacities if each.get("storageClassName") == name]
        if left:
            wrong += _too_large(made, name, left)
        elif made:
            unknown.append(name)
    return wrong, unknown


def _unbound(wanted: Sequence[Claim], volumes: Sequence[Manifest]) -> list[Claim]:
    """Claims without a volume when as many as possible have one of their own."""
    holder: dict[int, Claim] = {}

    def found(claim: Claim, tried: set[int]) -> bool:
        for number, volume in enumerate(volumes):
            if number not in tried and _fits(volume, claim):
                tried.add(number)
                if number not in holder or found(holder[number], tried):
                    holder[number] = claim
                    return True
        return False

    return [each for each in wanted if not found(each, set())]


def _fits(volume: Manifest, claim: Claim) -> bool:
    """By what binds a claim to a volume that is free, or is kept for it."""
    spec, labels = volume["spec"], volume["metadata"].get("labels") or {}
    kept, selector = spec.get("claimRef"), claim.spec.get("selector") or {}
    return (
        (volume.get("status") or {}).get("phase") in (None, "Pending", "Available")
        and (not kept or (kept.get("namespace"), kept.get("name")) == (claim.namespace, claim.name))
        and claim.spec.get("volumeName") in (None, "", _name(volume))
        and objects.quantity(_capacity(volume)) >= claim.size
        and set(claim.spec.get("accessModes") or []) <= set(spec.get("accessModes") or [])
        and _mode(spec) == _mode(claim.spec)
        and (selector.get("matchLabels") or {}).items() <= labels.items()
        and all(room.matches(each, labels) for each in selector.get("matchExpressions") or [])
    )


def _no_volume(claim: Claim, volumes: Sequence[Manifest]) -> str:
    sizes = [f"{_name(each)} {_capacity(each)}" for each in volumes]
    there = f"of its class there are {', '.join(sizes)}" if sizes else "there is none of its class"
    return f"{claim.told} finds no volume for {claim.asked} that is free and fits: {there}"


def _too_large(wanted: Sequence[Claim], name: str, left: Sequence[Manifest]) -> list[str]:
    """What the driver of a class cannot make: each claim by itself, as the scheduler compares, and all together."""
    largest = max((each.get("maximumVolumeSize") or each.get("capacity") or "0" for each in left), key=objects.quantity)
    wrong = [
        f"{each.told} asks for {each.asked}, a volume of class {name} may have {largest} at most"
        for each in wanted
        if each.size > objects.quantity(largest)
    ]
    asked = sum((each.size for each in wanted), Decimal(0))
    together = sum((objects.quantity(each.get("capacity") or 0) for each in left), Decimal(0))
    if not wrong and all(each.get("capacity") for each in left) and asked > together:
        wrong.append(f"{len(wanted)} claims ask for {asked:f} of class {name}, {together:f} is left")
    return wrong


def _name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def _capacity(volume: Manifest) -> str:
    return str((volume["spec"].get("capacity") or {}).get("storage", "0"))


def _class_of(volume: Manifest) -> str:
    return str(volume["spec"].get("storageClassName") or "")


def _mode(spec: Mapping[str, object]) -> object:
    return spec.get("volumeMode") or "Filesystem"
