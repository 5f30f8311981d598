"""The base of every document, and the scalar types that documents share."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
DURATION_PATTERN = r"^\d+(\.\d+)?(ms|s|m|h|d|w)$"


class Frozen(BaseModel):
    """A value: immutable, and no key is ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def parse_duration(value: object) -> float:
    """Seconds of "20ms", "5s", "2m", "1h", "28d" or "4w". A number without a unit is refused.

    Raises ValueError with what was expected.
    """
    if isinstance(value, float):  # already parsed: a value that was dumped and read again in seconds
        return value
    if isinstance(value, str) and re.match(DURATION_PATTERN, value):
        number, unit = re.match(r"^([\d.]+)(\w+)$", value).groups()  # type: ignore[union-attr]
        return float(number) * UNITS[unit]
    raise ValueError(f"{value!r} is not a duration: write a number with its unit, as in 20ms, 5s, 2m, 1h or 28d")


def format_duration(seconds: float) -> str:
    """The shortest exact writing of a duration: 0.02 → "20ms", 90 → "90s", 120 → "2m"."""
    for unit in ("w", "d", "h", "m", "s"):
        if seconds >= UNITS[unit] and abs(seconds / UNITS[unit] - round(seconds / UNITS[unit])) < 1e-9:
            return f"{round(seconds / UNITS[unit])}{unit}"
    return f"{seconds * 1000:g}ms" if seconds < 1 else f"{seconds:g}s"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["20ms", "5s", "2m", "1h"]}),
]
