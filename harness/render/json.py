"""The judgement as canonical JSON: the same judgement gives the same bytes, so that digests of two can be compared."""

from __future__ import annotations

import json

from harness.model.judgement import Judgement


def judgement_json(judgement: Judgement) -> bytes:
    """UTF-8, keys sorted, floats in their shortest exact form, no NaN; read back by `Judgement.model_validate_json`.

    Raises ValueError for NaN or infinity: a judgement must say None for what is unknown.
    """
    value = judgement.model_dump(mode="python")
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
