"""Whole rollouts against the fake world: what the users' responses show is what counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import actuators
from harness.chaos import undo
from harness.errors import BadInput, TargetError
from harness.gate import State
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import Decided, RolledBack, ShareSeen, ShareSet
from harness.model.judgement import Judgement, Verdict
from harness.model.load import Constant, Load
from harness.model.rollout import ErrorTrigger, HealthTrigger, Hold, Rollout, RolloutStep
from harness.model.scenario import ScenarioSpec, TargetRef
from harness.run.context import RunContext, StopEarly
from harness.run.rollout import rollout
from harness.run.triggers import page_probe
from harness.testing.fake_actuator import START_NS, Behaviour, FakeActuator, S, World

ROLLOUT = Rollout(
    service="api",
    region="sjc",
    baseline="1",
    canary="2",
    actuator="harness.testing.fake_actuator",
    steps=(RolloutStep(share=0.1, bake=20.0), RolloutStep(share=0.5, bake=20.0), RolloutStep(share=1.0)),
    share_minimum=50,
    hold=Hold(times=1, silence=3.0, patience=20.0),
    triggers=(
        ErrorTrigger(kind="errors", above=0.05, window=5.0, consecutive=2),
        HealthTrigger(kind="health", consecutive=3),
    ),
)


class FakeTimeContext(RunContext):
    """Waits in the world's time."""

    world: World

    def wait_for(self, condition: Callable[[], bool], seconds: float, every: float = 0.25) -> bool:
        end = self.world.now_ns + int(seconds * S)
        while not condition():
            if self.world.now_ns >= end:
                return False
            for watch in self.watches:
                watch()
            self.world.tick(min(every, (end - self.world.now_ns) / S))
        return True


class Trial:
    """One rollout, and what it left."""

    def __init__(self, tmp_path: Path, world: World, spec: Rollout = ROLLOUT) -> None:
        load = Load(locustfile="l.py", arrivals=Constant(kind="constant", rate=1), mix={"chat": 1})
        scenario = ScenarioSpec(target=TargetRef(platform="p"), load=load, rollout=spec, slos=("s",))
        self.context = FakeTimeContext(RunFolder(tmp_path / "run"), scenario, seed=1)
        self.context.folder.undo.mkdir(parents=True)
        self.context.world = self.world = world
        self.verdicts: list[Verdict] = []
        self.judged: list[tuple[float, float]] = []

    def judge(self, step: RolloutStep, from_ns: int, to_ns: int) -> Judgement:
        self.judged.append(((from_ns - START_NS) / S, (to_ns - START_NS) / S))
        verdict = self.verdicts.pop(0) if self.verdicts else Verdict.PASS
        return Judgement(run_id="r", rules="1", verdict=verdict, sentence=f"said {verdict}", objectives=())

    def go(self) -> State:
        world = self.world
        self.state = rollout(
            self.context, world, FakeActuator(world), self.judge, world.live, probe=world.probe, clock=world
        )
        return self.state

    def events(self, kind: type) -> list:
        return [event for event in log.read(self.context.folder.journal) if isinstance(event, kind)]

    def reasons(self) -> str:
        return "\n".join(event.reason for event in self.events(Decided))

    def is_back(self) -> bool:
        """Share 0, no canary instance, no undo token pending."""
        left = [one for one in self.world.running if one.release == "2"]
        return self.world.share == 0 and not left and not undo.pending(self.context.folder)


def test_a_good_release_is_promoted(tmp_path):
    trial = Trial(tmp_path, World())
    assert trial.go() is State.PROMOTED
    assert [event.share for event in trial.events(ShareSet)] == [0.1, 0.5, 1.0]
    assert all(event.ok for event in trial.events(ShareSeen))
    assert trial.world.share == 1.0 and len(trial.judged) == 2
    assert not undo.pending(trial.context.folder)


def test_a_release_that_the_judge_fails_is_taken_off_and_seen_to_be(tmp_path):
    trial = Trial(tmp_path, World())
    trial.verdicts = [Verdict.PASS, Verdict.FAIL]
    assert trial.go() is State.ROLLED_BACK
    (done,) = trial.events(RolledBack)
    assert done.seen and done.seconds < 30
    assert trial.is_back()


def test_errors_trigger_before_the_bake_is_over(tmp_path):
    trial = Trial(tmp_path, World(releases={"1": Behaviour(), "2": Behaviour(fails_every=5)}))
    assert trial.go() is State.ROLLED_BACK
    assert trial.judged == []
    assert "error rate > 5.00%" in trial.reasons()
    assert trial.is_back()


def test_failed_health_checks_trigger(tmp_path):
    world = World()
    world.after(12, lambda: setattr(world.releases["2"], "healthy", False))
    trial = Trial(tmp_path, world)
    assert trial.go() is State.ROLLED_BACK
    assert "3 consecutive failed health checks" in trial.reasons()


def test_a_share_that_is_set_but_not_seen_does_not_advance(tmp_path):
    trial = Trial(tmp_path, World(stuck=True))
    assert trial.go() is State.HALTED
    assert trial.judged == []
    assert [event.ok for event in trial.events(ShareSeen)] == [False, True]
    assert "10% were set" in trial.reasons()


def test_a_share_that_drifts_is_set_and_seen_again(tmp_path):
    world = World()
    world.after(8, lambda: setattr(world, "share", 0.3))
    trial = Trial(tmp_path, world)
    assert trial.go() is State.PROMOTED
    assert [event.share for event in trial.events(ShareSet)] == [0.1, 0.1, 0.5, 1.0]


