"""harness explain"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, complete_objectives, complete_runs, find_run, print_json, reports


@click.command()
@click.argument("run", shell_complete=complete_runs)
@click.argument("objective", shell_complete=complete_objectives)
@click.option("--rows", default=20, show_default=True, type=click.IntRange(0, 100_000), help="Rows to show of a table.")
@reports
@as_json
def command(run: str, objective: str, rows: int, reports: Path, as_json: bool) -> None:
    """Walk from a verdict of RUN down to what decided it: the rule, the counts, the rows themselves.

    OBJECTIVE is the name of an SLO, or name/title of one of its objectives. Shown are the bad requests, samples,
    alerts, writes or probes, and those of which nothing is known. Times are seconds since the run was opened.
    """
    from harness.journal.layout import RunFolder
    from harness.run.explain import as_text, explain

    found = explain(RunFolder(find_run(run, reports)), objective, rows)
    if as_json:
        print_json([{**one.model_dump(mode="json"), "counted": counted} for counted, one in found])
        return
    for number, (counted, one) in enumerate(found):
        click.echo("\n" * bool(number), nl=False)
        for line in as_text(counted, one):
            click.echo(line)
