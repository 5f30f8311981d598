"""harness up"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, print_json, yes


@click.command()
@click.argument("platform", type=click.Path(path_type=Path), default=Path("deploy/platform.yaml"))
@click.option("--release", default="", help="Release to deploy.")
@yes
@as_json
def command(platform: Path, release: str, yes: bool, as_json: bool) -> None:
    """Bring PLATFORM up, phase by phase behind its gates, and leave it up: a platform file on this machine, a scenario
    on its target.

    Prints the state folder: the handle for --state, `harness status` and `harness down`.
    """
    from harness.run.platforms import bring_up

    reference, endpoints = bring_up(platform, release, quiet=as_json, yes=yes)
    if as_json:
        print_json({"state": reference, "endpoints": endpoints})
        return
    click.echo(f"up: {reference}")
    for name, url in endpoints.items():
        click.echo(f"  {name:<12} {url}")
