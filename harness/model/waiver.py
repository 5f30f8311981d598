"""Waivers: a missed objective that somebody answers for, for a time. A file under review, like any other."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from harness.model.base import Frozen

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


def _date(value: object) -> str:
    from datetime import date

    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise ValueError(f"{value!r} is not a date: write it as 2026-12-31")


Date = Annotated[str, BeforeValidator(_date)]


class Waiver(Frozen):
    """A missed objective that is accepted for a time. It stays a FAIL, and every report says who waived it and why."""

    objective: Text = Field(description="name of the SLO; with several objectives `name/title of the objective`")
    experiment: str = Field(default="", description="only over this experiment's fault window; empty: everywhere")
    who: Text = Field(description="who answers for it")
    why: Text = Field(description="the reason, with a link to where it is being mended")
    until: Date = Field(description="last day on which it counts, in UTC: `2026-12-31`")


class WaiverSpec(Frozen):
    """All waivers of the file."""

    waivers: tuple[Waiver, ...] = Field(min_length=1, description="one entry for each objective")


class WaiverMetadata(Frozen):
    """What the file is called."""

    name: Text = Field(description="name of the file's subject")


class Waivers(Frozen):
    """A waivers document (`kind: Waivers`)."""

    api_version: Literal["harness/v1"] = Field(alias="apiVersion", description="version of this format")
    kind: Literal["Waivers"] = Field(description="what this document is")
    metadata: WaiverMetadata = Field(description="what it is called")
    spec: WaiverSpec = Field(description="what is waived")
