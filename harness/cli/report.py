"""harness report"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, find_run, print_json, reports


@click.command()
@click.argument("run", default="last")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="Folder to write to (default: RUN's own).")
@reports
@as_json
def command(run: str, to: Path | None, reports: Path, as_json: bool) -> None:
    """Write report.html, junit.xml and summary.md of RUN again from its evidence."""
    from harness.journal.layout import RunFolder
    from harness.run.verdict import judge_folder, write_reports

    folder = RunFolder(find_run(run, reports))
    written = write_reports(folder, judge_folder(folder), to or folder.root)
    if as_json:
        print_json([str(path) for path in written])
    else:
        for path in written:
            click.echo(path)
