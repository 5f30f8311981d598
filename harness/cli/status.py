"""harness status"""

from __future__ import annotations

import click

from harness.cli.options import as_json, print_json


@click.command()
@as_json
def command(as_json: bool) -> None:
    """Show the platforms that are up: where, since when, which instances are ready."""
    from harness.run.platforms import platforms

    rows = platforms()
    if as_json:
        print_json(rows)
        return
    for row in rows:
        missing = ", ".join(row["not_ready"])
        click.echo(f"{row['state']}  {row['platform']} {row['release']}  {row['instances']} instances, ", nl=False)
        click.echo(f"not ready: {missing}" if missing else "all ready")
    if not rows:
        click.echo("no platform is up")
