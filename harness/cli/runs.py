"""harness runs"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, print_json, reports


@click.command()
@reports
@as_json
def command(reports: Path, as_json: bool) -> None:
    """List the runs and their verdicts, oldest first."""
    from harness.run.history import history

    rows = history(reports)
    if as_json:
        print_json([row._asdict() for row in rows])
        return
    for row in rows:
        click.echo(f"{row.run_id:<44} {row.verdict:<13} {row.release:<10} {row.sentence}")
    if not rows:
        click.echo(f"no run in {reports}")
