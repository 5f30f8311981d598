"""harness compare"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from harness.cli.options import as_json, complete_runs, find_run, print_json, reports


@click.command()
@click.argument("before", shell_complete=complete_runs)
@click.argument("after", default="last", shell_complete=complete_runs)
@reports
@as_json
def command(before: str, after: str, reports: Path, as_json: bool) -> None:
    """Say what got better or worse from run BEFORE to run AFTER, beyond noise.

    A ratio changed when the two runs' intervals at the objective's confidence do not overlap; a time when its earliest
    and latest do not. Both are judged by this version. The exit code is 0 whatever changed: read --json.
    """
    from harness.journal.layout import RunFolder
    from harness.run.compare import as_table, compare

    folders = [RunFolder(find_run(name, reports)) for name in (before, after)]
    changes, differs = compare(*folders)
    counts = Counter(change.word for change in changes)
    if as_json:
        print_json(
            {
                "before": folders[0].run_id,
                "after": folders[1].run_id,
                "counts": {str(word): number for word, number in counts.items()},
                "changes": [change.model_dump(mode="json") for change in changes],
                "runs_differ_in": list(differs),
            }
        )
        return
    click.echo(f"{folders[0].run_id} → {folders[1].run_id}: {counts['worse']} worse, {counts['better']} better")
    for text in differs:
        click.echo(f"  {text}")
    click.echo(as_table(changes))
