"""A fault's life step by step: what stands on disk when, what is refused, and what each observation leads to."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.chaos import actions, context, lifecycle, probes, undo
from harness.chaos.attach import attach
from harness.chaos.lifecycle import NotSeen, Session
from harness.errors import BadInput, CleanUpNotProven, NotYet, PlatformAbsent, TargetError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import AnyEvent, Problem
from harness.ports import Observation, Selection
from harness.testing import fake_fault
from harness.testing.experiments import FAKE
from harness.testing.folder_target import FolderTarget


@dataclass
class Ticking:
    """A clock that moves only by sleeping, and tells when it slept what was on disk."""

    now_ns: int = 1_000
    slept: list[float] = field(default_factory=list)

    def mono_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_ns += int(seconds * 1e9)


@pytest.fixture
def target(tmp_path: Path) -> FolderTarget:
    folder = tmp_path / "platform"
    folder.mkdir()
    for name in ("store-0", "api-0", "api-1"):
        (folder / name).touch()
    return FolderTarget(folder)


@pytest.fixture
def session(tmp_path: Path, target: FolderTarget) -> Session:
    (tmp_path / "run").mkdir()
    return Session(RunFolder(tmp_path / "run"), "x#1", target.reference, attach, Ticking())


def inject(session: Session, name: str = "f", radius: int = 1, **parameters: Any) -> undo.UndoToken:
    return lifecycle.inject(session, name, FAKE, {"service": "store", **parameters}, radius, 60.0)


def events(session: Session) -> list[AnyEvent]:
    return list(log.read(session.folder.journal)) if session.folder.journal.exists() else []


def names(session: Session) -> list[str]:
    return [event.event for event in events(session)]


def test_intent_and_undo_are_on_disk_before_the_effect(session: Session) -> None:
    with pytest.raises(TargetError, match="halfway"):
        inject(session, fails=True, lands=False)
    assert names(session) == ["fault.intended"]
    (token,) = undo.pending(session.folder)
    assert (token.selection, token.target, token.kind) == (("store-0",), session.reference, FAKE)
    assert token.deadline_wall_ns - token.created_wall_ns == 60_000_000_000


def test_a_whole_life(session: Session, target: FolderTarget) -> None:
    inject(session)
    assert lifecycle.await_landed(session, "f", 1).seen
    assert lifecycle.check_holds(session, "f", 2).seen
    assert lifecycle.recover(session, "f", 1).seen
    assert names(session) == ["fault.intended", "fault.injected", "fault.landed", "fault.gone"]
    assert target.ready() == []
    assert undo.pending(session.folder) == ()
    assert lifecycle.recover(session, "f", 1).detail == "seen gone before"
    assert lifecycle.await_gone(session, "f", 1).detail == "seen gone before"
    assert len(events(session)) == 4


def test_one_that_does_not_land_is_recorded_and_raised(session: Session) -> None:
    inject(session, lands=False)
    with pytest.raises(NotSeen, match="not seen to land within 2 s"):
        lifecycle.await_landed(session, "f", 2)
    assert json.loads(events(session)[-1].model_dump_json())["landed"] is False


def test_looks_become_rarer(session: Session) -> None:
    inject(session, lands=False)
    with pytest.raises(NotSeen):
        lifecycle.await_landed(session, "f", 60)
    slept = session.clock.slept  # type: ignore[attr-defined]
    assert slept == sorted(slept)
    assert slept[0] <= 0.05
    assert slept[-1] <= 0.5


def test_one_that_heals_too_early_does_not_hold(session: Session, target: FolderTarget) -> None:
    inject(session)
    target.mend("store-0")
    with pytest.raises(NotSeen, match="does not hold"):
        lifecycle.check_holds(session, "f", 1)
    lifecycle.await_gone(session, "f", 1)
    with pytest.raises(NotSeen, match="undone already"):
        lifecycle.check_holds(session, "f", 1)
    with pytest.raises(NotSeen, match="before it was seen to land"):
        lifecycle.await_landed(session, "f", 1)


def test_one_that_stays_keeps_its_token(session: Session) -> None:
    inject(session, goes=False)
    with pytest.raises(NotSeen, match="not seen gone"):
        lifecycle.recover(session, "f", 1)
    assert len(undo.pending(session.folder)) == 1
    with pytest.raises(TargetError, match="already active"):
        inject(session)


def test_it_may_be_made_again_after_it_was_seen_gone(session: Session) -> None:
    for _ in range(2):
        inject(session)
        lifecycle.recover(session, "f", 1)
    assert names(session).count("fault.gone") == 2


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"service": "nobody"}, BadInput, "selects nothing"),
        ({"service": "api"}, BadInput, "would touch 2"),
        ({"colour": "red"}, BadInput, "colour"),
    ],
)
def test_what_must_not_be_made_touches_nothing(
    session: Session, target: FolderTarget, change: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        inject(session, **change)
    assert events(session) == []
    assert undo.pending(session.folder) == ()
    assert target.ready() == []


def test_a_target_without_the_capability_is_refused(session: Session) -> None:
    with pytest.raises(BadInput, match="needs the capability Processes"):
        lifecycle.inject(session, "f", "process_kill", {"service": "store"}, 1, 60.0)


def test_one_that_was_made_in_part_perhaps_is_gone_when_all_stays_well(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it did just before it failed may not be seen yet."""
    with pytest.raises(TargetError, match="halfway"):
        inject(session, fails=True)
    told, made, gone = [True, False, False, True], [], fake_fault.gone

    def look(target: Any, selection: Selection, parameters: Any) -> Observation:
        made.append(selection.made)
        return Observation(told.pop(0), "folder", "") if told else gone(target, selection, parameters)

    monkeypatch.setattr(fake_fault, "gone", look)
    assert lifecycle.recover(session, "f", 5).seen
    assert isinstance(session.clock, Ticking)
    assert session.clock.slept[0] == lifecycle.UNTOLD_S
    assert (told, made) == ([], [False] * 4)
    session.clock.slept.clear()
    inject(session)
    assert lifecycle.recover(session, "f", 5).seen
    assert (session.clock.slept, made[4:]) == ([], [True]), "one that was made is seen gone at the first look"


