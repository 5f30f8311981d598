"""harness sign"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, complete_runs, find_run, print_json, reports


@click.command()
@click.argument("run", default="last", shell_complete=complete_runs)
@click.option("--key", type=click.Path(path_type=Path), required=True, help="Ed25519 private key, PEM or OpenSSH.")
@click.option("--url", default="", help="Where the run can be looked up, such as its CI job.")
@reports
@as_json
def command(run: str, key: Path, url: str, reports: Path, as_json: bool) -> None:
    """Sign RUN: an in-toto test result in a DSSE envelope beside its seal, attestation.dsse.json.

    The key file must be its owner's alone (mode 600). A locked key is opened with HARNESS_KEY_PASSPHRASE.
    """
    from harness.journal.layout import RunFolder
    from harness.run.sign import sign

    file = sign(RunFolder(find_run(run, reports)), key, url)
    if as_json:
        print_json({"attestation": str(file)})
    else:
        click.echo(f"signed: {file}")
