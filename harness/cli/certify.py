"""harness certify"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, reports, set_values, yes


@click.command()
@click.option("--profile", default="quick", show_default=True, help="How much, and where.")
@set_values
@yes
@reports
@as_json
def command(profile: str, release: str, seed: int | None, state: str, yes: bool, reports: Path, as_json: bool) -> int:
    """Certify the platform: deploy, load, break, judge, report.

    \b
    quick  one fault (Weaviate killed), at most two minutes
    full   Weaviate killed three times, the GPU lost twice, a region lost; claims objectives for the platform
    bare   quick, on the Kubernetes of `python -m testbed up bare`; bare-full: six faults there
    kind   six faults on a cluster that the run makes with kind (docs/guides/testbed.md)

    Runs scenarios/certify-<profile>.yaml. The exit code is the verdict (see `harness --help`).
    """
    from harness.run.wire import Choices, carry_out
    from harness.spec.scenario import find_scenario

    choices = Choices(release=release, seed=seed, state=state, yes=yes, profile=profile)
    return carry_out(find_scenario("certify", profile), choices, reports, as_json)
