"""harness validate"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, print_json


@click.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1)
@click.option("--explain", is_flag=True, help="Say in plain words what each SLO counts, from where, over which window.")
@as_json
def command(files: tuple[Path, ...], explain: bool, as_json: bool) -> None:
    """Check FILES: scenarios, platforms, experiments, SLOs; folders are searched. Without FILES: all of this project.

    Every mistake is told with file, line, cause and fix.
    """
    from harness.run.validate import validate

    results = validate(files)
    if as_json:
        print_json([result.as_dict() for result in results])
    else:
        for result in results:
            click.echo(f"{'ok ' if not result.mistakes else 'BAD'} {result.file}  ({result.kind})")
            for one in result.not_executed:
                click.echo(f"      right, but `plan` and `judge` refuse it: {one}")
            for line in result.explanation if explain else ():
                click.echo(f"      {line}")
    mistakes = [mistake for result in results for mistake in result.mistakes]
    if mistakes:
        from harness.errors import BadInputs

        raise BadInputs(mistakes)
