"""Undoes what a run left: its processes, its faults, its platform. Idempotent, and from cold: all it needs is on disk.

Called by `finally`, by the watchdog and by `harness recover`; a lock keeps them apart, and whoever comes second finds
nothing left to do. Killed in the middle, it is simply called again.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from harness import children
from harness.chaos import lifecycle, undo
from harness.chaos.attach import attach
from harness.chaos.lifecycle import Session
from harness.chaos.undo import UndoToken
from harness.errors import CleanUpNotProven, HarnessError, PlatformAbsent, TargetError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.base import Frozen
from harness.model.events import FaultGone, Recovered
from harness.ports import Leftovers, Target

LOCK_WITHIN_S = 300.0


class Patience(NamedTuple):
    """Seconds that a lifted fault may take to be gone, and that a platform may then take to be ready."""

    gone_s: float = 60.0
    ready_s: float = 120.0


PATIENCE = Patience()


class OnTarget(Frozen):
    """Which platform a run acts on, and whether the run itself brought it up and so takes it down."""

    target: str
    owned: bool


def target_file(folder: RunFolder) -> Path:
    return folder.work / "target.json"


def note_target(folder: RunFolder, reference: str, owned: bool) -> None:
    """To be called *before* the platform is touched, so that a kill -9 in the middle of a deployment is cleaned up."""
    folder.work.mkdir(parents=True, exist_ok=True)
    file = target_file(folder)
    temporary = file.with_suffix(".new")
    with temporary.open("w") as stream:
        stream.write(OnTarget(target=reference, owned=owned).model_dump_json())
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def recover(folder: RunFolder, by: str, patience: Patience = PATIENCE) -> Recovered:
    """Ends the run's processes, lifts its faults, and takes its platform down (or waits until one that was up before is
    ready). Returns what it did, as recorded in the journal; nothing is recorded when nothing was left.

    Raises CleanUpNotProven, telling all of it, when something may still be there.
    """
    if not folder.work.is_dir():  # sealed: whatever there was is proven gone, and the journal is closed
        return Recovered(by=by, undone=(), ended=(), clean=True)
    with _locked(folder):
        ended, alive = children.end_all(folder)
        doubts = [f"process {process.pid} ({name}) still runs" for process, name in alive.items()]
        on = _on_target(folder)
        undone = list(_undo(folder, on, by, patience, doubts))
        if on:
            undone += _settle(folder, on, by, patience, doubts)
        event = Recovered(by=by, undone=tuple(undone), ended=tuple(ended.values()), clean=not doubts)
        if undone or ended or doubts:
            log.append(folder.journal, event)
    if doubts:
        raise CleanUpNotProven("\n".join([f"{folder.root}: not all is proven clean", *doubts]))
    return event


def _undo(folder: RunFolder, on: OnTarget | None, by: str, patience: Patience, doubts: list[str]) -> Iterator[str]:
    """Undoes every pending token. All are lifted before any is waited for: lifting is urgent, waiting is not.

    Faults on a platform that is about to go down are lifted, but seen gone only with it.
    """
    session = Session(folder, "", on.target if on else "", attach)
    lifted = []
    for token in undo.pending(folder):
        goes_down = on is not None and on.owned and on.target == token.target
        try:
            lifecycle.lift(session, token)
            lifted += [] if goes_down else [token]
        except PlatformAbsent:
            yield _gone_with_platform(folder, token, by)
        except HarnessError as error:
            if not goes_down:
                doubts.append(f"{token.fault} ({token.kind} of {', '.join(token.selection)}) is not undone: {error}")
    for token in lifted:
        try:
            lifecycle.see_gone(session, token, patience.gone_s, by)
            yield token.fault
        except HarnessError as error:
            doubts.append(str(error))


def _settle(folder: RunFolder, on: OnTarget, by: str, patience: Patience, doubts: list[str]) -> Iterator[str]:
    """A platform of the run's own goes down; one that was up before must become ready."""
    try:
        target = attach(on.target)
        if not on.owned:
            if unready := _not_ready(target, patience.ready_s):
                doubts.append(f"{on.target}: not ready after {patience.ready_s:g} s: {', '.join(unready)}")
            return
        left = target.down()
    except PlatformAbsent:
        left = Leftovers()
    except HarnessError as error:
        doubts.append(f"{on.target}: {error}")
        return
    if not left.clean:
        doubts.append(f"{on.target} is not down: {left}")
        return
    for token in undo.pending(folder):
        if token.target == on.target:
            yield _gone_with_platform(folder, token, by)
    target_file(folder).replace(target_file(folder).with_suffix(".down"))
    if on.owned:
        yield f"platform {on.target}"


def _gone_with_platform(folder: RunFolder, token: UndoToken, by: str) -> str:
    gone = FaultGone(experiment=token.experiment, fault=token.fault, gone=True, observer="the platform is down", by=by)
    log.append(folder.journal, gone)
    undo.mark_done(folder, token)
    return token.fault


def _not_ready(target: Target, within_s: float) -> list[str]:
    deadline = time.monotonic() + within_s
    while unready := list(target.ready()):
        if time.monotonic() > deadline:
            return unready
        time.sleep(0.25)
    return []


def _on_target(folder: RunFolder) -> OnTarget | None:
    try:
        return OnTarget.model_validate_json(target_file(folder).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise CleanUpNotProven(f"{target_file(folder)} cannot be read: {error}") from None


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    """One recovery at a time. The kernel frees the lock when its holder is killed."""
    descriptor = os.open(folder.work / "recover.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + LOCK_WITHIN_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TargetError(f"{folder.root} is being recovered by somebody else") from None
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)
