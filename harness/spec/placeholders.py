"""The placeholders of a platform file, `${...}`: their grammar, apart from what they stand for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

PLACEHOLDER = re.compile(r"\$(\$?)\{([^{}]*)\}")
INSTANCE_NAMES = ("state", "instance", "region", "release", "index")
PLATFORM_NAMES = ("python", "source", "platform")
SECRET = re.compile(r"^[a-z0-9][a-z0-9-]*$")
ENDPOINT = re.compile(
    r"^(?P<service>[a-z0-9][a-z0-9-]*)(?:@(?P<region>[a-z0-9][a-z0-9-]*))?\.(?P<port>[A-Za-z0-9_-]+)$"
)


@dataclass(frozen=True)
class Address:
    """`${service.port}` or `${service@region.port}`: host:port of that service's first instance."""

    service: str
    region: str | None
    port: str


@dataclass(frozen=True)
class OwnPort:
    """`${port.name}`: the instance's own port."""

    name: str


@dataclass(frozen=True)
class DevicePath:
    """`${device.name}`"""

    name: str


@dataclass(frozen=True)
class Secret:
    """`${secret.name}`: a random value, made once per deployed platform."""

    name: str


@dataclass(frozen=True)
class Name:
    """One of INSTANCE_NAMES or PLATFORM_NAMES."""

    name: str


Placeholder = Address | OwnPort | DevicePath | Secret | Name


def parse_placeholder(text: str) -> Placeholder:
    """What stands between the braces. Raises ValueError with what is wrong."""
    if text in INSTANCE_NAMES or text in PLATFORM_NAMES:
        return Name(text)
    kind, _, rest = text.partition(".")
    if kind == "port" and rest:
        return OwnPort(rest)
    if kind == "device" and rest:
        return DevicePath(rest)
    if kind == "secret" and SECRET.match(rest):
        return Secret(rest)
    if address := parse_address(text):
        return address
    raise ValueError(f"unknown placeholder ${{{text}}}")


def parse_address(text: str) -> Address | None:
    """`service.port` or `service@region.port`, else None."""
    found = ENDPOINT.match(text)
    return Address(found["service"], found["region"], found["port"]) if found else None


def placeholders(text: str) -> list[Placeholder]:
    """All placeholders of a text, in order. Raises ValueError."""
    return [parse_placeholder(name) for escaped, name in PLACEHOLDER.findall(text) if not escaped]


def substitute(text: str, value_of: Callable[[Placeholder], str]) -> str:
    """The text with every placeholder replaced; `$${` becomes `${`."""
    return PLACEHOLDER.sub(
        lambda found: f"${{{found[2]}}}" if found[1] else value_of(parse_placeholder(found[2])), text
    )
