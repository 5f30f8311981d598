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
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from harness import children, faults, proc
from harness.chaos import lifecycle, undo
from harness.chaos.attach import attach
from harness.chaos.lifecycle import Session
from harness.chaos.undo import UndoToken
from harness.errors import BadInput, CleanUpNotProven, HarnessError, PlatformAbsent, TargetError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.base import Frozen
from harness.model.events import FaultGone, Recovered, RunClosed, RunOpened
from harness.ports import Kept, Target

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

    Raises BadInput when another process still carries the run out, and CleanUpNotProven, telling all of it, when
    something may still be there.
    """
    if not folder.work.is_dir():  # sealed: whatever there was is proven gone, and the journal is closed
        return Recovered(by=by, undone=(), ended=(), clean=True)
    _refuse_while_it_runs(folder)
    with _locked(folder):
        return _Recovery(folder, by, patience).carry_out()


@dataclass
class _Recovery:
    """One cleaning up. Whatever goes wrong becomes a doubt, and the rest is cleaned up all the same."""

    folder: RunFolder
    by: str
    patience: Patience
    undone: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    outliving: set[str] = field(default_factory=set)  # faults that do not go with the platform, and are not lifted

    def carry_out(self) -> Recovered:
        ended: tuple[str, ...] = ()
        with self._doubting("the run's processes"):
            gone, alive = children.end_all(self.folder)
            ended = tuple(gone.values())
            self.doubts += [f"process {process.pid} ({name}) still runs" for process, name in alive.items()]
        on: OnTarget | None = None
        with self._doubting(str(target_file(self.folder))):
            on = _on_target(self.folder)
        self._undo(on)
        if on and not self.outliving:
            with self._doubting(on.target):
                self._settle(on)
        event = Recovered(by=self.by, undone=tuple(self.undone), ended=ended, clean=not self.doubts)
        if self.undone or ended or self.doubts:
            with self._doubting(str(self.folder.journal)):
                log.append(self.folder.journal, event)
        if self.doubts:
            raise CleanUpNotProven("\n".join([f"{self.folder.root}: not all is proven clean", *self.doubts]))
        return event

    def _undo(self, on: OnTarget | None) -> None:
        """Undoes every pending token. All are lifted before any is waited for: lifting is urgent, waiting is not.

        Faults on a platform that is about to go down are lifted, but seen gone only with it. One that would outlive it
        keeps it up until it is lifted. A platform of which nothing is known any more takes its faults along, but none
        that outlives it: what was kept for that one is put back first.
        """
        session = Session(self.folder, "", on.target if on else "", attach)
        lifted = []
        for token in self._tokens():
            goes_down = on is not None and on.owned and token.acts_on(on.target)
            told = f"{token.fault} ({token.kind} of {', '.join(token.selection)})"
            with self._doubting(told, unless=goes_down and not token.outlives):
                self.outliving |= {token.fault} if goes_down and token.outlives else set()
                try:
                    self._put_back(token)
                    lifecycle.lift(session, token, self.patience.gone_s)
                    lifted += [] if goes_down else [token]
                except PlatformAbsent:
                    if token.outlives:
                        raise CleanUpNotProven(_by_hand(self.folder, token)) from None
                    self._gone_with_platform(token)
                self.outliving.discard(token.fault)
        for token in lifted:
            with self._doubting(token.fault):
                lifecycle.see_gone(session, token, self.patience.gone_s, self.by)
                self.undone.append(token.fault)

    def _put_back(self, token: UndoToken) -> None:
        """That a platform's folder is gone, as after a restart of this machine, does not undo what outlives it."""
        if token.outlives:
            target = attach(token.platform or token.target)
            if isinstance(target, Kept):
                target.put_back(self.folder.kept)

    def _tokens(self) -> list[UndoToken]:
        """The newest first: what was broken last is mended first. Each says whether it outlives its platform."""
        tokens = []
        for file in undo.files(self.folder):
            with self._doubting(file.name):
                if token := undo.read_unless_done(file):
                    tokens.append(token.model_copy(update={"outlives": _outlives(token)}))
        return sorted(tokens, key=lambda token: -token.created_wall_ns)

    def _settle(self, on: OnTarget) -> None:
        """A platform of the run's own goes down; one that was up before must become ready."""
        taken_along = [token for token in self._tokens() if token.acts_on(on.target)] if on.owned else []
        try:
            target = attach(on.target)
            if on.owned:
                left = target.down()
                if not left.clean:
                    raise CleanUpNotProven(f"is not down: {left}")
            elif unready := _not_ready(target, self.patience.ready_s):
                raise CleanUpNotProven(f"not ready after {self.patience.ready_s:g} s: {', '.join(unready)}")
        except PlatformAbsent:  # down already
            pass
        if on.owned:
            for token in taken_along:
                self._gone_with_platform(token)
            target_file(self.folder).replace(target_file(self.folder).with_suffix(".down"))
            self.undone.append(f"platform {on.target}")

    def _gone_with_platform(self, token: UndoToken) -> None:
        observer = "undone before the platform went down" if token.outlives else "the platform is down"
        log.append(
            self.folder.journal,
            FaultGone(experiment=token.experiment, fault=token.fault, gone=True, observer=observer, by=self.by),
        )
        undo.mark_done(self.folder, token)
        self.undone.append(token.fault)

    @contextmanager
    def _doubting(self, what: str, unless: bool = False) -> Iterator[None]:
        """Any failure is told at the end: a broken fault or a full disk must not keep the rest from being undone."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            if not unless:
                self.doubts.append(f"{what}: {error}" if isinstance(error, HarnessError) else f"{what}: {error!r}")


def _refuse_while_it_runs(folder: RunFolder) -> None:
    """A run under way cleans up by itself. The process that opened it is the one that has its pid and is older."""
    try:
        events = log.read(folder.journal)
    except OSError:  # told when the recovery cannot be recorded; what is broken must be undone all the same
        return
    if any(isinstance(event, RunClosed) for event in events):
        return
    for event in events:
        if isinstance(event, RunOpened) and event.pid != os.getpid():
            process = proc.identify(event.pid)
            opened_ticks = proc.ticks_now() - (time.monotonic_ns() - event.mono_ns) * proc.TICKS_PER_S // 10**9
            if process and process.start_time <= opened_ticks:
                raise BadInput(
                    f"run {folder.run_id} is still carried out by process {event.pid}",
                    fix="stop it with Ctrl-C: it cleans up by itself",
                )


def _outlives(token: UndoToken) -> bool:
    """Where the token does not say it, its kind and its platform do; one that nobody can ask may outlive it."""
    if token.outlives is not None:
        return token.outlives
    try:
        if not getattr(faults.load(token.kind), "OUTLIVES_PLATFORM", False):
            return False
        return not getattr(attach(token.target), "goes_with_cluster", False)
    except HarnessError:
        return True


def _by_hand(folder: RunFolder, token: UndoToken) -> str:
    """Why nobody here can undo a fault, and how the user can."""
    injector = faults.load(token.kind)
    parameters = lifecycle.check_parameters(injector, token.kind, token.parameters)
    how = injector.by_hand(token.selected, parameters) if hasattr(injector, "by_hand") else "undo it by hand"
    return (
        f"not undone: {token.target} is gone, and nothing else tells where it was made; it stays without the platform\n"
        f"  fix: {how}; then remove {undo.file_of(folder, token.fault)}"
    )


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


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    """One recovery at a time. The lock is on the folder itself, so that it needs no space on the disk; the kernel frees
    it when its holder is killed."""
    descriptor = os.open(folder.work, os.O_RDONLY | os.O_CLOEXEC)
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
