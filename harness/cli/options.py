"""Options that several verbs share, and how a verb prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def as_json(function: F) -> F:
    """--json: the result as one JSON document on standard output."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")(function)


def reports(function: F) -> F:
    """--reports: where run folders lie."""
    return click.option(
        "--reports",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("reports"),
        show_default=True,
        help="Folder of the run folders.",
    )(function)


def yes(function: F) -> F:
    """--yes: act on a cluster that is not marked as one for tests."""
    return click.option("--yes", is_flag=True, help="Act on a cluster that is not marked `test: true`.")(function)


def set_values(function: F) -> F:
    """--release, --seed, --state: what of a scenario may be chosen on the command line."""
    for option in (
        click.option("--release", default="", help="Release to deploy instead of the scenario's."),
        click.option("--seed", type=int, default=None, help="Seed instead of the scenario's."),
        click.option("--state", default="", help="Attach to a platform that is up (see `harness status`)."),
    ):
        function = option(function)
    return function


def certified(function: F) -> F:
    """--certificate, --certificate-key: run only what was certified."""
    for option in (
        click.option("--certificate", type=click.Path(path_type=Path), help="Run only the release it certifies."),
        click.option("--certificate-key", type=click.Path(path_type=Path), help="Public key that signed it."),
    ):
        function = option(function)
    return function


def print_json(value: object) -> None:
    """Sorted, stable, UTF-8."""
    click.echo(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))


def complete_runs(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """For the shell: the runs of the reports folder, newest first, and `last`."""
    folder = Path(ctx.params.get("reports") or "reports")
    names = sorted((path.parent.name for path in folder.glob("*/journal.jsonl")), reverse=True)
    return [name for name in ("last", *names) if name.startswith(incomplete)]


def complete_objectives(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """For the shell: the SLOs that were judged in the run named before."""
    folder = Path(ctx.params.get("reports") or "reports")
    try:
        judged = json.loads((find_run(ctx.params["run"], folder) / "judgement.json").read_text())["objectives"]
        return sorted({item["slo"] for item in judged if item["slo"].startswith(incomplete)})
    except Exception:  # noqa: BLE001 — a shell that completes must never see a traceback
        return []


def find_run(name: str, folder: Path, sealed: bool = False) -> Path:
    """A run's folder by path, by id, or `last`; BadInput when there is none. `sealed`: its journal may be missing."""
    from harness.errors import BadInput

    if name == "last":
        runs = sorted(path for path in folder.glob("*/journal.jsonl"))
        if not runs:
            raise BadInput(f"no run in {folder}", fix="run `harness certify` first")
        return runs[-1].parent
    for candidate in (Path(name), folder / name):
        if (candidate / "journal.jsonl").is_file() or (sealed and (candidate / "manifest.json").is_file()):
            return candidate
    raise BadInput(f"no run {name!r}", fix=f"`harness runs` lists the runs of {folder}; `last` is the newest")