def test_a_short_silence_of_the_record_holds(tmp_path):
    world = World(silent_from_ns=START_NS + 10 * S, silent_until_ns=START_NS + 22 * S)
    trial = Trial(tmp_path, world)
    assert trial.go() is State.PROMOTED
    assert "stalled" in [event.state for event in trial.events(Decided)]
    assert all(start >= 22 for start, _ in trial.judged)  # nothing is judged on a bake with a hole


def test_a_long_silence_halts_and_never_promotes(tmp_path):
    world = World(silent_from_ns=START_NS + 10 * S, silent_until_ns=START_NS + 10_000 * S)
    trial = Trial(tmp_path, world)
    assert trial.go() is State.UNPROVEN  # nothing shows that the share is 0; but it was set, and the instances are gone
    assert trial.is_back()
    assert trial.judged == []
    assert [event.seen for event in trial.events(RolledBack)] == [False]


def test_silence_during_the_promotion_does_not_promote(tmp_path):
    world = World()
    trial = Trial(tmp_path, world)

    def fall_silent(share: float) -> None:
        if share == 1.0:
            world.silent_from_ns, world.silent_until_ns = world.now_ns, world.now_ns + 11 * S

    trial.context.listeners.append(lambda e: fall_silent(e.share) if isinstance(e, ShareSet) else None)
    assert trial.go() is State.HALTED
    assert trial.is_back()


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ([Verdict.INCONCLUSIVE, Verdict.PASS], State.PROMOTED),
        ([Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE], State.HALTED),
        ([Verdict.INCONCLUSIVE, Verdict.FAIL], State.ROLLED_BACK),
    ],
)
def test_an_inconclusive_step_is_held_and_judged_with_all_its_evidence(tmp_path, verdicts, state):
    trial = Trial(tmp_path, World())
    trial.verdicts = verdicts
    assert trial.go() is state
    (first, until), (again, longer) = trial.judged[:2]
    assert again == first and longer > until + 19


def test_failures_without_a_release_hold(tmp_path):
    """Each could have been the canary's: 10 % of its responses name no release."""
    trial = Trial(tmp_path, World(releases={"1": Behaviour(), "2": Behaviour(nameless_every=10)}))
    assert trial.go() is State.HALTED
    assert "too little data to rule out: error rate" in trial.reasons()


def test_failures_of_the_baseline_are_not_the_canarys(tmp_path):
    trial = Trial(tmp_path, World(releases={"1": Behaviour(fails_every=3), "2": Behaviour()}))
    assert trial.go() is State.PROMOTED


def test_a_release_that_does_not_start_is_rolled_back(tmp_path):
    trial = Trial(tmp_path, World(starts=False))
    assert trial.go() is State.ROLLED_BACK
    assert trial.is_back()


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), StopEarly("guard")])
def test_a_stop_from_outside_takes_the_traffic_back_first(tmp_path, stop):
    world = World()
    trial = Trial(tmp_path, world)

    def guard() -> None:
        if world.now_ns > START_NS + 30 * S:
            raise stop

    trial.context.watches.append(guard)
    with pytest.raises(type(stop)):
        trial.go()
    assert trial.events(Decided)[-1].state == "halted"
    assert trial.is_back()
    assert trial.context.watches == [guard]


def test_an_actuator_that_is_lost_leaves_its_undo_token(tmp_path):
    world = World()
    world.after(10, lambda: setattr(world, "deaf", True))
    trial = Trial(tmp_path, world)
    trial.verdicts = [Verdict.FAIL]
    with pytest.raises(TargetError, match="does not answer"):
        trial.go()
    (token,) = undo.pending(trial.context.folder)
    # From cold, once it answers again: as `harness recover` does it.
    world.deaf = False
    from harness import faults

    injector = faults.load(token.kind)
    parameters = injector.Parameters.model_validate(token.parameters)
    assert not injector.gone(world, token.selected, parameters).seen
    injector.recover(world, token.selected, parameters)
    injector.recover(world, token.selected, parameters)
    assert injector.gone(world, token.selected, parameters).seen
    assert [one.release for one in world.running] == ["1", "1"]


def test_a_baseline_that_does_not_run_is_refused_untouched(tmp_path):
    trial = Trial(tmp_path, World(baseline="0", releases={"0": Behaviour(), "2": Behaviour()}))
    with pytest.raises(BadInput, match="do not run 1"):
        trial.go()
    assert trial.world.set_shares == [] and not undo.pending(trial.context.folder)


def test_health_is_asked_through_the_target_and_silence_is_ill():
    class Talks(World):
        def page(self, one, port, path, timeout_s):
            if one.name == "api-1":
                raise TargetError("does not answer")
            return f"{port}{path}"

    probe, check = page_probe(Talks()), HealthTrigger(kind="health", consecutive=3)
    assert [probe(one, check) for one in Talks().running] == [True, False]
    with pytest.raises(TargetError, match="cannot ask"):
        page_probe(World())


def test_unknown_actuators_and_settings_are_refused():
    with pytest.raises(BadInput, match="no actuator 'nginx'"):
        actuators.check(ROLLOUT.model_copy(update={"actuator": "nginx"}))
    with pytest.raises(BadInput, match=r"rollout\.settings\.weight"):
        actuators.check(ROLLOUT.model_copy(update={"settings": {"weight": 1}}))
    assert "haproxy" in actuators.names()
