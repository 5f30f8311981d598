"""harness gate"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, certified, reports, set_values, yes


@click.command()
@click.argument("scenario", default="canary-local")
@click.option("--canary", default="", help="Release to try instead of the scenario's.")
@set_values
@yes
@certified
@reports
@as_json
def command(
    scenario: str,
    canary: str,
    release: str,
    seed: int | None,
    state: str,
    yes: bool,
    certificate: Path | None,
    certificate_key: Path | None,
    reports: Path,
    as_json: bool,
) -> int:
    """Move traffic to a new release step by step; promote it or take it back.

    SCENARIO needs a `rollout`. Each share is set, seen in the responses, watched, judged. Exit code 0: promoted;
    10: rolled back; 11: held because the evidence did not suffice, traffic is back on the stable release.
    """
    from harness.run.wire import Choices, carry_out
    from harness.spec.scenario import find_scenario

    choices = Choices(
        release=release,
        seed=seed,
        state=state,
        yes=yes,
        canary=canary,
        gate=True,
        certificate=certificate,
        certificate_key=certificate_key,
    )
    return carry_out(find_scenario(scenario), choices, reports, as_json)
