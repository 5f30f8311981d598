"""The composition root: which real part goes into which seam. Nothing else knows them all."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import platform as host
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.errors import EXIT_NOT_CLEAN, BadInput, TargetError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import ClockRead, Digest, PhaseTakenBack, RunOpened
from harness.model.plan import PlannedFault
from harness.ports import Logs
from harness.run import platforms
from harness.run.context import RunContext, new_run_folder
from harness.run.execute import Parts, collect_readback, execute
from harness.run.prepare import Choices, Prepared, may_act, prepare
from harness.run.seal import seal, sha256, write_whole
from harness.run.verdict import WAIVERS, exit_code, judge_folder, show, slo_folders, write_judgement, write_reports

if TYPE_CHECKING:
    import pyarrow as pa

    from harness.ports import LoadEngine, Target
    from harness.render.live import View

WATCHDOG_WITHIN_S = 5.0  # it leaves by itself when the run is closed

__all__ = ["Choices", "carry_out"]


def carry_out(scenario: Path, choices: Choices, reports: Path, as_json: bool) -> int:
    """Runs a scenario from its file to its reports; the verdict's exit code. Progress goes to standard error."""
    from harness.render.live import view
    from harness.run.recover import note_target
    from harness.run.watchdog import start_watchdog

    prepared = prepare(scenario, choices)
    if not (choices.state or prepared.spec.target.state):
        may_act(prepared.files, choices.yes)
    folder = new_run_folder(reports, prepared.plan.scenario)
    context = RunContext(folder, prepared.spec, prepared.plan.seed)
    with view(sys.stderr, time.monotonic_ns, live=sys.stderr.isatty()) as shown, _signals(context):
        context.listeners.append(shown.event)
        _open(context, prepared)
        target, owned = _target(prepared)
        note_target(folder, target.reference, owned)
        watchdog = start_watchdog(folder)
        try:
            execute(context, prepared.plan, _parts(context, prepared, target, owned, shown))
        except TargetError as error:
            # A release that does not get through its own gates has failed; what the harness cannot do is another error.
            if not any(isinstance(event, PhaseTakenBack) for event in log.read(folder.journal)):
                raise
            sys.stderr.write(f"{error}\n")
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                watchdog.wait(WATCHDOG_WITHIN_S)
    return finish(folder, as_json)


def finish(folder: RunFolder, as_json: bool) -> int:
    """Judges, seals, reports; the exit code of the verdict."""
    judgement = judge_folder(folder)
    write_judgement(judgement, folder.root)
    shutil.rmtree(folder.work)
    root = seal(folder, lambda root: write_reports(folder, judgement, folder.root, root))
    show(judgement, folder, as_json, root)
    return exit_code(judgement.verdict)


