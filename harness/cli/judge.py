"""harness judge"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, complete_runs, find_run, reports


@click.command()
@click.argument("run", default="last", shell_complete=complete_runs)
@click.option("--slos", type=click.Path(path_type=Path), multiple=True, help="Judge by these objectives: a what-if.")
@click.option("--waivers", type=click.Path(path_type=Path), help="Lay the waivers of this file over it: a what-if.")
@reports
@as_json
def command(run: str, slos: tuple[Path, ...], waivers: Path | None, reports: Path, as_json: bool) -> int:
    """Judge RUN again from its folder alone: no platform, no network. Nothing in the folder is changed.

    Tells every difference from the judgement that was sealed with the run, and which rules changed since. With --slos
    or --waivers the answer is marked as a what-if, and nothing is compared.
    """
    from harness.journal.layout import RunFolder
    from harness.run.verdict import compare_with_sealed, exit_code, judge_folder, show

    folder = RunFolder(find_run(run, reports))
    judgement = judge_folder(folder, slos, waivers)
    compared = None if judgement.what_if else compare_with_sealed(folder, judgement)
    show(judgement, folder, as_json, compared=compared)
    return exit_code(judgement.verdict)
