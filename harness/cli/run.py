"""harness run"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, certified, reports, set_values, yes


@click.command()
@click.argument("scenario")
@set_values
@yes
@certified
@reports
@as_json
def command(
    scenario: str,
    release: str,
    seed: int | None,
    state: str,
    yes: bool,
    certificate: Path | None,
    certificate_key: Path | None,
    reports: Path,
    as_json: bool,
) -> int:
    """Carry out SCENARIO: a file, or the name of one in scenarios/."""
    from harness.run.wire import Choices, carry_out
    from harness.spec.scenario import find_scenario

    choices = Choices(
        release=release,
        seed=seed,
        state=state,
        yes=yes,
        certificate=certificate,
        certificate_key=certificate_key,
    )
    return carry_out(find_scenario(scenario), choices, reports, as_json)
