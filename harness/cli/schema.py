"""harness schema"""

from __future__ import annotations

import click

from harness.cli.options import print_json


@click.command()
@click.argument("document", type=click.Choice(["scenario", "platform", "slo", "waivers"]))
def command(document: str) -> None:
    """Print the JSON Schema of a YAML document, for editors.

    In VS Code or any editor with yaml-language-server, put on the first line of a file:

    \b
    # yaml-language-server: $schema=../docs/reference/scenario.schema.json
    """
    from harness.spec.schema import schema

    print_json(schema(document))
