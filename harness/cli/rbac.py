"""harness rbac"""

from __future__ import annotations

import click

from harness.cli.options import as_json, print_json


@click.command()
@click.argument("scenario")
@click.option("--context", default="", help="Of several clusters: only what is for this one.")
@as_json
def command(scenario: str, context: str, as_json: bool) -> None:
    """Write the Role that SCENARIO needs in its namespace, and apart from it the ClusterRole with the rest, as YAML.

    Exactly what bringing up, checking, breaking and taking down ask for; bind both to who runs the harness. Where the
    namespace is there already, no right to make one is asked for. The cluster is asked what it serves, nothing more.
    Where regions have clusters of their own, each object says by an annotation for which context it is.
    """
    from harness.run.cluster import roles
    from harness.spec.scenario import find_scenario

    found = roles(find_scenario(scenario), context)
    if as_json:
        print_json(found)
        return
    import yaml

    click.echo(yaml.safe_dump_all(found, sort_keys=False), nl=False)
