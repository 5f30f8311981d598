"""A fault from selection to seen gone. Each step is on disk before the next, so that any process can take over.

select → blast radius → undo token, fault.intended → (prepare →) inject → fault.injected → fault.landed → … → fault.gone
fault.gone
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from pydantic import JsonValue, ValidationError

from harness import faults
from harness.chaos import undo
from harness.chaos.undo import UndoToken
from harness.errors import BadInput, TargetError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.clock import Clock, SystemClock
from harness.model.events import AnyEvent, FaultGone, FaultInjected, FaultIntended, FaultLanded, Problem
from harness.ports import FaultInjector, Kept, Observation, Selection, Spread, Target

LOOK_EVERY_S = 0.05
LOOK_AT_LEAST_EVERY_S = 0.5
UNTOLD_S = 2.0  # what happened just before its doer died may reach an observer (a kubelet looks every second) after it


class NotSeen(TargetError):
    """An effect that had to be seen was not: a fault that did not land, or one that did not go."""


@dataclass(frozen=True)
class Session:
    """Where an experiment writes and what it acts on; `attach` turns the target's reference into the target."""

    folder: RunFolder
    experiment: str
    reference: str
    attach: Callable[[str], Target]
    clock: Clock = field(default_factory=SystemClock)

    @property
    def target(self) -> Target:
        return self.attach(self.reference)

    def record(self, event: AnyEvent) -> AnyEvent:
        return log.append(self.folder.journal, event)


def inject(
    session: Session,
    name: str,
    kind: str,
    parameters: dict[str, JsonValue],
    blast_radius: int,
    deadline_s: float,
) -> UndoToken:
    """Makes the fault. Raises BadInput or TargetError, with nothing touched, when it must not be made.

    `deadline_s`: the time in which it should be undone; the token keeps it for whoever finds it.
    """
    injector = faults.load(kind)
    checked = check_parameters(injector, kind, parameters)
    fault = f"{session.experiment}/{name}"
    token, done = undo.find(session.folder, fault)
    if token and not done:
        raise TargetError(f"{fault} is already active\n  fix: harness recover {session.folder.root}")
    whole = session.target
    target, selection = _selected(injector, kind, checked, whole)
    check_blast_radius(kind, selection.names, blast_radius)
    outlives = getattr(injector, "OUTLIVES_PLATFORM", False) and not getattr(target, "goes_with_cluster", False)
    if outlives and isinstance(whole, Kept):
        whole.keep(session.folder.kept)
    now = session.clock.wall_ns()
    token = UndoToken(
        fault=fault,
        kind=kind,
        experiment=session.experiment,
        target=target.reference if target is not whole else session.reference,
        platform=session.reference if target is not whole else "",
        outlives=outlives,
        selection=selection.names,
        before=dict(selection.before),
        parameters=parameters,
        created_wall_ns=now,
        deadline_wall_ns=now + int(deadline_s * 1e9),
    )
    file = undo.write(session.folder, token)
    session.record(
        FaultIntended(
            experiment=session.experiment,
            fault=fault,
            kind=kind,
            selection=selection.names,
            token=str(file.relative_to(session.folder.root)),
        )
    )
    selected = token.selected
    if prepare := getattr(injector, "prepare", None):
        prepare(target, selected, checked)
    began = session.clock.mono_ns()
    injector.inject(target, selected, checked)
    session.record(
        FaultInjected(experiment=session.experiment, fault=fault, from_ns=began, to_ns=session.clock.mono_ns())
    )
    return token


def await_landed(session: Session, name: str, within_s: float) -> Observation:
    """Waits until an independent observer sees the fault's effect, and records it. Raises NotSeen after `within_s`."""
    token, done = _token(session, name)
    if done:
        raise NotSeen(f"{token.fault} was undone before it was seen to land")
    injector, parameters, target = _resolve(session, token)
    seen = _poll(session.clock, within_s, lambda: injector.landed(target, token.selected, parameters))
    session.record(
        FaultLanded(
            experiment=session.experiment,
            fault=token.fault,
            landed=seen.seen,
            observer=seen.observer,
            detail=seen.detail,
        )
    )
    if not seen.seen:
        raise NotSeen(f"{token.fault} was not seen to land within {within_s:g} s: {seen.detail}")
    return seen


