"""Every error the harness raises on purpose, and the exit code each one leads to.

HarnessError
├── BadInput            20  a file, an option or a name of the user's is wrong
│   └── NotExecuted         right by its specification, but nothing here carries it out
├── TargetError         21  the platform, a child or a service did not do what was asked; all is cleaned up
├── CleanUpNotProven    22  something that was started or broken may still be there
└── Interrupted        130  the user stopped the run; all is cleaned up
"""

from __future__ import annotations

from pathlib import Path

EXIT_PASS, EXIT_FAIL, EXIT_INCONCLUSIVE = 0, 10, 11
EXIT_BAD_INPUT, EXIT_HARNESS_ERROR, EXIT_NOT_CLEAN, EXIT_INTERRUPTED = 20, 21, 22, 130


class HarnessError(Exception):
    """Base of all: a message for the user, never a traceback."""

    exit_code = EXIT_HARNESS_ERROR


class BadInput(HarnessError):
    """Wrong input. Says where, what and how to mend it: `slos/api.yaml:14: spec.objectives[0].target: must be < 1`."""

    exit_code = EXIT_BAD_INPUT

    def __init__(
        self, cause: str, *, file: Path | str | None = None, line: int | None = None, key: str = "", fix: str = ""
    ) -> None:
        self.cause, self.file, self.line, self.key, self.fix = cause, file, line, key, fix
        place = f"{file}:{line}" if file and line else str(file or "")
        message = ": ".join(part for part in (place, key, cause) if part)
        super().__init__(f"{message}\n  fix: {fix}" if fix else message)


class BadInputs(BadInput):
    """Several mistakes at once, all told."""

    def __init__(self, mistakes: list[BadInput]) -> None:
        self.mistakes = mistakes
        Exception.__init__(self, "\n".join(str(mistake) for mistake in mistakes))


class NotExecuted(BadInput):
    """Right by its own specification, but nothing here carries it out: read, and refused before it would be ignored."""


class TargetError(HarnessError):
    """The platform, a child process or a service did not do what it was asked to."""

    exit_code = EXIT_HARNESS_ERROR

    @property
    def passing(self) -> bool:
        """Whether it is worth asking again: what was asked is away, or has too much to do."""
        return False


class NotYet(TargetError):
    """What was asked for is under way, and has not come in the time that it takes by rights."""

    @property
    def passing(self) -> bool:
        return True


class PlatformAbsent(TargetError):
    """There is no such platform: it was never brought up, or is down already."""


class CleanUpNotProven(HarnessError):
    """Something that was started or broken may still be there."""

    exit_code = EXIT_NOT_CLEAN


class Interrupted(HarnessError):
    """Stopped by the user, everything cleaned up."""

    exit_code = EXIT_INTERRUPTED
