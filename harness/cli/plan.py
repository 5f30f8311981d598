"""harness plan"""

from __future__ import annotations

import click

from harness.cli.options import as_json, print_json, set_values


@click.command()
@click.argument("scenario", default="certify-quick")
@set_values
@as_json
def command(scenario: str, release: str, seed: int | None, state: str, as_json: bool) -> None:
    """Show what SCENARIO would do, to the second; refuse what cannot work. Nothing is touched."""
    from harness.judge.decidable import words
    from harness.run.prepare import Choices, prepare
    from harness.spec.scenario import find_scenario

    prepared = prepare(find_scenario(scenario), Choices(release=release, seed=seed, state=state))
    if as_json:
        print_json(prepared.plan.model_dump(mode="json"))
        return
    plan = prepared.plan
    click.echo(f"{plan.scenario}: release {plan.release}, seed {plan.seed}, about {plan.arrivals} arrivals")
    for step in plan.steps:
        (early, late), (end_early, end_late) = step.starts_s, step.ends_s
        start = f"{early:6.1f}" if early == late else f"{early:.1f}–{late:.1f}"
        end = f"{end_early:.1f}" if end_early == end_late else f"{end_early:.1f}–{end_late:.1f}"
        click.echo(f"  {start:>14} … {end:<14} s  {step.stage:<8} {step.title}")
    click.echo("What it can say of each objective, at best:")
    for objective in plan.objectives:
        click.echo(f"  {words(objective)}")
    for note in plan.notes:
        click.echo(f"  note: {note}")
