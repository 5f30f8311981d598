"""Platform files: reading, and everything about them that a schema cannot say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from harness.errors import BadInputs
from harness.model.platform import Gate, HttpCheck, Platform, PlatformSpec, Service
from harness.spec.placeholders import (
    INSTANCE_NAMES,
    Address,
    DevicePath,
    Name,
    OwnPort,
    Placeholder,
    Secret,
    parse_address,
    placeholders,
)
from harness.spec.yaml import KeyPath, Located, load_document

RESERVED = ("port", "device", "secret", *INSTANCE_NAMES)
SECRETS_GO = "secrets stand in `env`, `command`, `prepare`, `reload.command` and `endpoints.databases`"
Mistake = tuple[KeyPath, str, str]


def load_platform(file: Path) -> Located[Platform]:
    """The platform of a file, fully checked: references, names, cycles, placeholders, templates, patterns.

    Raises BadInputs with one entry per mistake: file, line, cause, fix.
    """
    located = load_document(file, Platform)
    mistakes = [located.error(path, cause, fix) for path, cause, fix in _mistakes(located.value.spec, file.parent)]
    if mistakes:
        raise BadInputs(sorted(mistakes, key=lambda mistake: mistake.line or 0))
    return located


def placed(spec: PlatformSpec, service: str) -> set[str]:
    """Regions in which a service has at least one instance."""
    return {
        region
        for each in spec.services
        if each.name == service
        for region, count in each.instances.items()
        if count > 0
    }


def find_service(spec: PlatformSpec, name: str) -> Service | None:
    return next((service for service in spec.services if service.name == name), None)


def locate(spec: PlatformSpec, address: Address, region: str | None) -> str:
    """The region whose instance an address means, seen from `region` (None: from outside of all instances).

    Raises ValueError with cause when the address leads nowhere.
    """
    service = find_service(spec, address.service)
    if service is None:
        raise ValueError(f"no service {address.service!r}")
    if address.port not in service.ports:
        raise ValueError(f"service {address.service!r} has no port {address.port!r}")
    regions = placed(spec, address.service)
    if address.region is not None:
        if address.region not in regions:
            raise ValueError(f"service {address.service!r} has no instance in region {address.region!r}")
        return address.region
    for candidate in (region, ""):
        if candidate is not None and candidate in regions:
            return candidate
    where = ", ".join(sorted(regions)) or "no region"
    raise ValueError(f"service {address.service!r} is not in {region or 'the region-less part'!r} but in {where}")


def _mistakes(spec: PlatformSpec, folder: Path) -> Iterator[Mistake]:
    yield from _duplicates(spec)
    yield from _references(spec)
    yield from _phase_order(spec)
    yield from _cycles(spec)
    for index, service in enumerate(spec.services):
        yield from _service(spec, service, ("spec", "services", index), folder)
    for index, phase in enumerate(spec.phases):
        for gate_index, gate in enumerate(phase.gates):
            yield from _gate(spec, gate, ("spec", "phases", index, "gates", gate_index))
    for index, gate in enumerate(spec.checks):
        yield from _gate(spec, gate, ("spec", "checks", index))
    for index, device in enumerate(spec.devices):
        yield from _text(spec, device.path, ("spec", "devices", index, "path"), None, None)
    yield from _endpoints(spec)
    yield from _secrets(spec)
    yield from _patterns(spec.logs.success, ("spec", "logs", "success"))
    yield from _patterns(spec.logs.failure, ("spec", "logs", "failure"))


def _duplicates(spec: PlatformSpec) -> Iterator[Mistake]:
    lists: dict[str, Iterable[str]] = {
        "services": [service.name for service in spec.services],
        "phases": [phase.name for phase in spec.phases],
        "devices": [device.name for device in spec.devices],
        "releases": [release.name for release in spec.releases],
        "checks": [gate.name for gate in spec.checks],
    }
    for key, names in lists.items():
        seen: set[str] = set()
        for index, name in enumerate(names):
            if name in seen:
                yield ("spec", key, index, "name"), f"{name!r} is a name for the second time", "names must be unique"
            seen.add(name)
    for index, phase in enumerate(spec.phases):
        for name, count in Counter(gate.name for gate in phase.gates).items():
            if count > 1:
                yield ("spec", "phases", index, "gates"), f"{count} gates are called {name!r}", "rename one"
    for index, region in enumerate(spec.regions):
        if region in spec.regions[:index]:
            yield ("spec", "regions", index), f"{region!r} stands here a second time", "keep one"


def _references(spec: PlatformSpec) -> Iterator[Mistake]:
    names = [service.name for service in spec.services]
    released = [service.name for service in spec.services if service.released]
    for index, release in enumerate(spec.releases):
        for name in release.images.keys() - set(released):
            key = ("spec", "releases", index, "images", name)
            yield key, f"no released service {name!r}", f"released: {', '.join(released) or 'none'}"
    rolled_out = Counter(name for phase in spec.phases for name in phase.services)
    for index, service in enumerate(spec.services):
        at = ("spec", "services", index)
        if service.name in RESERVED:
            yield (*at, "name"), f"{service.name!r} is a word of the placeholders", "call the service otherwise"
        for region, count in service.instances.items():
            if region and region not in spec.regions:
                yield (*at, "instances", region), f"no region {region!r}", f"regions: {', '.join(spec.regions)}"
            if count < 0:
                yield (*at, "instances", region), "a negative number of instances", "write 0 or more"
        for place, dependency in enumerate(service.depends):
            if dependency not in names:
                yield (*at, "depends", place), f"no service {dependency!r}", _nearest(dependency, names)
        if rolled_out[service.name] == 0:
            yield at, f"service {service.name!r} is in no phase", "add it to a phase"
    for index, phase in enumerate(spec.phases):
        for place, name in enumerate(phase.services):
            here = ("spec", "phases", index, "services", place)
            if name not in names:
                yield here, f"no service {name!r}", _nearest(name, names)
            elif rolled_out[name] > 1:
                yield here, f"service {name!r} stands in {rolled_out[name]} phases", "a service has one phase"
    for index, device in enumerate(spec.devices):
        if device.region and device.region not in spec.regions:
            yield ("spec", "devices", index, "region"), f"no region {device.region!r}", "add it to spec.regions"


def _phase_order(spec: PlatformSpec) -> Iterator[Mistake]:
    phase_of = {name: number for number, phase in enumerate(spec.phases) for name in phase.services}
    for index, service in enumerate(spec.services):
        for place, dependency in enumerate(service.depends):
            if phase_of.get(dependency, 0) > phase_of.get(service.name, len(spec.phases)):
                cause = f"{dependency!r} is rolled out in a later phase than {service.name!r}"
                yield ("spec", "services", index, "depends", place), cause, "move one of them to another phase"


def _cycles(spec: PlatformSpec) -> Iterator[Mistake]:
    depends = {service.name: service.depends for service in spec.services}
    index_of = {service.name: index for index, service in enumerate(spec.services)}
    told: set[frozenset[str]] = set()
    for name in depends:
        cycle = _cycle_from(name, depends)
        if cycle and frozenset(cycle) not in told:
            told.add(frozenset(cycle))
            path = ("spec", "services", index_of[cycle[0]], "depends")
            yield path, f"services wait for each other: {' → '.join([*cycle, cycle[0]])}", "remove one dependency"


def _cycle_from(start: str, depends: Mapping[str, tuple[str, ...]]) -> list[str]:
    trail: list[str] = [start]
    seen: set[str] = set()

    def walk(name: str) -> bool:
        for following in depends.get(name, ()):
            if following == start:
                return True
            if following in seen:
                continue
            seen.add(following)
            trail.append(following)
            if walk(following):
                return True
            trail.pop()
        return False

    return trail if walk(start) else []


def _service(spec: PlatformSpec, service: Service, at: KeyPath, folder: Path) -> Iterator[Mistake]:
    regions = [region for region, count in service.instances.items() if count > 0]
    texts: list[tuple[KeyPath, str]] = [
        ((*at, "command", place), text) for place, text in enumerate(service.command or ())
    ]
    texts += [
        ((*at, "prepare", step, place), text)
        for step, argv in enumerate(service.prepare)
        for place, text in enumerate(argv)
    ]
    texts += [((*at, "env", key), text) for key, text in service.env.items()]
    if service.released:
        texts += [
            (("spec", "releases", index, "env", key), text)
            for index, release in enumerate(spec.releases)
            for key, text in release.env.items()
        ]
    if service.reload:
        texts += [((*at, "reload", "command", place), text) for place, text in enumerate(service.reload.command)]
        if [bool(service.reload.signal), bool(service.reload.command), service.reload.watched].count(True) != 1:
            yield (*at, "reload"), "needs one of signal, command and watched", "keep exactly one of the three"
    for path, text in texts:
        for region in regions:
            found = list(_text(spec, text, path, service, region, secrets=True))
            yield from found
            if found:
                break
    for place, file in enumerate(service.files):
        if not (folder / file.template).is_file():
            yield (*at, "files", place, "template"), f"no file {file.template!r}", "paths count from the platform file"
        if Path(file.to).is_absolute() or ".." in Path(file.to).parts:
            yield (*at, "files", place, "to"), "leads out of the instance's folder", "give a relative path"
    if service.health:
        yield from _http(spec, service.health, (*at, "health"), service)
    if service.metrics and service.metrics.port not in service.ports:
        yield (*at, "metrics", "port"), f"no port {service.metrics.port!r}", f"ports: {', '.join(service.ports)}"
    for name, number in service.ports.items():
        if not 0 <= number <= 65535:
            yield (*at, "ports", name), f"{number} is no port", "0 (any) to 65535"
    yield from _patterns(service.logs.success, (*at, "logs", "success"))
    yield from _patterns(service.logs.failure, (*at, "logs", "failure"))


def _gate(spec: PlatformSpec, gate: Gate, at: KeyPath) -> Iterator[Mistake]:
    if (gate.http is None) == (gate.command is None):
        yield at, f"gate {gate.name!r} needs either http or command", "keep exactly one of the two"
    if gate.http:
        service = find_service(spec, gate.http.service)
        if gate.http.service and service is None:
            fix = _nearest(gate.http.service, [each.name for each in spec.services])
            yield (*at, "http", "service"), f"no service {gate.http.service!r}", fix
            return
        yield from _http(spec, gate.http, (*at, "http"), service)
    if gate.command:
        for place, text in enumerate(gate.command.argv):
            yield from _text(spec, text, (*at, "command", "argv", place), None, None)


def _http(spec: PlatformSpec, check: HttpCheck, at: KeyPath, service: Service | None) -> Iterator[Mistake]:
    if service and check.port not in service.ports:
        yield (
            (*at, "port"),
            f"service {service.name!r} has no port {check.port!r}",
            f"ports: {', '.join(service.ports)}",
        )
    if not check.path.startswith(("/", "http://", "https://")):
        yield (*at, "path"), "a path starts with /", f"write /{check.path}"
    for pointer in [*check.expect, *check.at_least, *check.at_most]:
        if pointer and not pointer.startswith("/"):
            yield at, f"{pointer!r} is no JSON pointer", "write it as in /modules/0/name"
    regions = [region for region, count in service.instances.items() if count] if service else [None]
    texts: list[tuple[str | tuple[str, str], str]] = [
        ("path", check.path),
        *((("headers", key), text) for key, text in check.headers.items()),
    ]
    texts += [("body", text) for text in _strings(check.body)]
    texts += [(("expect", key), text) for key, value in check.expect.items() for text in _strings(value)]
    texts += [(("expect_headers", key), text) for key, text in check.expect_headers.items()]
    for key, text in texts:
        path = (*at, *((key,) if isinstance(key, str) else key))
        for region in regions:
            found = list(_text(spec, text, path, service, region))
            yield from found
            if found:
                break


def _strings(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _text(
    spec: PlatformSpec, text: str, path: KeyPath, service: Service | None, region: str | None, *, secrets: bool = False
) -> Iterator[Mistake]:
    try:
        found = placeholders(text)
    except ValueError as error:
        yield path, str(error), "the placeholders stand in docs/reference/platform.md; write $${ for a literal ${"
        return
    for placeholder in found:
        if isinstance(placeholder, Secret) and not secrets:
            yield path, "a secret would become part of the record here", SECRETS_GO
            continue
        try:
            _check_placeholder(spec, placeholder, service, region)
        except ValueError as error:
            yield path, str(error), _fix(placeholder)


def _check_placeholder(spec: PlatformSpec, found: Placeholder, service: Service | None, region: str | None) -> None:
    match found:
        case Name(name=name):
            if service is None and name in INSTANCE_NAMES and name != "release":
                raise ValueError(f"${{{name}}} belongs to an instance, and this is not run by one")
        case OwnPort(name=name):
            if service is None or name not in service.ports:
                known = ", ".join(service.ports) if service else "none"
                raise ValueError(f"no port {name!r} here (ports: {known})")
        case DevicePath(name=name):
            if name not in [device.name for device in spec.devices]:
                raise ValueError(f"no device {name!r}")
        case Address():
            locate(spec, found, region)


def _fix(placeholder: Placeholder) -> str:
    if isinstance(placeholder, Address):
        return f"write ${{{placeholder.service}@REGION.{placeholder.port}}} with a region where it runs"
    return "the placeholders stand in docs/reference/platform.md"


def _endpoints(spec: PlatformSpec) -> Iterator[Mistake]:
    points = spec.endpoints
    texts: list[tuple[KeyPath, str]] = [
        (("spec", "endpoints", key), getattr(points, key)) for key in ("edge", "prometheus", "alertmanager")
    ]
    texts += [(("spec", "endpoints", "databases", key), text) for key, text in points.databases.items()]
    texts += [(("spec", "endpoints", "regions", key), text) for key, text in points.regions.items()]
    for path, text in texts:
        if not text:
            continue
        if address := parse_address(text):
            try:
                locate(spec, address, None)
            except ValueError as error:
                yield path, str(error), _fix(address)
        elif "://" not in text:
            yield path, f"{text!r} is neither service.port nor a URL", "write edge.http or http://${edge.http}/"
        else:
            yield from _text(spec, text, path, None, None, secrets="databases" in path)


def _secrets(spec: PlatformSpec) -> Iterator[Mistake]:
    places: dict[tuple[str, str], str] = {}
    for name, place in (spec.kubernetes.secrets if spec.kubernetes else {}).items():
        taken = places.setdefault((place.secret, place.key), name)
        if taken != name:
            at = ("spec", "kubernetes", "secrets", name)
            yield at, f"{place.secret}/{place.key} is the place of {taken!r} already", "give each secret its own key"


def _patterns(patterns: tuple[str, ...], at: KeyPath) -> Iterator[Mistake]:
    for index, pattern in enumerate(patterns):
        try:
            re.compile(pattern)
        except re.error as error:
            yield (*at, index), f"not a regular expression: {error}", "escape special characters with \\"


def _nearest(name: str, names: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(names))}"
