"""harness admit"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import as_json, print_json


@click.command()
@click.argument("certificate", type=click.Path(path_type=Path))
@click.option("--digest", "digests", multiple=True, required=True, help="SHA-256 of what goes out, or NAME=SHA-256.")
@click.option("--release", default="", help="Name of the release that goes out.")
@click.option("--key", type=click.Path(path_type=Path), help="Public key of whoever must have signed it.")
@click.option("--allow-waived", is_flag=True, help="Also admit a release that failed and was waived.")
@as_json
def command(
    certificate: Path, digests: tuple[str, ...], release: str, key: Path | None, allow_waived: bool, as_json: bool
) -> None:
    """Say whether CERTIFICATE admits a release: for any CI that deploys without the harness.

    Exit code 0: admitted; 20: refused, with the cause: another digest, expired, waived, not signed by this key.
    """
    from harness.run.certificate import admission

    found = admission(certificate, key)
    pairs = (text.rpartition("=") for text in digests)
    found.admit(
        {name or f"?{digest}": digest.removeprefix("sha256:").lower() for name, _, digest in pairs},
        release,
        allow_waived,
    )
    if as_json:
        print_json(found.certificate.model_dump(mode="json"))
        return
    it = found.certificate
    click.echo(f"admitted: release {it.release}, {it.verdict} of run {it.run_id}, until {it.expires_at}")
    if key is None:
        click.echo("note: no --key was given, so nobody checked who wrote this certificate")
