"""A certificate: what a release manager signs off, and what a gate may ask for."""

from __future__ import annotations

from typing import Literal

from harness.model.base import Frozen
from harness.model.judgement import Waived

PASSED, WAIVED = "PASS", "FAIL (waived)"


class Certificate(Frozen):
    """That this release passed this scenario on this target, and until when that counts.

    `digests`: name → SHA-256 of what really ran and of the release's definition. Times are ISO 8601 in UTC.
    """

    format: Literal["harness-certificate/v1"] = "harness-certificate/v1"
    verdict: Literal["PASS", "FAIL (waived)"]
    release: str
    digests: dict[str, str]
    run_id: str
    root: str
    target: str
    platform: str
    scenario: str
    profile: str
    objectives: int
    met: int
    stand_ins: tuple[str, ...]
    harness: str
    commit: str
    rules: dict[str, int]
    ran_at: str
    issued_at: str
    expires_at: str
    waivers: tuple[Waived, ...] = ()
