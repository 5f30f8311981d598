"""kill -9 of the harness after every event of its journal and every change on its cluster, on adapters in memory.

The line, the kubernetes target, the faults and their undoing are the real ones. Cluster, load and beacon are fakes, the
cluster in a process that lives on. Then `recover` from cold: nothing is left, and the verdict is no PASS.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.chaos import lifecycle, undo
from harness.chaos.lifecycle import Session
from harness.errors import BadInput
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.judge import selectors
from harness.kube import holds
from harness.load import engine
from harness.load.schedule import count
from harness.metrics.evidence import save_answers
from harness.model.events import AnyEvent, ExperimentEnded, FaultGone, FaultIntended, RunClosed
from harness.model.judgement import Verdict
from harness.model.plan import PlannedFault
from harness.run import execute as line
from harness.run import wire
from harness.run.context import RunContext, new_run_folder
from harness.run.execute import Parts, collect_readback, execute
from harness.run.prepare import Choices, prepare
from harness.run.recover import note_target, recover
from harness.run.verdict import judge_folder
from harness.targets.probe import Answer
from harness.testing.fake_bed import FakeBed
from harness.testing.fake_load import FakeLoad, fake_beacon
from harness.testing.fake_metrics import FakeMetrics
from tests.crash import served_cluster
from tests.e2e.kind.small import CLUSTER, experiment, scenario

FAULTS: dict[str, dict[str, Any]] = {
    "scale_to_zero": {"service": "app", "region": "west"},  # a dead man's switch
    "network_latency": {"service": "app", "region": "east", "count": 1, "delay": "50ms"},  # agents
    "node_drain": {"service": "app", "region": "west"},  # a switch with rights on the whole cluster
}
AT_ONCE = 12


@dataclass(frozen=True)
class World:
    """A cluster, and where a run on it writes."""

    bed: FakeBed
    root: Path
    scenario: Path

    def folder(self) -> RunFolder:
        return RunFolder(next(iter((self.root / "reports").iterdir())))

    def there(self) -> dict[tuple[str, str, str], Any]:
        """All objects, each with what was asked for it, and which fault has hold of it."""
        return {where: (each.get("spec"), holds.holder(each)) for where, each in self.bed._objects.items()}


@pytest.fixture(scope="module")
def edge() -> Iterator[str]:
    with served_cluster.edge() as url:
        yield url


def world(root: Path, edge: str) -> World:
    def answer(_pod: object, _port: int, _method: str, path: str, _body: object) -> Answer:
        return Answer(200, {}, json.dumps({"path": path}))

    root.mkdir()
    bed = FakeBed(answer)
    bed.list("v1/Node")  # its controllers have acted once
    cluster = {"context": "fake", "manifests": str(CLUSTER / "manifests.yaml"), "endpoints": {"edge": edge}}
    short = {"steady": "300ms", "quiet": "100ms", "sustained": "100ms"}
    file = scenario(root, cluster, [experiment(root, kind, told) for kind, told in FAULTS.items()], **short)
    document = json.loads(file.read_text())
    document["spec"]["load"]["warm_up"] = "100ms"
    for each in document["spec"]["experiments"]:
        each["gap"] = "100ms"
    file.write_text(json.dumps(document))
    return World(bed, root, file)


def harness(root: Path, file: Path, events: int, changes: int) -> None:
    """A run; this process is killed after so many events or changes (0: after none)."""
    os.setsid()
    left = {"events": events, "changes": changes}
    append = log.append

    def passed(what: str) -> None:
        left[what] -= 1
        if left[what] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(journal: Path, event: AnyEvent, **more: Any) -> AnyEvent:
        written = append(journal, event, **more)
        passed("events")
        return written

    log.append = counted
    served_cluster.ServedTarget.changed = staticmethod(lambda: passed("changes"))
    prepared = prepare(file, Choices())
    assert prepared.files.cluster is not None
    folder = new_run_folder(root / "reports", "small")
    context = RunContext(folder, prepared.spec, 1)
    wire._open(context, prepared)
    target = served_cluster.target(prepared.platform, prepared.files.cluster, root / "state")
    note_target(folder, target.reference, owned=True)
    load, beacon = FakeLoad(folder, prepared.spec.load), fake_beacon(folder, prepared.spec.beacon)

    def probes() -> Any:
        beacon.poll()
        return engine.rows(folder, "beacon")

    def play(fault: PlannedFault) -> None:
        session = Session(folder, fault.experiment, target.reference, served_cluster_attach)
        (kind,) = fault.kinds
        try:
            lifecycle.inject(session, kind, kind, FAULTS[kind], fault.blast_radius, 60)
            lifecycle.await_landed(session, kind, 5)
        finally:
            lifecycle.recover(session, kind, 5)
        ended = ExperimentEnded(experiment=fault.experiment, title="", status="completed", deviated=False, mistakes=())
        context.record(ended)

    def collect() -> None:
        for problem in engine.collect(folder):
            context.problem("record", problem)
        collect_readback(context)
        found = [FakeMetrics(()).samples(selector, 0, time.time()) for selector in selectors(prepared.slos)]
        save_answers(folder, tuple(answer for _, answer in found))
        pq.write_table(pa.concat_tables(table for table, _ in found), folder.table("samples"))

    line.RECORD_WITHIN_S = 0.1
    line._healed = lambda *_: True  # the machine may be slow: every run does the same
    execute(
        context,
        prepared.plan,
        Parts(
            target=target,
            owned=True,
            release=prepared.plan.release,
            load=load,
            origin_ns=load.origin_ns,
            stopped_ns=load.stopped_ns,
            beacon=beacon,
            beacon_rows=probes,
            request_rows=lambda: engine.rows(folder, "requests"),
            ledger_rows=lambda: engine.rows(folder, "ledger"),
            count_arrivals=lambda seconds: count(prepared.spec.load.arrivals, 1, seconds),
            run_experiment=play,
            rollout=None,
            collect=collect,
            recover=lambda by: recover(folder, by=by),
            prometheus_clock=lambda: None,
            show_load=lambda: None,
        ),
    )


def served_cluster_attach(reference: str) -> served_cluster.ServedTarget:
    return served_cluster.attach(reference.partition(":")[2])


def played(made: World, events: int = 0, changes: int = 0) -> int | None:
    """The exit code of a run on it, that was killed so."""
    child = multiprocessing.get_context("forkserver").Process(
        target=harness, args=(made.root, made.scenario, events, changes)
    )
    child.start()
    child.join(60)
    return child.exitcode


def after_a_kill(root: Path, edge: str, events: int = 0, changes: int = 0) -> list[str]:
    """What of the promises a killed run did not keep; ["survived"] when it came to its end before that."""
    made = world(root, edge)
    before = made.there()
    with served_cluster.served(made.bed, root / "state"):
        if played(made, events, changes) == 0:
            return ["survived"]
        folder, wrong = made.folder(), []
        recover(folder, by="test")
        if (after := made.there()) != before:
            wrong.append(f"left: {_differ(before, after)}")
        if left := undo.pending(folder):
            wrong.append(f"not undone: {[token.fault for token in left]}")
        if recover(folder, by="again").undone:
            wrong.append("a second recovery found something to do")
        told = log.read(folder.journal)
        gone = {event.fault for event in told if isinstance(event, FaultGone) and event.gone}
        wrong += [
            f"{event.fault} was never seen gone"
            for event in told
            if isinstance(event, FaultIntended) and event.fault not in gone
        ]
        closed = any(isinstance(event, RunClosed) for event in told)  # its end was all that was killed
        if not closed and verdict(folder) is Verdict.PASS:
            wrong.append("PASS")
    return wrong


def verdict(folder: RunFolder) -> Verdict | None:
    """None when the run did not even come to its objectives, so that nobody can judge it."""
    try:
        return judge_folder(folder).verdict
    except BadInput:
        return None


def _differ(before: dict[Any, Any], after: dict[Any, Any]) -> list[str]:
    both = {**before, **after}
    return [str(where) for where in both if before.get(where, ...) != after.get(where, ...)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, edge: str) -> World:
    """A run that nobody kills."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    made = world(tmp_path_factory.mktemp("whole") / "w", edge)
    before = made.there()
    with served_cluster.served(made.bed, made.root / "state"):
        assert played(made) == 0
    assert made.there() == before
    return made


def test_a_run_that_nobody_kills_passes(whole: World) -> None:
    judgement = judge_folder(whole.folder())
    assert judgement.verdict is Verdict.PASS, judgement.findings
    faults = [event.kind for event in log.read(whole.folder().journal) if isinstance(event, FaultIntended)]
    assert faults == list(FAULTS)


@pytest.mark.parametrize("what", ["events", "changes"])
def test_killed_after_any_of_them_nothing_is_left_and_it_is_no_pass(
    what: str, whole: World, edge: str, tmp_path: Path
) -> None:
    number = len(log.read(whole.folder().journal)) if what == "events" else len(whole.bed.requests)

    def killed(nth: int) -> list[str]:
        return after_a_kill(tmp_path / str(nth), edge, **{what: nth})

    points = range(1, number + (what == "events"))  # after the last change the run may come to its end
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(points, pool.map(killed, points), strict=True))
    survived = [nth for nth, wrong in found.items() if wrong == ["survived"]]  # not every run has as many
    assert len(found) - len(survived) > 25
    assert survived == list(points)[len(found) - len(survived) :]
    assert len(survived) < 6
    assert {nth: wrong for nth, wrong in found.items() if wrong and nth not in survived} == {}
