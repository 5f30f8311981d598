"""harness slo-report"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, complete_runs, find_run, print_json, reports


@click.command()
@click.argument("runs", nargs=-1, shell_complete=complete_runs)
@click.option("--since", default="", help="Only runs that began since then: 28d before the end, or 2026-01-31.")
@click.option("--at", default="", help="When to judge: a time, UTC (default: when the last run ended).")
@click.option("--slos", type=click.Path(path_type=Path), multiple=True, help="Objectives (default: slos, slos/across).")
@reports
@as_json
def command(runs: tuple[str, ...], since: str, at: str, slos: tuple[Path, ...], reports: Path, as_json: bool) -> int:
    """Judge SLOs over many RUNS (default: all) in their rolling and calendar windows, with burn rates.

    Also what only many runs can show: MTTD, MTTR, change failure rate, deployments a day. The exit code is that of the
    verdict.
    """
    from harness.errors import BadInput
    from harness.run.across import as_text, slo_report
    from harness.run.verdict import exit_code

    folders = [find_run(run, reports) for run in runs] or sorted(
        journal.parent for journal in reports.glob("*/journal.jsonl")
    )
    if not folders:
        raise BadInput(f"no run in {reports}", fix="run `harness certify` first")
    report = slo_report(folders, slos, since, at)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        for line in as_text(report):
            click.echo(line)
    return exit_code(report.verdict)