def check_holds(session: Session, name: str, over_s: float) -> Observation:
    """The fault's effect is seen now and at every look for `over_s`. Raises NotSeen as soon as it is not."""
    token, done = _token(session, name)
    if done:
        raise NotSeen(f"{token.fault} is undone already")
    injector, parameters, target = _resolve(session, token)
    end = session.clock.mono_ns() + int(over_s * 1e9)
    while True:
        seen = injector.landed(target, token.selected, parameters)
        if not seen.seen:
            raise NotSeen(f"{token.fault} does not hold any more: {seen.detail}")
        if session.clock.mono_ns() >= end:
            return seen
        session.clock.sleep(LOOK_AT_LEAST_EVERY_S)


def await_gone(session: Session, name: str, within_s: float, by: str = "platform") -> Observation:
    """Waits until the fault is seen gone without undoing it, and records it. Raises NotSeen after `within_s`."""
    token, done = _token(session, name)
    if done:
        return Observation(True, "undo token", "seen gone before")
    return see_gone(session, token, within_s, by)


def recover(session: Session, name: str, within_s: float, by: str = "experiment") -> Observation:
    """Undoes a fault by its name in the experiment; nothing to do when it was never intended or is already gone."""
    token, done = undo.find(session.folder, f"{session.experiment}/{name}")
    if token is None:
        return Observation(True, "undo token", "nothing was injected")
    if done:
        return Observation(True, "undo token", "seen gone before")
    return carry_out(session, token, within_s, by)


def carry_out(session: Session, token: UndoToken, within_s: float, by: str) -> Observation:
    """Undoes what a token stands for and sees it gone. Idempotent. Raises NotSeen when it does not go."""
    lift(session, token, within_s)
    return see_gone(session, token, within_s, by)


def lift(session: Session, token: UndoToken, within_s: float = 0.0) -> None:
    """Undoes what a token stands for, without waiting for its effect to be gone. Where the platform's control plane is
    away it is asked again, for `within_s`; that it was away is recorded, however it ends."""
    began, away = session.clock.mono_ns(), ""

    def tell(how: str) -> None:
        if away:
            took = (session.clock.mono_ns() - began) / 1e9
            text = f"could not be undone at once, {how} {took:.1f} s: {away}"
            session.record(Problem(where=token.fault, text=text))

    while True:
        try:
            injector, parameters, target = _resolve(session, token)
            injector.recover(target, token.selected, parameters)
            break
        except TargetError as error:
            if not error.passing or session.clock.mono_ns() >= began + int(within_s * 1e9):
                with suppress(OSError):  # a full disk must not hide why
                    tell("nor within")
                raise
            away = away or str(error).splitlines()[0]
        session.clock.sleep(LOOK_AT_LEAST_EVERY_S)
    tell("but after")


def see_gone(session: Session, token: UndoToken, within_s: float, by: str) -> Observation:
    """Waits until a token's fault is seen gone, records it and marks the token done; NotSeen after `within_s`.

    Whose injection never came to its end may never have been made, and then leaves nothing that could be seen to go:
    that all is well is enough, if it stays so.
    """
    injector, parameters, target = _resolve(session, token)
    selected = replace(token.selected, made=_was_made(session, token))

    def look() -> Observation:
        return injector.gone(target, selected, parameters)

    seen = _poll(session.clock, within_s, look)
    if seen.seen and not selected.made:  # it may have been made in part, a moment ago
        session.clock.sleep(UNTOLD_S)
        seen = _poll(session.clock, within_s, look)
    session.record(
        FaultGone(
            experiment=token.experiment,
            fault=token.fault,
            gone=seen.seen,
            observer=seen.observer,
            by=by,
            detail=seen.detail,
        )
    )
    if not seen.seen:
        raise NotSeen(f"{token.fault} was not seen gone within {within_s:g} s: {seen.detail}")
    undo.mark_done(session.folder, token)
    return seen


