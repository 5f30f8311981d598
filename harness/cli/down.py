"""harness down"""

from __future__ import annotations

import click

from harness.cli.options import as_json, print_json


@click.command()
@click.argument("state", default="")
@click.option("--all", "every", is_flag=True, help="Every platform of this user.")
@as_json
def command(state: str, every: bool, as_json: bool) -> None:
    """Take down the platform in STATE (see `harness status`), and prove that nothing of it is left.

    STATE may be left out when exactly one platform is up.
    """
    from harness.run.platforms import take_down

    ended = take_down(state, every)
    if as_json:
        print_json(list(ended))
    else:
        for reference, unseen in ended.items():
            click.echo(f"down, nothing left: {reference}")
            if unseen:
                click.echo(f"  not looked for, we may not: {', '.join(unseen)}")
        if not ended:
            click.echo("no platform is up")