def test_whether_it_was_made_is_told_of_the_last_time_that_it_was_meant(session: Session) -> None:
    token = inject(session)
    assert lifecycle._was_made(session, token)
    lifecycle.recover(session, "f", 5)
    assert not lifecycle._was_made(session, token), "a token that was just written anew is not told of yet"
    with pytest.raises(TargetError):
        inject(session, fails=True)
    assert not lifecycle._was_made(session, token)


def test_never_injected_is_not_seen_but_nothing_to_undo(session: Session) -> None:
    with pytest.raises(NotSeen, match="never injected"):
        lifecycle.await_landed(session, "f", 1)
    assert lifecycle.recover(session, "f", 1).detail == "nothing was injected"


def test_tokens_come_newest_first_and_a_torn_one_is_not_overlooked(session: Session) -> None:
    inject(session, name="first")
    session.clock.sleep(1)
    lifecycle.inject(session, "second", FAKE, {"service": "api"}, 2, 60.0)
    assert [token.fault for token in undo.pending(session.folder)] == ["x#1/second", "x#1/first"]
    (session.folder.undo / "torn.json").write_text('{"fault": ')
    with pytest.raises(CleanUpNotProven, match=r"torn\.json"):
        undo.pending(session.folder)


def test_a_token_that_is_marked_done_between_look_and_read_is_none(session: Session) -> None:
    token = inject(session)
    (file,) = undo.files(session.folder)
    assert undo.read_unless_done(file) == token
    undo.mark_done(session.folder, token)
    assert undo.read_unless_done(file) is None


def test_a_token_that_is_gone_and_not_marked_done_is_a_doubt(session: Session) -> None:
    inject(session)
    (file,) = undo.files(session.folder)
    file.unlink()
    with pytest.raises(CleanUpNotProven, match="No such file"):
        undo.read_unless_done(file)


