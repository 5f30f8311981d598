"""Everything a service is told comes from its environment; a missing or malformed value ends it with one line."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass


class SettingError(SystemExit):
    """A setting is missing or malformed: the process ends with this message and exit code 1."""


def text(name: str, default: str | None = None) -> str:
    """The setting `name`; without a default it must be there."""
    value = os.environ.get(name, default)
    if value is None:
        raise SettingError(f"setting {name} is missing from the environment")
    return value


def number(name: str, default: float | None = None) -> float:
    """The setting `name` as a number."""
    value = text(name, None if default is None else str(default))
    try:
        return float(value)
    except ValueError:
        raise SettingError(f"setting {name}={value!r} is not a number") from None


def integer(name: str, default: int | None = None) -> int:
    """The setting `name` as a whole number."""
    return int(number(name, default))


def words(name: str, default: str = "") -> tuple[str, ...]:
    """The setting `name` as a list of words separated by commas."""
    return tuple(word.strip() for word in text(name, default).split(",") if word.strip())


def host() -> str:
    """Where to listen, the setting `HOST`: loopback unless told otherwise; in a pod 0.0.0.0."""
    value = text("HOST", "127.0.0.1")
    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        raise SettingError(f"setting HOST={value!r} is not an IPv4 address") from None
    return value


@dataclass(frozen=True)
class Identity:
    """Who this process is: told by the target, repeated in every response and metric."""

    service: str
    instance: str
    region: str
    release: str
    port: int

    @classmethod
    def from_environment(cls) -> Identity:
        service = text("SERVICE")
        return cls(service, text("INSTANCE", service), text("REGION", ""), text("RELEASE", ""), integer("PORT"))
