"""harness doctor"""

from __future__ import annotations

import click

from harness.cli.options import as_json, print_json


@click.command()
@click.argument("scenario", default="")
@as_json
def command(scenario: str, as_json: bool) -> int:
    """Say what this machine has and lacks, and how to get it. Exit code 20 when something needed is missing.

    With SCENARIO: what its cluster has and lacks, as a run would look before it touches anything.
    """
    from harness.run import cluster, doctor
    from harness.spec.scenario import find_scenario

    findings = cluster.examine(find_scenario(scenario)) if scenario else doctor.examine()
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            mark = "ok     " if finding.ok else ("MISSING" if finding.needed else "absent ")
            click.echo(f"{mark} {finding.name:<24} {finding.detail}")
            if not finding.ok:
                click.echo(f"        fix: {finding.fix}")
    return 0 if all(finding.ok or not finding.needed for finding in findings) else 20
