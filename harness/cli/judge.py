"""harness judge"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, find_run, reports


@click.command()
@click.argument("run", default="last")
@click.option("--slos", type=click.Path(path_type=Path), multiple=True, help="Judge by these objectives: a what-if.")
@reports
@as_json
def command(run: str, slos: tuple[Path, ...], reports: Path, as_json: bool) -> int:
    """Judge RUN again from its folder alone: no platform, no network. Nothing in the folder is changed."""
    from harness.journal.layout import RunFolder
    from harness.run.verdict import exit_code, judge_folder, show

    folder = RunFolder(find_run(run, reports))
    judgement = judge_folder(folder, slos)
    show(judgement, folder, as_json)
    return exit_code(judgement.verdict)
