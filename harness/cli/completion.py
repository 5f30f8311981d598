"""harness completion"""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    eval "$(harness completion bash)"        # in ~/.bashrc
    """
    from click.shell_completion import get_completion_class

    from harness.cli import cli

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(cli, {}, "harness", "_HARNESS_COMPLETE").source())
