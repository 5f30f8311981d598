"""The verbs of `python -m testbed`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from testbed.state import TestbedError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A real multi-node Kubernetes on this machine.

    State is kept in $TESTBED_STATE, else /var/lib/testbed, and shared by every clone. Needs root. One bed at a time:
    both use the same ports of 127.0.0.1.
    """


@main.command()
def check() -> None:
    """Say whether this machine can hold the bed: exit code 0, or 3 when it cannot; any other is a failure of the check.
    Needs no set-up: `python3 -m testbed check`."""
    from testbed import ability

    sys.exit(ability.main())


@main.command()
@click.argument("parts", nargs=-1)
def build(parts: tuple[str, ...]) -> None:
    """Build the programs that are missing (PARTS; all by default): about 14 minutes once, from empty caches."""
    from testbed import build

    build.build(parts)


@main.command()
@click.argument("names", nargs=-1)
def images(names: tuple[str, ...]) -> None:
    """Make the images that are missing or have changed (NAMES; all by default), print the archives' paths."""
    from testbed import images

    for archive in images.make([images.named(name) for name in names] or images.IMAGES):
        click.echo(archive)


@main.command()
@click.argument("bed", type=click.Choice(["bare", "kind", "docker"]))
@click.option(
    "--regions",
    default="-,sjc,sjc,lax",
    show_default=True,
    help="Of bare: one per node; - for none. The first has the control plane.",
)
@click.option("--no-addons", is_flag=True, help="Of bare: without CoreDNS, storage, graphics cards and metrics-server.")
def up(bed: str, regions: str, no_addons: bool) -> None:
    """Bring a bed up; does nothing when it is up. `docker` is the daemon that kind needs, without a cluster."""
    from testbed import bare, kind, layout

    if bed == "bare":
        bare.up(layout.parse_regions(regions), with_addons=not no_addons)
    elif bed == "kind":
        kind.up()
    else:
        kind.up_docker()


@main.command()
@click.argument("bed", type=click.Choice(["bare", "kind", "all"]), default="all")
def down(bed: str) -> None:
    """Take a bed down (all by default), whatever state it is in; nothing of it is left."""
    from testbed import bare, kind

    if bed in ("bare", "all"):
        bare.down()
    if bed in ("kind", "all"):
        kind.down()


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(as_json: bool) -> None:
    """Say what is up. Exit code 1 when no bed is."""
    from testbed import bare, kind

    beds = [bare.status(), kind.status()]
    if as_json:
        click.echo(json.dumps({each["bed"]: each for each in beds}, indent=1))
    else:
        for each in beds:
            _show(each)
    sys.exit(0 if any(each["up"] for each in beds) else 1)


def _show(bed: dict[str, Any]) -> None:
    click.echo(f"{bed['bed']}: {'up' if bed['up'] else 'not up'}")
    if bed["up"]:
        click.echo(f"  KUBECONFIG={bed['kubeconfig']}")
        for node in bed["nodes"]:
            state = "off" if not node["on"] else "Ready" if node["ready"] else "not Ready"
            click.echo(f"  {node['name']}  {node['region'] or '-':4}  {state}")


@main.group()
def node() -> None:
    """Switch a node off and on, like a machine that loses power, and tell which it is."""


@node.command("stop")
@click.argument("name")
def node_stop(name: str) -> None:
    """Cut the node's link and kill everything on it."""
    from testbed import kind, nodes

    (kind if name in kind.NODES else nodes).stop(name)


@node.command("start")
@click.argument("name")
def node_start(name: str) -> None:
    """Switch the node on again; what lay on its disk is there."""
    from testbed import kind, nodes

    (kind if name in kind.NODES else nodes).start(name)


@node.command("state")
@click.argument("name")
def node_state(name: str) -> None:
    """Print `on` or `off`: off when nothing of it runs any more."""
    from testbed import kind, nodes

    click.echo("off" if (kind if name in kind.NODES else nodes).is_off(name) else "on")


@main.group()
def api() -> None:
    """Kill the API server of the bare bed and start it again, or let it hang and go on."""


@api.command("stop")
def api_stop() -> None:
    """Nobody can ask or change anything; what runs goes on."""
    from testbed import bare

    bare.stop_api()


@api.command("start")
def api_start() -> None:
    """Returns when it answers."""
    from testbed import bare

    bare.start_api()


@api.command("freeze")
def api_freeze() -> None:
    """It hangs: connections are made, and nothing is answered."""
    from testbed import bare

    bare.freeze_api()


@api.command("thaw")
def api_thaw() -> None:
    """Returns when it answers."""
    from testbed import bare

    bare.start_api()


@main.command()
@click.argument("bed", type=click.Choice(["bare", "kind"]))
@click.argument("archives", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def load(bed: str, archives: tuple[Path, ...]) -> None:
    """Import image archives into every node of a bed."""
    from testbed import kind, nodes

    for archive in archives:
        (kind if bed == "kind" else nodes).load(archive)


@main.command()
@click.argument("bed", type=click.Choice(["bare", "kind"]))
@click.argument("addon", type=click.Choice(["gateway"]))
def add(bed: str, addon: str) -> None:
    """Put on a bed that is up what it lacks at its start: `gateway`, a Gateway controller (built in 5 minutes)."""
    from testbed import addons, kind, layout, nodes

    if bed == "kind":
        addons.gateway(kind.kubeconfig(), kind.load)
    else:
        addons.gateway(layout.kubeconfig(), nodes.load)


@main.command()
@click.argument("bed", type=click.Choice(["bare", "kind"]))
def verify(bed: str) -> None:
    """Look at a bed as a user would: every promise seen to be kept. Takes about two minutes."""
    from testbed import kind, layout, verify

    failed = verify.verify(kind.kubeconfig() if bed == "kind" else layout.kubeconfig())
    sys.exit(1 if failed else 0)


def run() -> None:
    try:
        main(prog_name="python -m testbed")
    except TestbedError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
