"""JSON Schemas of our YAML, made from the models, for editors."""

from __future__ import annotations

from typing import Any

DOCUMENTS = ("scenario", "platform", "slo", "waivers")


def schema(document: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a document: "scenario", "platform", "slo" or "waivers"."""
    from harness.model.platform import Platform
    from harness.model.scenario import Scenario
    from harness.model.waiver import Waivers

    if document == "scenario":
        found = Scenario.model_json_schema(by_alias=True)
    elif document == "platform":
        found = Platform.model_json_schema(by_alias=True)
    elif document == "waivers":
        found = Waivers.model_json_schema(by_alias=True)
    else:
        from harness.model.openslo import SLO

        found = SLO.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
