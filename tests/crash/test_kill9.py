"""kill -9 in the middle of a fault, on real processes under the real local target, with the real `chaos` playing.

The platform is tests/fixtures/tiny; the harness is a stand-in that does what a run does: notes its target, starts its
watchdog, starts a load of sorts, plays an experiment.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import children, proc
from harness.chaos import undo
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import FaultGone, Recovered
from harness.run.recover import note_target, recover
from harness.spec.platform import load_platform
from harness.targets.local import LocalTarget, local
from harness.testing.experiments import action, probe

TINY = Path(__file__).parents[1] / "fixtures" / "tiny" / "platform.yaml"

HARNESS = """
import sys, time
from pathlib import Path
from harness import children
from harness.chaos import runner
from harness.chaos.attach import attach
from harness.journal.layout import RunFolder
from harness.run.recover import note_target
from harness.run.watchdog import start_watchdog
folder, reference, owned, file = RunFolder(Path(sys.argv[1])), sys.argv[2], sys.argv[3] == "owned", Path(sys.argv[4])
note_target(folder, reference, owned=owned)
watchdog = start_watchdog(folder)
print(watchdog.pid, flush=True)
children.start(folder, "load", [sys.executable, "-c", "import time; time.sleep(300)"])
edge = attach(reference).endpoints().edge
runner.start(folder, runner.ExperimentRun("lost#1", file, reference, edge, 7, 20, 300.0))
time.sleep(300)
"""


def experiment(fault: str, parameters: dict[str, Any], radius: int) -> dict[str, Any]:
    """Makes the fault and looks at it for longer than anybody waits."""
    return {
        "title": "lost",
        "description": "lost",
        "steady-state-hypothesis": {
            "title": "full service",
            "probes": [{**probe("level 1", "level_is", level=1), "tolerance": True}],
        },
        "method": [
            action("break", "inject", fault=fault, parameters=parameters, blast_radius=radius),
            probe("broken", "landed", fault=fault, within="10s"),
            probe("stays broken", "holds", fault=fault, over="250s"),
            action("mend", "recover", fault=fault, within="10s"),
        ],
        "rollbacks": [action("mend if broken", "recover", fault=fault, within="10s")],
    }


FAULTS: dict[str, tuple[dict[str, Any], int]] = {
    "region_loss": ({"region": "sjc"}, 4),
    "device_loss": ({"device": "gpu0", "worker": "gpu-worker", "metric": "gpu_present"}, 1),
    "process_pause": ({"service": "unified-api", "region": "sjc"}, 2),
}


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTarget]:
    made = local(load_platform(TINY), tmp_path_factory.mktemp("s"))
    try:
        made.up("", lambda _: None)
        yield made
    finally:
        assert made.down().clean


Start = Callable[[str, str], tuple[subprocess.Popen[str], int]]


@pytest.fixture
def start(folder: RunFolder, tiny: LocalTarget, write: Callable[[dict[str, Any]], Path]) -> Iterator[Start]:
    """Starts a harness and returns (it, its watchdog's pid) once its fault was seen to land."""
    started: list[subprocess.Popen[str]] = []

    def starter(fault: str, owned: str) -> tuple[subprocess.Popen[str], int]:
        file = write(experiment(fault, *FAULTS[fault]))
        harness = subprocess.Popen(
            [sys.executable, "-c", HARNESS, str(folder.root), tiny.reference, owned, str(file)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(harness)
        assert harness.stdout is not None
        watchdog = int(harness.stdout.readline())
        until(lambda: any(event.event == "fault.landed" for event in log.read(folder.journal)), 30)
        return harness, watchdog

    yield starter
    for harness in started:
        harness.kill()
        harness.wait()
    children.end_all(folder)


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until it held."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "did not come in time"
        time.sleep(0.05)
    return time.monotonic() - began


def kill9(harness: subprocess.Popen[str]) -> None:
    os.killpg(harness.pid, 9)
    harness.wait()


def lifted(folder: RunFolder) -> bool:
    return undo.pending(folder) == ()


@pytest.mark.parametrize("fault", list(FAULTS))
def test_the_fault_is_lifted_within_ten_seconds_and_nothing_stays(
    start: Start, folder: RunFolder, tiny: LocalTarget, fault: str
) -> None:
    harness, watchdog = start(fault, "not owned")
    assert not lifted(folder)
    kill9(harness)
    until(lambda: lifted(folder) and list(tiny.ready()) == [], 10)
    until(lambda: proc.identify(watchdog) is None, 20)
    assert children.leftovers(folder) == {}
    events = log.read(folder.journal)
    (recovered,) = [event for event in events if isinstance(event, Recovered)]
    assert (recovered.by, recovered.clean, recovered.undone) == ("watchdog", True, (f"lost#1/{fault}",))
    assert set(recovered.ended) >= {"load", "chaos lost#1"}
    (gone,) = [event for event in events if isinstance(event, FaultGone)]
    assert (gone.gone, gone.by) == (True, "watchdog")


def test_a_platform_of_the_run_is_taken_down(start: Start, folder: RunFolder, tiny: LocalTarget) -> None:
    harness, watchdog = start("region_loss", "owned")
    kill9(harness)
    until(lambda: proc.identify(watchdog) is None, 30)
    assert lifted(folder)
    assert not tiny.folder.root.exists()
    assert children.leftovers(folder) == {}
    assert recover(folder, by="user").undone == ()


def test_killed_again_during_the_recovery_it_is_done_from_cold(
    start: Start, folder: RunFolder, tiny: LocalTarget
) -> None:
    harness, watchdog = start("region_loss", "not owned")
    kill9(harness)
    until(lambda: "died before it closed" in (folder.logs / "watchdog.log").read_text(), 10)
    os.kill(watchdog, 9)  # wherever it is now
    until(lambda: proc.identify(watchdog) is None, 10)
    began = time.monotonic()
    assert recover(folder, by="user").clean
    assert time.monotonic() - began < 10
    assert lifted(folder)
    assert list(tiny.ready()) == []
    assert children.leftovers(folder) == {}


def test_without_any_watchdog_it_is_done_from_cold(start: Start, folder: RunFolder, tiny: LocalTarget) -> None:
    harness, watchdog = start("device_loss", "not owned")
    os.kill(watchdog, 9)
    kill9(harness)
    assert not tiny.device_present("gpu0")
    assert len(children.leftovers(folder)) >= 2
    done = subprocess.run(
        [sys.executable, "-c", COLD, str(folder.root)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.strip() == "True lost#1/device_loss", done
    assert tiny.device_present("gpu0")
    assert children.leftovers(folder) == {}


@pytest.mark.parametrize("fault", ["process_kill", "region_loss"])
def test_killed_between_the_intent_and_the_kill_nothing_new_is_waited_for(
    fault: str, folder: RunFolder, tiny: LocalTarget
) -> None:
    note_target(folder, tiny.reference, owned=False)
    before = [tiny.status(each).process for each in tiny.instances()]
    done = subprocess.run([sys.executable, "-c", MEANT, str(folder.root), tiny.reference, fault], check=False)
    assert done.returncode == -9
    assert not lifted(folder)
    recovered = recover(folder, by="user")
    assert (recovered.clean, recovered.undone) == (True, (f"lost#1/{fault}",))
    assert [tiny.status(each).process for each in tiny.instances()] == before, "nothing was touched"


MEANT = """
import os, sys
from pathlib import Path
from harness import faults
from harness.chaos import lifecycle
from harness.chaos.attach import attach
from harness.journal.layout import RunFolder
folder, reference, kind = RunFolder(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
faults.load(kind).inject = lambda *_: os.kill(os.getpid(), 9)
what = {"region": "sjc", **({"service": "unified-api"} if kind == "process_kill" else {})}
lifecycle.inject(lifecycle.Session(folder, "lost#1", reference, attach), kind, kind, what, 9, 60)
"""
COLD = """
import sys
from pathlib import Path
from harness.journal.layout import RunFolder
from harness.run.recover import recover
done = recover(RunFolder(Path(sys.argv[1])), by="harness recover")
print(done.clean, *done.undone)
"""
