"""harness report"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, complete_runs, find_run, print_json, reports


@click.command()
@click.argument("run", default="last", shell_complete=complete_runs)
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="Folder to write to.")
@reports
@as_json
def command(run: str, to: Path | None, reports: Path, as_json: bool) -> None:
    """Write judgement.json, report.html, junit.xml and summary.md of RUN again from its evidence.

    A sealed run is never written into: name another folder with --to. Without a seal the default is RUN's own folder.
    """
    from harness.errors import BadInput
    from harness.journal.layout import RunFolder
    from harness.run.verdict import judge_folder, root_of, write_judgement, write_reports

    folder = RunFolder(find_run(run, reports))
    target = to or folder.root
    if folder.manifest.exists() and target.resolve().is_relative_to(folder.root.resolve()):
        raise BadInput("is sealed: writing into it would break the seal", file=folder.root, fix="--to ANOTHER-FOLDER")
    judgement = judge_folder(folder)
    written = [write_judgement(judgement, target), *write_reports(folder, judgement, target, root_of(folder))]
    if as_json:
        print_json([str(path) for path in written])
    else:
        for path in written:
            click.echo(path)
