"""Several instances at once: started in the order of their dependencies, stopped, and kept up to date."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from harness.targets import instances as one
from harness.targets import restart_policy, supervisor
from harness.targets.folder import PlatformFolder
from harness.targets.render import render
from harness.targets.rollout import unused
from harness.targets.state import ANSWERING, InstanceState, PlatformState, write_whole
from harness.targets.store import Store

PORT_ATTEMPTS = 3
THREADS = 16


def start(store: Store, batch: Sequence[InstanceState]) -> None:
    """Starts instances at once, each after those of the batch that it depends on; returns when all serve.

    Raises the first failure, after the others were given up. A port that turns out to be taken is replaced.
    """
    if not batch:
        return
    state = store.read()
    for each in batch:
        one.configure(store.folder, state, each)
    supervisor.load(store.folder, [each.name for each in batch])
    write_rules(store)
    serving = {each.name: threading.Event() for each in batch}
    failed = threading.Event()

    def start_after_dependencies(each: InstanceState) -> None:
        try:
            depends = state.service(each.service).depends
            for other in batch:
                while other.service in depends and not serving[other.name].wait(0.05):
                    if failed.is_set():
                        raise one.Stopped(f"{each.name}: given up")
            _start_one(store, each.name, failed)
            serving[each.name].set()
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(max_workers=len(batch)) as pool:
        futures: list[Future[None]] = [pool.submit(start_after_dependencies, each) for each in batch]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:  # Ctrl-C: without this the pool would wait for every instance to become ready
            failed.set()
            raise
    errors = [error for future in futures if (error := future.exception())]
    if errors:
        raise next((error for error in errors if not isinstance(error, one.Stopped)), errors[0])


def _start_one(store: Store, name: str, failed: threading.Event) -> None:
    folder = store.folder
    for attempt in range(1, PORT_ATTEMPTS + 1):
        state = store.read()
        before = state.instance(name)
        each, rendered = one.place(folder, state, before)
        if not before.started:
            one.prepare(folder, state.service(each.service), each, rendered, failed.is_set)
        store.set_instance(name, started=True, **_rendered(each))
        one.start(folder, name)
        try:
            one.wait_ready(folder, state, each, failed.is_set)
            break
        except one.PortTaken as taken:
            if attempt == PORT_ATTEMPTS:
                raise
            one.stop(folder, name, "KILL", 5)
            store.other_port(name, taken.port)
    seen = one.running(folder, name)
    if seen:
        store.set_instance(name, pid=seen.pid, start_time=seen.start_time)


def _rendered(each: InstanceState) -> dict[str, object]:
    return {"uses": each.uses, "script_sha256": each.script_sha256, "files_sha256": each.files_sha256}


def stop(folder: PlatformFolder, state: PlatformState, instances: Iterable[InstanceState]) -> None:
    """Ends instances at once, each as its service says."""

    def stop_one(each: InstanceState) -> None:
        how = state.service(each.service).stop
        one.stop(folder, each.name, how.signal, how.timeout)

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        list(pool.map(stop_one, instances))


def discard(store: Store, instances: Sequence[InstanceState]) -> None:
    """Ends instances for good. Their folders and logs stay until `down`."""
    names = [each.name for each in instances]
    stop(store.folder, store.read(), instances)
    store.update(lambda state: state.without(*names))
    write_rules(store)
    for name in names:
        supervisor.forget(store.folder, name)


def end_unused(store: Store) -> None:
    """Drains and ends retiring instances that nothing uses any more."""
    state = store.read()
    idle = unused(state.instances)
    if idle:
        time.sleep(max(state.service(each.service).stop.drain for each in idle))
        discard(store, idle)


def refresh(store: Store, *, settle: bool) -> None:
    """Renders every running instance again and makes it take up what changed.

    Changed files are reloaded. A changed command or environment needs another process: instances of released services
    keep running as they are until their own phase replaces them, others are restarted; with `settle` (nothing more is
    going to be replaced) all are.
    """
    state = store.read()
    settled_after = 0.0
    for each in state.of(roles=ANSWERING):
        if not each.started or one.running(store.folder, each.name) is None:
            continue
        fresh = render(store.folder, state, each)
        other_script = fresh.script_sha256 != each.script_sha256
        if not other_script and fresh.files_sha256 == each.files_sha256:
            continue
        if other_script and state.service(each.service).released and not settle:
            continue
        placed, rendered = one.place(store.folder, state, each)
        if other_script:
            stop(store.folder, state, [each])
            one.start(store.folder, each.name)
            one.wait_ready(store.folder, state, placed)
        else:
            settled_after = max(settled_after, one.reload(store.folder, state, placed, rendered))
        store.set_instance(each.name, **_rendered(placed))
    time.sleep(settled_after)


def write_rules(store: Store) -> None:
    """Tells the restart policy about every instance."""
    state = store.read()
    policies = {each.name: state.service(each.service).restart for each in state.instances}
    rules = {name: restart_policy.Rule(tuple(policy.waits), policy.forget_after) for name, policy in policies.items()}
    write_whole(store.folder.policy, restart_policy.dump_rules(rules))