def test_a_torn_token_is_a_doubt_though_an_earlier_one_of_its_name_is_done(session: Session) -> None:
    undo.mark_done(session.folder, inject(session))
    (session.folder.undo / "x-1-f.1.new").write_text('{"fault": ')
    assert undo.pending(session.folder) == (), "what is still being written was never promised"
    file = undo.file_of(session.folder, "x#1/f")
    file.write_text('{"fault": ')
    with pytest.raises(CleanUpNotProven, match="cannot be read"):
        undo.read_unless_done(file)


def test_a_token_that_is_made_again_while_the_earlier_one_is_marked_done_is_read(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that comes between: the look at the file fails, and when it looks why, there is one again."""
    token = inject(session)
    (file,) = undo.files(session.folder)
    undo.mark_done(session.folder, token)
    reading = undo.read

    def then_made_again(path: Path) -> undo.UndoToken:
        try:
            return reading(path)
        finally:
            undo.write(session.folder, token)

    monkeypatch.setattr(undo, "read", then_made_again)
    assert undo.read_unless_done(file) == token


def test_one_who_reads_while_another_writes_and_marks_sees_whole_tokens_or_none(session: Session) -> None:
    token, over = inject(session), threading.Event()

    def write_and_mark() -> None:
        try:
            for _ in range(300):
                undo.write(session.folder, token)
                undo.mark_done(session.folder, token)
        finally:
            over.set()

    with ThreadPoolExecutor(1) as other:
        writing = other.submit(write_and_mark)
        looks = 0
        while not over.is_set():
            assert undo.pending(session.folder) in ((), (token,))
            looks += 1
        writing.result()
    assert looks > 10


def test_marking_twice_is_no_error(session: Session) -> None:
    token = inject(session)
    undo.mark_done(session.folder, token)
    undo.mark_done(session.folder, token)
    assert undo.find(session.folder, token.fault) == (token, True)


def test_references(target: FolderTarget, tmp_path: Path) -> None:
    found = attach(target.reference)
    assert isinstance(found, FolderTarget)
    assert found.folder == target.folder
    with pytest.raises(PlatformAbsent):
        attach(f"harness.testing.folder_target:{tmp_path / 'nothing'}")
    for reference in (f"local:{tmp_path}/tiny-0a1b2c", f"{tmp_path}/tiny-0a1b2c"):
        with pytest.raises(PlatformAbsent):
            attach(reference).ready()
    with pytest.raises(TargetError, match="no kind of target is called 'mars'"):
        attach("mars:x")
    with pytest.raises(TargetError, match="no target is named"):
        attach("")


def configuration(session: Session, **more: str) -> dict[str, Any]:
    return {"target": session.reference, "run_folder": str(session.folder.root), "experiment": "x#1", **more}


def test_actions_and_probes_find_their_world_in_the_configuration(session: Session, target: FolderTarget) -> None:
    told = configuration(session)
    made = actions.inject(FAKE, {"service": "store"}, configuration=told)
    assert made == {"fault": f"x#1/{FAKE}", "selection": ["store-0"]}
    assert probes.landed(FAKE, "1s", configuration=told)
    assert probes.holds(FAKE, configuration=told)
    assert actions.recover(FAKE, within="1s", configuration=told)["gone"] is True
    assert probes.gone(FAKE, "1s", configuration=told)
    assert target.ready() == []


def test_the_harness_bounds_the_blast_radius(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_BLAST_RADIUS", "1")
    with pytest.raises(BadInput, match="blast radius is 1"):
        actions.inject(FAKE, {"service": "api"}, blast_radius=7, configuration=configuration(session))
    monkeypatch.delenv("HARNESS_BLAST_RADIUS")
    actions.inject(FAKE, {"service": "api"}, blast_radius=7, configuration=configuration(session))


def test_by_hand_there_is_a_temporary_folder_and_it_is_told(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HARNESS_TARGET", session.reference)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("HARNESS_RUN_FOLDER", raising=False)
    context._temporary_folder.cache_clear()
    with caplog.at_level("WARNING", logger="chaostoolkit"):
        actions.inject(FAKE, {"service": "store"})
        actions.recover(FAKE)
    (folder,) = tmp_path.glob("chaos-run-*")
    assert f"harness recover {folder}" in caplog.text
    assert [event.event for event in log.read(folder / "journal.jsonl")][-1] == "fault.gone"
    context._temporary_folder.cache_clear()


def test_without_an_edge_the_target_is_asked_and_then_the_user(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_URL", "http://127.0.0.1:1/")
    assert context.edge({"edge": "http://told/"}) == "http://told"
    assert context.edge(None) == "http://127.0.0.1:1"
    monkeypatch.delenv("EDGE_URL")
    assert context.edge(configuration(session)) == "http://127.0.0.1:9"
    monkeypatch.delenv("HARNESS_TARGET", raising=False)
    with pytest.raises(TargetError, match="EDGE_URL"):
        context.edge(None)


class Away(TargetError):
    """What a control plane's client says while that is away."""

    passing = True


def told(session: Session) -> list[str]:
    return [event.text for event in events(session) if isinstance(event, Problem)]


@dataclass
class Flickering:
    """A target that cannot be attached to for its first `away` times after it was switched off."""

    target: FolderTarget
    away: int = 0

    def __call__(self, reference: str) -> FolderTarget:
        if self.away:
            self.away -= 1
            raise Away("the API server does not answer")
        return self.target


def test_undoing_waits_for_a_control_plane_that_is_away(tmp_path: Path, target: FolderTarget) -> None:
    flickering = Flickering(target)
    session = Session(RunFolder(tmp_path / "run"), "x#1", target.reference, flickering, Ticking())
    inject(session)
    flickering.away = 5
    assert lifecycle.recover(session, "f", 10).seen
    assert names(session)[-2:] == ["problem", "fault.gone"], "that it was away is known, and no run passes so"
    assert told(session) == ["could not be undone at once, but after 2.5 s: the API server does not answer"]
    assert target.ready() == []


def test_undoing_gives_up_when_the_control_plane_stays_away(tmp_path: Path, target: FolderTarget) -> None:
    flickering = Flickering(target)
    session = Session(RunFolder(tmp_path / "run"), "x#1", target.reference, flickering, Ticking())
    inject(session)
    flickering.away = 1000
    with pytest.raises(Away):
        lifecycle.recover(session, "f", 10)
    assert [token.fault for token in undo.pending(session.folder)] == ["x#1/f"], "it is still to be undone"
    assert told(session) == ["could not be undone at once, nor within 10.0 s: the API server does not answer"]


def test_that_the_control_plane_was_away_is_told_also_when_it_fails_for_something_else(
    tmp_path: Path, target: FolderTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise TargetError("the workload is gone")

    flickering = Flickering(target)
    session = Session(RunFolder(tmp_path / "run"), "x#1", target.reference, flickering, Ticking())
    inject(session)
    flickering.away = 3
    monkeypatch.setattr(fake_fault, "recover", refused)
    with pytest.raises(TargetError, match="workload is gone"):
        lifecycle.recover(session, "f", 10)
    assert told(session) == ["could not be undone at once, nor within 1.5 s: the API server does not answer"]


def test_what_has_not_come_yet_is_asked_for_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([NotYet("agent x is still there"), None])

    def slow(*_: object) -> None:
        if answer := next(answers):
            raise answer
        FolderTarget(Path(session.reference.partition(":")[2])).mend("store-0")

    inject(session)
    monkeypatch.setattr(fake_fault, "recover", slow)
    assert lifecycle.recover(session, "f", 10).seen
    assert told(session) == ["could not be undone at once, but after 0.5 s: agent x is still there"]


def test_a_look_that_got_no_answer_saw_nothing(session: Session) -> None:
    answers = iter([Away("away"), Away("away"), None])

    def look() -> Observation:
        if answer := next(answers):
            raise answer
        return Observation(True, "o", "d")

    assert lifecycle._poll(session.clock, 5, look).seen
    seen = lifecycle._poll(session.clock, 0, look_away)
    assert (seen.seen, seen.observer, seen.detail) == (False, "nobody", "away")


def look_away() -> Observation:
    raise Away("away\n  fix: wait")
