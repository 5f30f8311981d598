"""The command line: one file per verb, loaded only when it is called."""

from __future__ import annotations

import importlib
import sys

import click

from harness import __version__
from harness.errors import EXIT_BAD_INPUT, EXIT_HARNESS_ERROR, EXIT_INTERRUPTED, HarnessError

VERBS = {
    "certify": "Deploy, load, break, judge the platform: the whole line.",
    "run": "Carry out any scenario.",
    "gate": "Promote or roll back a new release, step by step.",
    "plan": "Show the exact timeline of a scenario; touch nothing.",
    "validate": "Check scenarios, platforms, experiments and SLOs.",
    "judge": "Judge a run again from its folder, offline.",
    "explain": "Walk from a verdict down to what decided it.",
    "compare": "Say what got better or worse between two runs.",
    "slo-report": "Judge SLOs over many runs, with burn rates, MTTD and MTTR.",
    "report": "Write a run's reports again from its folder.",
    "verify": "Say whether a run's folder is as it was sealed.",
    "sign": "Sign a sealed run with your key.",
    "certificate": "Write the certificate of a run that passed.",
    "admit": "Say whether a certificate admits a release.",
    "recover": "Undo what a run left behind.",
    "up": "Bring a platform up and leave it up.",
    "down": "Take a platform down.",
    "status": "Show the platforms that are up.",
    "runs": "List the runs and their verdicts.",
    "doctor": "Say what this machine, or a scenario's cluster, has and lacks.",
    "rbac": "Write the rights that a scenario needs on its cluster.",
    "schema": "Print the JSON Schema of a YAML document.",
    "completion": "Print the completion script of a shell.",
}
EXIT_CODES = """\b
Exit codes: 0 PASS · 10 FAIL · 11 INCONCLUSIVE · 20 bad input · 21 harness error, all
clean · 22 clean-up not proven · 130 interrupted, clean. Of several the first in the
order 22, 21, 20, 10, 11 counts."""


class Verbs(click.Group):
    """Imports a verb's module when it is needed: `harness --help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command = importlib.import_module(f"harness.cli.{name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "see `harness --help`"
            ctx.fail(f"no verb {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
def cli() -> None:
    """Decides whether an AI platform may go to production.

    It deploys the platform, drives load through its API, breaks it on purpose, measures against declared objectives,
    and gives a verdict: PASS, FAIL, or INCONCLUSIVE when the evidence does not suffice.

    \b
    harness certify                 the whole line on this machine, in two minutes
    harness plan scenarios/x.yaml   what would happen, before anything does
    harness judge reports/RUN       the verdict again, from the evidence alone
    """


def main(argv: list[str] | None = None) -> None:
    """Entry point: runs a verb and turns every outcome into a documented exit code."""
    sys.exit(outcome(argv))


def outcome(argv: list[str] | None = None) -> int:
    """The exit code of a command line; every message for the user is printed."""
    try:
        code = cli.main(args=argv, prog_name="harness", standalone_mode=False)
        return int(code or 0)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_BAD_INPUT
    except (KeyboardInterrupt, click.exceptions.Abort):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except HarnessError as error:
        click.echo(f"{_red('error:')} {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_HARNESS_ERROR
    except OSError as error:
        click.echo(f"{_red('error:')} {error.strerror or error}: {error.filename or ''}", err=True)
        return EXIT_HARNESS_ERROR
    except Exception:  # noqa: BLE001 — a mistake of ours still has a documented exit code
        import traceback

        traceback.print_exc()
        click.echo(f"{_red('error:')} this is a mistake in the harness; please report the lines above", err=True)
        return EXIT_HARNESS_ERROR


def _red(text: str) -> str:
    return click.style(text, fg="red", bold=True) if sys.stderr.isatty() else text
