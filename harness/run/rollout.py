"""A rollout under load: shift, see, bake, judge, decide; promote, or take the traffic back and see that too.

`harness.gate` decides; here is what it takes to know something and what follows from it. Each state of the gate has one
method that acts and then looks until it has an input for the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from harness import gate as rules
from harness.actuators import _undo, end_instances, leftovers
from harness.chaos import undo
from harness.errors import BadInput, HarnessError, TargetError
from harness.gate import FINAL, UNDECIDED, Decision, Gate, Input, Response, State
from harness.model.clock import Clock, SystemClock
from harness.model.events import Decided, RolledBack, ShareSeen, ShareSet
from harness.model.judgement import Judgement
from harness.model.rollout import Rollout, RolloutStep
from harness.ports import Actuator, Instance, Releases, Target
from harness.run.beside import Comparing
from harness.run.context import RunContext
from harness.run.live import Live
from harness.run.triggers import Probe, Triggers, Word, page_probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.model.slo import Slo

JudgeStep = Callable[[RolloutStep, int, int], Judgement]
T = TypeVar("T")
S = 1_000_000_000


def rollout(
    context: RunContext,
    target: Target,
    actuator: Actuator,
    judge_step: JudgeStep,
    live: Live,
    probe: Probe,
    clock: Clock | None = None,
) -> State:
    """Carries out `context.spec.rollout` while the load runs and returns the gate's final state.

    Unless the release is promoted, its share is 0 and its instances are gone when this returns or raises. An undo token
    stands in the run's folder from before the first shift until that is so.
    Raises TargetError when the target cannot run two releases or nobody confirms that the share is 0, and what stopped
    the rollout (guard, Ctrl-C).
    """
    spec = context.spec.rollout
    assert spec is not None
    if not isinstance(target, Releases):
        raise TargetError(f"{type(target).__name__} cannot run two releases side by side")
    clock = clock or SystemClock()
    if spec.baseline == spec.canary:
        raise BadInput(f"baseline and canary are both {spec.canary}: their responses could not be told apart")
    stable = target.instances(spec.service)
    if wrong := [one.name for one in stable if one.release != spec.baseline]:
        raise BadInput(f"{', '.join(wrong)} do not run {spec.baseline}, the rollout's baseline", key="rollout.baseline")
    token = undo_token(target, spec, {one.name: one.release for one in stable}, clock.wall_ns())
    undo.write(context.folder, token)
    drive = _Rollout(context, spec, target, target, actuator, judge_step, live, probe, clock)
    state = drive.run()
    if state is not State.PROMOTED:
        end_instances(target, actuator, spec, token.before)
    undo.mark_done(context.folder, token)
    drive.raise_what_stopped_it()
    return state


def rollout_with_real_parts(context: RunContext, target: Target, slos: Sequence[Slo]) -> State:
    """`rollout` with the scenario's actuator, the load's live record, the judge, and Prometheus where there is one."""
    from harness.actuators import connect
    from harness.load import engine
    from harness.load.order import stream
    from harness.metrics.prometheus import PrometheusSource
    from harness.run.live import LiveRecord
    from harness.run.step import step_judge

    spec, work = context.spec.rollout, context.folder.work
    assert spec is not None
    prometheus = target.endpoints().prometheus
    judge_step = step_judge(
        context,
        slos,
        requests=lambda: engine.rows(context.folder, "requests"),
        generator=lambda: engine.rows(context.folder, "generator"),
        metrics=PrometheusSource(prometheus) if prometheus else None,
    )
    live = LiveRecord(stream(work, "requests"), stream(work, "generator"))
    return rollout(context, target, connect(target, spec), judge_step, live, page_probe(target))


def undo_token(target: Target, spec: Rollout, stable: dict[str, str], wall_ns: int) -> undo.UndoToken:
    """What takes the traffic back from a cold process; overdue when the longest possible rollout is over."""
    longest = spec.seconds[1] + 300.0
    return undo.UndoToken(
        fault="rollout",
        kind=_undo.KIND,
        experiment="rollout",
        target=target.reference,
        selection=(spec.canary,),
        before=stable,
        parameters=spec.model_dump(mode="json"),
        created_wall_ns=wall_ns,
        deadline_wall_ns=wall_ns + int(longest * S),
    )


class _Rollout:
    """A rollout under way."""

    def __init__(
        self,
        context: RunContext,
        spec: Rollout,
        target: Target,
        releases: Releases,
        actuator: Actuator,
        judge_step: JudgeStep,
        live: Live,
        probe: Probe,
        clock: Clock,
    ) -> None:
        self.context, self.spec, self.target, self.releases = context, spec, target, releases
        self.actuator, self.judge_step, self.live, self.clock = actuator, judge_step, live, clock
        self.gate = Gate()
        self.instances: Sequence[Instance] = ()
        self.triggers = Triggers(spec, live, probe, clock)
        self.comparing = Comparing(spec, live)
        self.bake_from_ns: int | None = None
        self.cause_ns = 0  # when what ended the rollout had happened
        self.stopped: BaseException | None = None
        self.look: dict[State, Callable[[], Word]] = {
            State.WAITING: self._start,
            State.SHIFTING: self._shift,
            State.BAKING: self._bake,
            State.STALLED: self._await_evidence,
            State.PROMOTING: self._promote,
            State.ROLLING_BACK: self._take_back,
            State.HALTING: self._take_back,
        }

    def run(self) -> State:
        while self.gate.state not in FINAL:
            before = self.gate.state
            try:
                seen, reason = self.look[before]()
            except (Exception, KeyboardInterrupt) as stop:
                if before not in UNDECIDED:
                    raise  # the undo token stands; whoever cleans up does it by that
                self.stopped = stop
                seen, reason = Input.STOPPED, str(stop) or "interrupted"
            self._tell(seen, reason)
        return self.gate.state

    def raise_what_stopped_it(self) -> None:
        if self.stopped is not None:
            raise self.stopped

    def _tell(self, seen: Input, reason: str) -> None:
        step = self.gate.step
        self.gate, decision = rules.advance(self.gate, seen, self.spec)
        if decision in (Decision.ROLLBACK, Decision.HALT):
            self.cause_ns = self.cause_ns or self.clock.mono_ns()
        self.context.record(
            Decided(step=step, decision=decision, reason=reason, seen=seen.value, state=self.gate.state.value)
        )

    # ---- one method per state

    def _start(self) -> Word:
        begun = self.clock.mono_ns()
        self.context.stage("canary", f"starting {self.spec.instances} × {self.spec.service} {self.spec.canary}")
        region = self.spec.region or next(iter(self.target.instances(self.spec.service))).region
        try:
            self.instances = self.releases.add_instances(
                self.spec.service, region, self.spec.instances, self.spec.canary, self.context.record
            )
        except TargetError as error:
            return Input.UNREADY, str(error)
        early = [one for one in self.live(begun).responses if one.release == self.spec.canary]
        if early:
            return Input.UNSEEN, f"{len(early)} responses came from {self.spec.canary} before it was given any traffic"
        return Input.READY, f"{', '.join(one.name for one in self.instances) or 'no instance yet'} ready"

    def _shift(self) -> Word:
        self.bake_from_ns = None
        wanted = rules.share(self.gate, self.spec)
        set_ns = self._set(wanted)
        self.context.stage("canary", f"{self.spec.canary}: {wanted:.0%} of the traffic")
        return self._until(lambda: self._share_seen(wanted, set_ns), self.spec.shift_within) or self._share_unseen(
            wanted, set_ns
        )

    def _bake(self) -> Word:
        """Watches the step, then judges it; an inconclusive one goes on and is judged with all its evidence.

        When the comparison has shown the canary good enough after the minimum, it is judged then; any word but PASS
        changes nothing, and the bake goes on to its end.
        """
        step = self.spec.judged[self.gate.step]
        self.triggers.start(self.clock.mono_ns())
        if self.bake_from_ns is None:
            self.bake_from_ns = self.clock.mono_ns()
            self.comparing.start(self.gate.step, self.bake_from_ns)
        end_ns = self.clock.mono_ns() + int(step.bake * S)
        word = self._until(lambda: self._enough(step), step.bake)
        if word and word[0] is Input.ENOUGH:
            word = self._judge(step, self.clock.mono_ns(), early=True)
            word = word or self._until(lambda: None, (end_ns - self.clock.mono_ns()) / S)
        return word or self._judge(step, end_ns) or (Input.LOST, "the step was not judged")

    def _enough(self, step: RolloutStep) -> Word | None:
        """ENOUGH when the bake may end early, its minimum is over, and the comparison says so.

        What an objective claims of the system is not looked at before its time: its bounds are for one look.
        """
        assert self.bake_from_ns is not None
        if step.minimum is None or self.context.spec.claim != "run":
            return None
        if self.clock.mono_ns() < self.bake_from_ns + int(step.minimum * S) or not self.comparing.enough():
            return None
        return Input.ENOUGH, "shown good enough on every criterion"

    def _judge(self, step: RolloutStep, end_ns: int, *, early: bool = False) -> Word | None:
        """The word on the bake up to `end_ns`. At an early end it is ENOUGH, bad, or None: the bake goes on."""
        assert self.bake_from_ns is not None
        # A request that was due in the bake may take its whole time-out to end.
        settled = self._until(
            lambda: (Input.BACK, "") if self.live(end_ns).settled_ns >= end_ns else None,
            self.context.spec.load.timeout + self.spec.hold.silence,
        )
        if settled is None or settled[0] is not Input.BACK:
            return settled or (Input.LOST, "the request record does not reach the end of the bake")
        if drift := self._drift(step.share, self.bake_from_ns, end_ns):
            return None if early else (Input.DRIFTED, drift)
        try:
            judgement = self.judge_step(step, self.bake_from_ns, end_ns)
        except HarnessError as error:
            return None if early else (Input.INCONCLUSIVE, f"the step could not be judged: {error}")
        # A window that closed while the judge was at work may have fired a trigger, or shown harm.
        if word := self.triggers.look(self._note_cause) or self._harm():
            return word
        seen, enough, reason = rules.input_of(judgement.verdict), self.comparing.enough(), judgement.sentence
        if early:
            if seen is not Input.PASS or not enough:
                return None
            seen, reason = Input.ENOUGH, f"shown good enough on every criterion; {reason}"
        elif self.spec.compare and self.spec.compare.required and seen is Input.PASS and not enough:
            seen, reason = Input.INCONCLUSIVE, f"not shown good enough beside {self.spec.baseline}; {reason}"
        self._record_comparison()
        if seen is Input.FAIL:
            self.cause_ns = end_ns
        return seen, reason

    def _harm(self) -> Word | None:
        found = self.comparing.harm() if self.gate.state in UNDECIDED else None
        if found is None:
            return None
        self._note_cause(found[0])
        self._record_comparison()
        return Input.HARM, found[1]

    def _record_comparison(self) -> None:
        if event := self.comparing.event():
            self.context.record(event)

    def _await_evidence(self) -> Word:
        def back() -> Word | None:
            if self.triggers.open or self._silence():
                return None
            return Input.BACK, "the record is whole again"

        return self._until(back, self.spec.hold.patience, lost=False) or (
            Input.SPENT,
            f"the evidence did not come back within {self.spec.hold.patience:g} s",
        )

    def _promote(self) -> Word:
        set_ns = self._set(1.0)
        self.context.stage("canary", f"promoting {self.spec.canary}")
        word = self._until(lambda: self._only(self.spec.canary, set_ns), self.spec.shift_within, lost=False)
        if word is None:
            return self._share_unseen(1.0, set_ns)
        if word[0] is Input.SEEN:
            self.actuator.promote()
        return word

    def _take_back(self) -> Word:
        self.context.stage("canary", f"back to {self.spec.baseline}")
        with self._unwatched():
            deadline = self.cause_ns + int(self.spec.rollback_within * S)
            set_ns = self._set_back(deadline)
            left = max((deadline - self.clock.mono_ns()) / S, 0.0) + self.spec.sustained + self.spec.hold.silence
            seen = self._until(lambda: self._only(self.spec.baseline, set_ns), left, bare=True)
        if seen is None:
            self._record_share(0.0, set_ns, ok=False)
            self.context.record(RolledBack(seconds=(self.clock.mono_ns() - self.cause_ns) / S, seen=False))
            return Input.UNSEEN, f"no {self.spec.sustained:g} s with {self.spec.baseline} alone were seen"
        seconds = (self._last_of(self.spec.canary, set_ns) - self.cause_ns) / S
        in_time = seconds <= self.spec.rollback_within
        self.context.record(RolledBack(seconds=seconds, seen=in_time))
        said = f"{self.spec.baseline} alone {seconds:.1f} s after what ended the rollout"
        return (Input.SEEN, said) if in_time else (Input.UNSEEN, f"{said}, later than promised")

    # ---- looking

    def _until(
        self, look: Callable[[], Word | None], seconds: float, *, lost: bool = True, bare: bool = False
    ) -> Word | None:
        """The first word of a trigger, of lost evidence (`lost`), or of `look`; None when the time is over."""
        found: list[Word] = []

        def condition() -> bool:
            word = look() if bare else self.triggers.look(self._note_cause)
            if not bare and not (word and word[0] is Input.TRIGGERED):
                word = self._harm() or (self._lost(word) if lost else None) or look()
            found.extend([word] if word else [])
            return bool(found)

        self.context.wait_for(condition, seconds)
        return found[0] if found else None

    def _lost(self, open_question: Word | None) -> Word | None:
        silence = self._silence()
        return (Input.LOST, silence) if silence else open_question

    def _silence(self) -> str:
        now = self.clock.mono_ns()
        age = (now - self.live(now).until_ns) / S
        return f"the request record ends {age:.1f} s ago" if age > self.spec.hold.silence else ""

    def _note_cause(self, at_ns: int) -> None:
        self.cause_ns = at_ns

    def _counts(self, responses: Sequence[Response]) -> tuple[int, int]:
        canary = sum(one.release == self.spec.canary for one in responses)
        return canary, canary + sum(one.release == self.spec.baseline for one in responses)

    def _share_seen(self, wanted: float, set_ns: int) -> Word | None:
        canary, total = self._counts(self.live(set_ns).responses)
        if total < self.spec.share_minimum or abs(canary / total - wanted) > self.spec.share_tolerance:
            return None
        self._record_share(wanted, set_ns, ok=True)
        return Input.SEEN, f"{canary} of {total} responses came from {self.spec.canary}"

    def _share_unseen(self, wanted: float, set_ns: int) -> Word:
        canary, total = self._record_share(wanted, set_ns, ok=False)
        return Input.UNSEEN, f"{canary} of {total} responses came from {self.spec.canary}, {wanted:.0%} were set"

    def _record_share(self, wanted: float, set_ns: int, *, ok: bool) -> tuple[int, int]:
        canary, total = self._counts(self.live(set_ns).responses)
        self.context.record(ShareSeen(share=canary / total if total else 0.0, canary=canary, total=total, ok=ok))
        return canary, total

    def _drift(self, wanted: float, from_ns: int, to_ns: int) -> str:
        """What is wrong with the share over the whole bake; "" when nothing is."""
        canary, total = self._counts([one for one in self.live(from_ns).responses if one.finished_ns < to_ns])
        ok = total >= self.spec.share_minimum and abs(canary / total - wanted) <= self.spec.share_tolerance
        self.context.record(ShareSeen(share=canary / total if total else 0.0, canary=canary, total=total, ok=ok))
        said = f"{canary} of {total} responses of the bake came from {self.spec.canary}, {wanted:.0%} were set"
        return "" if ok else said

    def _only(self, release: str, set_ns: int) -> Word | None:
        """Whether for the declared time every response that named a release named this one, and there were some."""
        other = self.spec.baseline if release == self.spec.canary else self.spec.canary
        seen = self.live(set_ns)
        from_ns = max([set_ns, *(one.finished_ns for one in seen.responses if one.release == other)])
        alone = [one for one in seen.responses if one.release == release and one.finished_ns > from_ns]
        if not alone or seen.until_ns - from_ns < self.spec.sustained * S:
            return None
        self._record_share(1.0 if release == self.spec.canary else 0.0, from_ns + 1, ok=True)
        return (
            Input.SEEN,
            f"all of {len(alone)} responses within {(seen.until_ns - from_ns) / S:.1f} s came from {release}",
        )

    def _last_of(self, release: str, since_ns: int) -> int:
        """When the first response of the baseline came after the last of this release: the latest it can have ended."""
        responses = self.live(self.cause_ns).responses
        last = max([since_ns, *(one.finished_ns for one in responses if one.release == release)])
        after = [one.finished_ns for one in responses if one.release == self.spec.baseline and one.finished_ns > last]
        return min(after, default=last)

    # ---- acting

    def _set(self, share: float) -> int:
        """Sets the share and returns when that was done; the actuator may have made instances for it."""
        self.actuator.set_weight(share)
        self.triggers.instances = leftovers(self.target, self.spec, ())
        self.context.record(ShareSet(share=share, actuator=self.spec.actuator))
        return self.clock.mono_ns()

    def _set_back(self, deadline_ns: int) -> int:
        """Sets the share to 0, again and again until it is taken or the time is over (then raises TargetError)."""
        while True:
            try:
                self.actuator.rollback()
            except TargetError:
                if self.clock.mono_ns() >= deadline_ns:
                    raise
                self.clock.sleep(0.25)
                continue
            self.context.record(ShareSet(share=0.0, actuator=self.spec.actuator))
            return self.clock.mono_ns()

    @contextmanager
    def _unwatched(self) -> Iterator[None]:
        """On the way back neither a guard nor a lost child may end the waiting."""
        watches, self.context.watches = self.context.watches, []
        try:
            yield
        finally:
            self.context.watches = watches
