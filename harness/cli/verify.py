"""harness verify"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, complete_runs, find_run, print_json, reports


@click.command()
@click.argument("run", default="last", shell_complete=complete_runs)
@click.option("--root", default="", help="The root that the run printed; finds a record that was sealed anew.")
@click.option("--key", type=click.Path(path_type=Path), help="Public key of whoever signed the run.")
@reports
@as_json
def command(run: str, root: str, key: Path | None, reports: Path, as_json: bool) -> int:
    """Say whether RUN is as it was sealed: every changed byte, missing and added file.

    Without --root or --key it finds accidents, not forgers: whoever can change a file can write a new manifest.
    Exit code 0: as it was sealed; 10: not so; 11: never sealed.
    """
    from harness.journal.layout import RunFolder
    from harness.run.verify import verify

    found = verify(RunFolder(find_run(run, reports, sealed=True)), root, key)
    if as_json:
        print_json(found.as_dict())
        return found.exit_code
    word = "whole" if found.whole else ("NOT as it was sealed" if found.sealed else "not sealed")
    click.echo(f"{found.run}: {word}" + (f", {found.files} files" if found.whole else ""))
    for text in found.problems:
        click.echo(f"  {text}")
    for text in found.proof:
        click.echo(f"  held against {text}")
    for text in found.notes:
        click.echo(f"  note: {text}")
    if found.root:
        click.echo(f"Sealed: {found.root}")
    return found.exit_code