@contextlib.contextmanager
def _signals(context: RunContext) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP stop the run once. While it cleans up, they are told to wait; a third leaves that to
    the watchdog."""
    count = 0

    def stop(number: int, _frame: object) -> None:
        nonlocal count
        count += 1
        if count == 1 and context.interruptible:
            raise KeyboardInterrupt
        if count <= 2:
            _say("cleaning up; once more to leave that to the watchdog")
            return
        _say("left to the watchdog; `harness recover last` does the same")
        os._exit(EXIT_NOT_CLEAN)

    chosen = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in chosen}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        sys.stderr.write(f"\n{text}\n")


def _open(context: RunContext, prepared: Prepared) -> None:
    """Copies the inputs, and writes who runs what, with which versions, on which machine."""
    files, inputs = prepared.files, context.folder.inputs
    context.record(
        RunOpened(
            run_id=context.folder.run_id,
            scenario=prepared.plan.scenario,
            profile=prepared.choices.profile,
            user=getpass.getuser(),
            host=host.node(),
            version=__version__,
            commit=_commit(),
            seed=prepared.plan.seed,
            python=host.python_version(),
            machine=f"{host.system()} {host.release()} {host.machine()}, {os.cpu_count()} cores",
            argv=("harness", *sys.argv[1:]),
            release=prepared.plan.release,
        )
    )
    copies = [files.spec_file, files.platform, files.locustfile, *files.experiments]
    for file in copies:
        shutil.copy(file, inputs / file.name)
    _copy_slos(prepared, inputs / "slos")
    if files.waivers:
        shutil.copy(files.waivers, inputs / WAIVERS)
    if prepared.admission:
        shutil.copy(prepared.admission.file, inputs / "certificate.json")
    spec = prepared.spec.model_dump(mode="json", by_alias=True)
    write_whole(inputs / "scenario.json", json.dumps(spec, indent=2, sort_keys=True).encode())
    write_whole(inputs / "plan.json", prepared.plan.model_dump_json(indent=2).encode())
    for file in sorted(path for path in inputs.rglob("*") if path.is_file()):
        context.record(Digest(name=f"inputs/{file.relative_to(inputs)}", sha256=sha256(file)))
    for name, digest in prepared.definitions.items():
        context.record(Digest(name=name, sha256=digest))


def _copy_slos(prepared: Prepared, to: Path) -> None:
    """One numbered folder for each path of the scenario, so that equal file names do not meet; nothing may get lost."""
    from harness.spec.openslo import load_slos, yaml_files

    for number, path in enumerate(prepared.files.slos):
        folder = to / str(number)
        folder.mkdir(parents=True)
        for file in yaml_files([path]):
            shutil.copy(file, folder / file.name)
    copied = load_slos(slo_folders(to))
    if [slo.name for slo in copied] != [slo.name for slo in prepared.slos]:
        raise BadInput(
            "the copies of the objectives differ from the originals", file=to, fix="keep SLOs of a folder together"
        )


def _commit() -> str:
    """The commit this harness was run from, with "+changes" when the tree was not clean; "" outside of a checkout."""
    git = shutil.which("git")
    if git is None:
        return ""
    where = Path(__file__).resolve().parents[2]
    head = subprocess.run([git, "-C", str(where), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        return ""
    dirty = subprocess.run(
        [git, "-C", str(where), "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False
    )
    return head.stdout.strip()[:12] + ("+changes" if dirty.stdout.strip() else "")


def _target(prepared: Prepared) -> tuple[Target, bool]:
    """(the target, whether this run brings it up and takes it down)."""
    from harness.chaos.attach import attach

    state = prepared.choices.state or prepared.spec.target.state
    if state:
        return attach(state), False
    if prepared.files.cluster is not None:
        from harness.run import cluster

        return cluster.create(prepared), True
    return platforms.create(prepared.platform), True


def _parts(context: RunContext, prepared: Prepared, target: Target, owned: bool, shown: View) -> Parts:
    from harness.load import engine
    from harness.load.schedule import count
    from harness.run.recover import recover

    folder, spec = context.folder, prepared.spec
    load = _Late(
        lambda: engine.locust_engine(
            folder,
            spec.load,
            target.endpoints().edge,
            seed=prepared.plan.seed,
            duration_s=prepared.plan.load_s,
            locustfile=prepared.files.locustfile,
        )
    )
    beacon = _Late(lambda: engine.beacon_engine(folder, spec.beacon, target.endpoints().edge))

    def collect() -> None:
        for problem in engine.collect(folder):
            context.problem("record", problem)
        collect_readback(context)
        _collect_metrics(context, prepared, target)
        _collect_logs(context, target)

    request_rows, beacon_rows = engine.growing(folder, "requests"), engine.growing(folder, "beacon")
    return Parts(
        target=target,
        owned=owned,
        release=prepared.plan.release,
        load=load,
        origin_ns=lambda: load.made.origin_ns(),
        stopped_ns=lambda: load.made.stopped_ns(),
        beacon=beacon,
        beacon_rows=beacon_rows,
        request_rows=request_rows,
        ledger_rows=lambda: engine.rows(folder, "ledger"),
        count_arrivals=lambda seconds: count(spec.load.arrivals, prepared.plan.seed, seconds),
        run_experiment=lambda fault: _experiment(context, fault, target),
        rollout=_rollout(context, prepared, target) if spec.rollout else None,
        collect=collect,
        recover=lambda by: recover(folder, by=by),
        prometheus_clock=lambda: _prometheus_clock(target.endpoints().prometheus),
        show_load=lambda: _show_load(shown, load, request_rows(), beacon_rows()),
        admit=prepared.admission.admit if prepared.admission else lambda digests: None,
    )


def _show_load(shown: View, load: LoadEngine, requests: pa.Table, beacon: pa.Table) -> None:
    import numpy as np

    state = load.poll()
    failed = (requests["outcome"].to_numpy() != 0) | (requests["status"].to_numpy() >= 400)
    shown.load(
        scheduled=state.scheduled,
        recorded=state.recorded,
        errors=int(np.count_nonzero(failed)),
        late_p99_s=state.late_p99_ms / 1000,
        level=int(beacon["level"][-1].as_py()) if beacon.num_rows else 0,
    )


class _Late:
    """An engine that is made when it is started: the edge's address is known only after the deployment."""

    def __init__(self, make: Any) -> None:
        self._make, self._made = make, None

    @property
    def made(self) -> Any:
        if self._made is None:
            self._made = self._make()
        return self._made

    def start(self) -> None:
        self.made.start()

    def poll(self) -> Any:
        return self.made.poll()

    def stop(self) -> Any:
        return self.made.stop()


def _experiment(context: RunContext, fault: PlannedFault, target: Target) -> None:
    from harness.chaos import runner

    running = runner.start(
        context.folder,
        runner.ExperimentRun(
            id=fault.experiment,
            file=Path(fault.file),
            target=target.reference,
            edge=target.endpoints().edge,
            seed=context.seed,
            blast_radius=fault.blast_radius,
            timeout_s=fault.within_s,
            set=fault.set,
        ),
    )
    try:
        while running.poll() is None:
            context.wait(0.25)
    except BaseException as error:
        running.stop(f"ended early: {error}")
        raise


def _rollout(context: RunContext, prepared: Prepared, target: Target) -> Callable[[], object]:
    from harness.run.rollout import rollout_with_real_parts

    return lambda: rollout_with_real_parts(context, target, prepared.slos)


def _prometheus_clock(url: str) -> ClockRead | None:
    from harness.metrics.prometheus import clock_offset

    return clock_offset(url) if url else None


def _collect_metrics(context: RunContext, prepared: Prepared, target: Target) -> None:
    from harness.judge import selectors
    from harness.metrics.prometheus import collect

    url = target.endpoints().prometheus
    if url:
        collect(url, selectors(prepared.slos), context.folder)
    else:
        context.problem("prometheus", "the platform names no Prometheus")


def _collect_logs(context: RunContext, target: Target) -> None:
    if isinstance(target, Logs):
        to = context.folder.logs / "platform"
        to.mkdir(exist_ok=True)
        for file in target.logs():
            shutil.copy(file, to / file.name)
