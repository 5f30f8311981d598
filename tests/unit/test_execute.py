"""The line with fakes in every seam: what is recorded, in which order, whatever goes wrong."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest

from harness import effort
from harness.errors import BadInput, CleanUpNotProven, Interrupted, TargetError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.load import engine
from harness.load.schedule import count
from harness.model.events import (
    Deployed,
    Effort,
    ExperimentSkipped,
    GuardTripped,
    InstancesSeen,
    Problem,
    ReadinessSeen,
    ReadinessWatched,
    Recovered,
    RunClosed,
    ScheduleFixed,
    Stage,
    Window,
)
from harness.model.load import Beacon, Load
from harness.model.plan import Plan, PlannedFault
from harness.model.platform import Platform
from harness.model.scenario import Guard, ScenarioSpec, TargetRef
from harness.run import execute as execute_module
from harness.run.context import RunContext, new_run_folder
from harness.run.execute import Parts, execute
from harness.run.primaries import PrimaryWatch
from harness.run.wire import _signals
from harness.testing.fake_load import Answer, FakeLoad, fake_beacon
from harness.testing.fake_target import FakeTarget

PLATFORM = Platform.model_validate(
    {
        "apiVersion": "harness/v1",
        "kind": "Platform",
        "metadata": {"name": "tiny"},
        "spec": {
            "endpoints": {"edge": "http://${web.http}"},
            "services": [{"name": "web", "command": ["serve"], "released": True}],
            "phases": [{"name": "one", "services": ["web"]}],
            "releases": [{"name": "1.0.0"}, {"name": "1.1.0"}],
        },
    }
)
FAULT = PlannedFault(
    experiment="kill#1",
    title="t",
    file="kill.yaml",
    kinds=("process_kill",),
    selection=("web-0",),
    blast_radius=1,
    gap_s=0.8,
    within_s=3.0,
)


def spec(**changes: object) -> ScenarioSpec:
    load = Load.model_validate(
        {
            "locustfile": "l.py",
            "arrivals": {"kind": "constant", "rate": 50},
            "mix": {"chat": 1},
            "warm_up": "0.2s",
        }
    )
    base = ScenarioSpec(
        target=TargetRef(platform="p.yaml"),
        load=load,
        beacon=Beacon(path="/ping", every=0.02),
        steady=0.6,
        quiet=0.2,
        sustained=0.2,
        slos=("s",),
    )
    return base.model_copy(update=changes)


class Line:
    """A run with fakes; `answer` is how the imagined platform answers."""

    def __init__(self, tmp_path: Path, chosen: ScenarioSpec, answer: Callable[..., Answer] | None = None) -> None:
        self.folder: RunFolder = new_run_folder(tmp_path, "x")
        self.context = RunContext(self.folder, chosen, seed=1)
        self.target = FakeTarget(PLATFORM)
        more = {"platform": answer} if answer else {}
        self.load = FakeLoad(self.folder, chosen.load, seed=1, **more)  # type: ignore[arg-type]
        self.beacon = fake_beacon(self.folder, chosen.beacon, **more)  # type: ignore[arg-type]
        self.recoveries: list[str] = []
        self.experiments: list[str] = []

    def parts(self, **changes: object) -> Parts:
        parts = Parts(
            target=self.target,
            owned=True,
            release="",
            load=self.load,
            origin_ns=self.load.origin_ns,
            stopped_ns=self.load.stopped_ns,
            beacon=self.beacon,
            beacon_rows=self.probes,
            request_rows=lambda: engine.rows(self.folder, "requests"),
            ledger_rows=lambda: engine.rows(self.folder, "ledger"),
            count_arrivals=lambda seconds: count(self.context.spec.load.arrivals, 1, seconds),
            run_experiment=lambda fault: self.experiments.append(fault.experiment),
            rollout=None,
            collect=lambda: None,
            recover=self.recover,
            prometheus_clock=lambda: None,
            show_load=lambda: None,
        )
        return replace(parts, **changes)  # type: ignore[arg-type]

    def probes(self) -> pa.Table:
        self.beacon.poll()  # the fake writes when it is asked, so that no test depends on how quick the machine is
        return engine.rows(self.folder, "beacon")

    def recover(self, by: str) -> Recovered:
        self.recoveries.append(by)
        return Recovered(by=by, undone=(), ended=(), clean=True)

    def run(self, *faults: PlannedFault, **changes: object) -> list[object]:
        plan = Plan(scenario="x", seed=1, release="", steps=(), faults=faults, load_s=60, arrivals=1)
        execute(self.context, plan, self.parts(**changes))
        return self.events()

    def events(self) -> list[object]:
        return list(log.read(self.folder.journal))

    def of(self, kind: type) -> list[object]:
        return [event for event in self.events() if isinstance(event, kind)]


def test_a_run_without_faults_goes_through_every_stage(tmp_path: Path) -> None:
    line = Line(tmp_path, spec())
    line.run()
    assert [stage.name for stage in line.of(Stage)] == ["deploy", "checks", "warm-up", "steady", "quiet", "down"]
    assert [window.kind for window in line.of(Window)] == ["warm-up", "steady"]
    (schedule,) = line.of(ScheduleFixed)
    assert schedule.expected == count(line.context.spec.load.arrivals, 1, schedule.duration_s)
    assert line.recoveries == ["finally"]
    assert line.of(RunClosed)[0].reason == "completed"
    assert line.of(RunClosed)[0].clean


def test_who_is_ready_is_watched_under_load_and_what_the_harness_took_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effort, "_calls", Counter())  # other tests of this process made some
    line = Line(tmp_path, spec())
    line.run()
    seen = {(each.service, each.region): each.ready for each in line.of(ReadinessSeen)}
    assert {name for ready in seen.values() for name in ready} == {each.name for each in line.target.instances()}
    (watched,) = line.of(ReadinessWatched)
    (schedule,) = line.of(ScheduleFixed)
    assert watched.from_ns < schedule.origin_ns + schedule.duration_s * 1e9 <= watched.until_ns + 1e9
    efforts = line.of(Effort)
    assert [each.stage for each in efforts] == ["deployment and checks", "under load", "collecting and cleaning up"]
    assert all(each.process == "harness" and each.cpu_s >= 0.0 and each.api_calls == {} for each in efforts)
    order = [each.event for each in line.events()]
    assert order.index("effort") < order.index("readiness")
    assert order[-2:] == ["effort", "run.closed"]


def test_windows_do_not_overlap_and_the_fault_has_its_own(tmp_path: Path) -> None:
    line = Line(tmp_path, spec())
    line.run(FAULT)
    windows = line.of(Window)
    assert [(window.kind, window.experiment) for window in windows] == [
        ("warm-up", ""),
        ("steady", ""),
        ("fault", "kill#1"),
        ("steady", ""),
    ]
    for before, after in pairwise(windows):
        assert before.end_ns <= after.start_ns
    assert line.experiments == ["kill#1"]


def test_who_is_there_is_written_down_at_both_ends_of_every_steady_window(tmp_path: Path) -> None:
    line = Line(tmp_path, spec())
    line.run(FAULT)
    told = [event for event in line.events() if isinstance(event, InstancesSeen | Window)]
    # A window is told when it is over: the one before it is closed, and its end looked at, when the next one opens.
    kinds = [event.kind if isinstance(event, Window) else "look" for event in told]
    assert kinds == ["look", "warm-up", "steady", "look", "look", "fault", "steady", "look"]
    assert all(event.names == ("web-0",) for event in told if isinstance(event, InstancesSeen))


def test_no_experiment_without_a_steady_state(tmp_path: Path) -> None:
    line = Line(tmp_path, spec(), answer=lambda journey, at: Answer(level=3 if journey == "beacon" else 1))
    line.run(FAULT)
    assert line.experiments == []
    assert line.of(ExperimentSkipped)


def test_never_healed_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    broken = []
    line = Line(tmp_path, spec(), answer=lambda journey, at: Answer(level=3 if broken else 1))
    line.run(FAULT.model_copy(update={"within_s": 1.0}), run_experiment=lambda fault: broken.append(fault))
    assert any("not back at full service" in problem.text for problem in line.of(Problem))
    assert line.of(RunClosed)[0].reason == "completed"


def test_a_dead_load_ends_the_run_early_and_is_still_collected(tmp_path: Path) -> None:
    line = Line(tmp_path, spec(steady=20.0))
    collected = []

    def die() -> None:
        line.load.die()

    line.run(show_load=die, collect=lambda: collected.append(True))
    assert collected
    assert any("the load ended in mid-run" in problem.text for problem in line.of(Problem))
    assert line.recoveries == ["finally"]


def test_a_guard_ends_the_run_early(tmp_path: Path) -> None:
    guard = Guard(name="errors", errors=0.2, over=2.0)
    line = Line(tmp_path, spec(steady=20.0, guards=(guard,)), answer=lambda journey, at: Answer(status=500))
    line.run()
    assert line.of(GuardTripped)
    assert line.of(Window)[-1].kind == "steady", "what made the guard trip is judged"
    assert "guard errors" in line.of(RunClosed)[0].reason


@pytest.mark.parametrize("error", [KeyboardInterrupt(), TargetError("broken"), ValueError("a mistake of ours")])
def test_whatever_stops_it_the_platform_is_healed_first(tmp_path: Path, error: BaseException) -> None:
    line = Line(tmp_path, spec())

    def stop(fault: PlannedFault) -> None:
        raise error

    expected = Interrupted if isinstance(error, KeyboardInterrupt) else type(error)
    with pytest.raises(expected):
        line.run(FAULT, run_experiment=stop)
    assert line.recoveries == ["finally"]
    assert line.of(RunClosed)


def test_what_users_got_until_a_release_failed_is_evidence(tmp_path: Path) -> None:
    line, collected = Line(tmp_path, spec()), []

    def fail(fault: PlannedFault) -> None:
        raise TargetError("the release does not come up")

    with pytest.raises(TargetError, match="does not come up"):
        line.run(FAULT, run_experiment=fail, collect=lambda: collected.append("evidence"))
    assert collected == ["evidence"]
    assert line.of(ScheduleFixed)
    assert [window.kind for window in line.of(Window)] == ["warm-up", "steady", "fault"]


def test_a_full_disk_does_not_keep_it_from_cleaning_up(tmp_path: Path) -> None:
    line = Line(tmp_path, spec())

    def fill(fault: PlannedFault) -> None:
        line.folder.journal.unlink()
        line.folder.journal.mkdir()  # every further write to the journal fails
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        line.run(FAULT, run_experiment=fill)
    assert line.recoveries == ["finally"]


def test_a_clean_up_that_is_not_proven_is_an_error_of_its_own(tmp_path: Path) -> None:
    line = Line(tmp_path, spec())

    def recover(by: str) -> Recovered:
        raise CleanUpNotProven("a process stays")

    with pytest.raises(CleanUpNotProven):
        line.run(recover=recover)
    assert not line.of(RunClosed), "an open run is what the watchdog looks for"


def test_no_signal_interrupts_the_clean_up(tmp_path: Path) -> None:
    line = Line(tmp_path, spec())
    with _signals(line.context):

        def recover(by: str) -> Recovered:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            return line.recover(by)

        line.run(recover=recover)
    assert line.recoveries == ["finally"]
    assert line.of(RunClosed)[0].clean


def test_the_first_signal_stops_the_run_and_it_is_cleaned_up(tmp_path: Path) -> None:
    line = Line(tmp_path, spec(steady=20.0))
    with _signals(line.context), pytest.raises(Interrupted):
        line.run(show_load=lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert line.recoveries == ["finally"]


def test_an_upgrade_goes_on_under_load_and_counts_as_steady(tmp_path: Path) -> None:
    line = Line(tmp_path, spec(upgrade_from="1.0.0"))
    line.run(release="1.1.0")
    assert [stage.name for stage in line.of(Stage)][2:5] == ["warm-up", "redeploy", "steady"]
    assert [window.kind for window in line.of(Window)] == ["warm-up", "steady"]
    assert [event.release for event in line.of(Deployed)] == ["1.0.0", "1.1.0"]


def test_a_platform_that_was_up_is_not_deployed(tmp_path: Path) -> None:
    line = Line(tmp_path, spec())
    line.target.up("", lambda event: None)
    line.run(owned=False)
    assert "deploy" not in [stage.name for stage in line.of(Stage)]


class _Digested(FakeTarget):
    """Tells what it runs, as the local target does."""

    file: Path

    def artifacts(self) -> dict[str, Path]:
        return {"package x": self.file}


@pytest.mark.parametrize("certified", [True, False])
def test_what_runs_is_held_against_the_certificate_before_any_load(tmp_path: Path, certified: bool) -> None:
    line = Line(tmp_path, spec())
    target = _Digested(PLATFORM)
    target.file = tmp_path / "program"
    target.file.write_text("what runs")
    asked: list[dict[str, str]] = []

    def admit(digests: dict[str, str]) -> None:
        asked.append(digests)
        if not certified:
            raise BadInput("the certificate does not admit it")

    if certified:
        line.run(target=target, admit=admit)
        assert line.of(Window)
    else:
        with pytest.raises(BadInput) as refused:
            line.run(target=target, admit=admit)
        assert refused.value.exit_code == 20
        assert not line.of(Window)
    assert [set(digests) for digests in asked] == [{"package x"}]
    assert line.recoveries == ["finally"]
    assert line.of(RunClosed)[0].clean


def test_what_a_log_has_yet_to_tell_is_waited_for_when_the_load_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([False, False])
    monkeypatch.setattr(PrimaryWatch, "settled", lambda _: next(looks, True))
    line = Line(tmp_path, spec())
    line.run()
    assert next(looks, None) is None
    (closed,) = line.of(RunClosed)
    assert (closed.reason, closed.clean) == ("completed", True)


def test_the_next_window_waits_for_users_too_and_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform that calls itself well while some of its answers are still degraded."""
    looks = iter([False, False])
    monkeypatch.setattr(execute_module, "users_healed", lambda *_: next(looks, True))
    line = Line(tmp_path / "a", spec())
    line.run(FAULT)
    assert next(looks, None) is None
    assert "healing" in [stage.name for stage in line.of(Stage)]
    assert not line.of(Problem)
    monkeypatch.setattr(execute_module, "users_healed", lambda *_: False)
    monkeypatch.setattr(execute_module, "USERS_WITHIN_S", 1.0)
    line = Line(tmp_path / "b", spec())
    line.run(FAULT)
    assert not line.of(Problem), "what goes on is judged in the steady state"
    assert [window.kind for window in line.of(Window)][-1] == "steady"
