"""harness recover"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, complete_runs, find_run, print_json, reports


@click.command()
@click.argument("run", default="last", shell_complete=complete_runs)
@reports
@as_json
def command(run: str, reports: Path, as_json: bool) -> None:
    """Undo what RUN left: end its processes, lift its faults, take its platform down. Safe to repeat.

    A watchdog does this by itself when the harness is killed; this is for when that was killed too.
    """
    from harness.journal.layout import RunFolder
    from harness.run.recover import recover

    result = recover(RunFolder(find_run(run, reports)), by="harness recover")
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    for what, names in (("undone", result.undone), ("ended", result.ended)):
        click.echo(f"{what}: {', '.join(names) or 'nothing was left'}")
    click.echo("clean" if result.clean else "NOT proven clean")
