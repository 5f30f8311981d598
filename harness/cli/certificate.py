"""harness certificate"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, complete_runs, find_run, print_json, reports


@click.command()
@click.argument("run", default="last", shell_complete=complete_runs)
@click.option("--valid-for", default="30d", show_default=True, help="How long it counts, as in 12h, 30d or 4w.")
@click.option("--sign", "key", type=click.Path(path_type=Path), help="Ed25519 private key, PEM or OpenSSH.")
@click.option("--waivers", type=click.Path(path_type=Path), help="Waivers that were granted after the run.")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="Folder to write to (default: RUN's own).")
@reports
@as_json
def command(
    run: str, valid_for: str, key: Path | None, waivers: Path | None, to: Path | None, reports: Path, as_json: bool
) -> None:
    """Write the certificate of RUN: certificate.json and certificate.txt; signed, also certificate.dsse.json.

    Only for a sealed run that is whole and passes when judged again. Of a FAIL of which everything is waived there is a
    statement that lists the waivers and never says PASS; gates refuse it unless told otherwise.
    """
    from harness.errors import BadInput
    from harness.journal.layout import RunFolder
    from harness.model.base import parse_duration
    from harness.run.certificate import issue

    try:
        seconds = parse_duration(valid_for)
    except ValueError as error:
        raise BadInput(str(error), fix="--valid-for 30d") from None
    written = issue(RunFolder(find_run(run, reports)), seconds, key, waivers, to)
    if as_json:
        print_json([str(path) for path in written])
        return
    click.echo(written[1].read_text())
    for path in written:
        click.echo(path)