def _selected(injector: FaultInjector, kind: str, parameters: object, whole: Target) -> tuple[Target, Selection]:
    """What the fault selects, and where: of a platform that is spread, the part that has it. Raises BadInput when it
    would be several."""
    parts = whole.parts(getattr(parameters, "region", None)) if isinstance(whole, Spread) else (whole,)
    found = []
    for part in parts:
        check_capabilities(injector, kind, part)
        found.append((part, injector.select(part, parameters)))
    chosen = [each for each in found if each[1].names] or found[:1]
    if len(chosen) > 1:
        names = ", ".join(name for _, selection in chosen for name in selection.names)
        raise BadInput(f"{kind} selects instances of more than one cluster: {names}", fix="name the region")
    return chosen[0]


def check_parameters(injector: FaultInjector, kind: str, parameters: dict[str, JsonValue]) -> object:
    """The parameters as the fault's own model; BadInput with each mistake otherwise."""
    try:
        return injector.Parameters.model_validate(parameters)
    except ValidationError as invalid:
        mistakes = [(".".join(map(str, detail["loc"])), detail["msg"]) for detail in invalid.errors()]
        raise BadInput(
            "; ".join(f"{kind}: {name}: {text}" for name, text in mistakes),
            key=mistakes[0][0],
            fix=f"parameters: {', '.join(injector.Parameters.model_fields)}",
        ) from None


def check_capabilities(injector: FaultInjector, kind: str, target: Target) -> None:
    """BadInput when the target cannot do what the fault needs."""
    for capability in injector.REQUIRES:
        if not isinstance(target, capability):
            raise BadInput(
                f"{kind} needs the capability {capability.__name__}, which {type(target).__name__} does not have",
                fix="use another fault or another target",
            )


def check_blast_radius(kind: str, names: tuple[str, ...], blast_radius: int) -> None:
    """BadInput when a fault selects nothing, or more than was declared."""
    if not names:
        raise BadInput(f"{kind} selects nothing", fix="name a service, a region or a device that the platform has")
    if len(names) > blast_radius:
        shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
        raise BadInput(
            f"{kind} would touch {len(names)} ({shown}), but the blast radius is {blast_radius}",
            fix="select less, or declare a larger blast radius",
        )


def _token(session: Session, name: str) -> tuple[UndoToken, bool]:
    token, done = undo.find(session.folder, f"{session.experiment}/{name}")
    if token is None:
        raise NotSeen(f"{session.experiment}/{name} was never injected")
    return token, done


def _was_made(session: Session, token: UndoToken) -> bool:
    """Whether the journal tells that the fault was made to its end, since it was last intended."""
    made = False
    for event in log.read(session.folder.journal):
        if isinstance(event, FaultIntended | FaultInjected | FaultGone) and event.fault == token.fault:
            made = isinstance(event, FaultInjected) or (made and isinstance(event, FaultGone) and not event.gone)
    return made


def _resolve(session: Session, token: UndoToken) -> tuple[FaultInjector, object, Target]:
    injector = faults.load(token.kind)
    return injector, check_parameters(injector, token.kind, token.parameters), session.attach(token.target)


def _poll(clock: Clock, within_s: float, look: Callable[[], Observation]) -> Observation:
    """Looks until it is seen or the time is over: often at first, then ever less, because each look costs. A look that
    got no answer saw nothing."""
    end, pause_s = clock.mono_ns() + int(within_s * 1e9), LOOK_EVERY_S
    while True:
        try:
            seen = look()
        except TargetError as error:
            if not error.passing:
                raise
            seen = Observation(False, "nobody", str(error).splitlines()[0])
        if seen.seen or clock.mono_ns() >= end:
            return seen
        clock.sleep(pause_s)
        pause_s = min(pause_s * 1.2, LOOK_AT_LEAST_EVERY_S)
