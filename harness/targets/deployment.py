"""Phase by phase: the first roll-out, replacing one release by another under load, gates, and taking a phase back."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness.errors import BadInput
from harness.model.events import Deployed, PhaseDeployed, PhaseTakenBack
from harness.model.platform import Gate, Phase, Platform
from harness.ports import Report
from harness.spec.placeholders import Address, placeholders
from harness.spec.yaml import Located
from harness.targets import fleet, supervisor
from harness.targets import instances as one
from harness.targets.folder import PlatformFolder, make_private
from harness.targets.gates import gate_look, see_hold
from harness.targets.render import Context, base_environment, endpoint
from harness.targets.rollout import at_first, first_batches, replacing_batches
from harness.targets.state import InstanceState, PlatformState, Role, boot_id, load, save
from harness.targets.store import Store


def create(store: Store, platform: Located[Platform], release: str) -> None:
    """Folder, first state with the ports of all instances, stand-in devices, supervisord."""
    folder, file, spec = store.folder, platform.file.resolve(), platform.value.spec
    chosen = release or (spec.releases[0].name if spec.releases else "")
    state = PlatformState(
        id=folder.id,
        name=platform.value.metadata.name,
        platform_file=str(file),
        platform_sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        source=str(file.parent),
        host=os.uname().nodename,
        boot_id=boot_id(),
        created_wall_ns=time.time_ns(),
        python=sys.executable,
        release=chosen,
        spec=spec,
    )
    if chosen:
        state.release_named(chosen)
    for path in (folder.root, folder.saved, folder.held, folder.logs):
        make_private(path)
    folder.control.mkdir(mode=0o700)
    save(folder.state, state)
    for phase in spec.phases:
        for name in phase.services:
            for region, count in state.service(name).instances.items():
                for _ in range(count):
                    store.add(name, region, chosen)
    _make_devices(folder, state)
    seen = supervisor.start(folder, base_environment(folder))
    supervised = {"supervisor_pid": seen.pid, "supervisor_start_time": seen.start_time}
    store.update(lambda state: state.model_copy(update=supervised))


def _make_devices(folder: PlatformFolder, state: PlatformState) -> None:
    """A device below the platform's own folder is a stand-in that we make; preflight saw that any other is there."""
    context = Context(folder, state)
    for device in state.spec.devices:
        path = Path(context.fill(device.path))
        if folder.root in path.parents:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def roll_out_first(store: Store, phase: Phase, report: Report) -> None:
    """Starts a phase's services for the first time. Raises TargetError with the phase taken back."""
    begun = time.monotonic()
    before = store.read()
    save(store.saved(phase.name), before)
    try:
        for batch in first_batches(phase.strategy, [each for each in before.of() if each.phase == phase.name]):
            fleet.start(store, batch)
        fleet.refresh(store, settle=True)  # a taken port may have moved something that others were told of
        check_gates(store, phase, report)
    except BaseException as error:
        _give_back(store, phase, error, report)
        raise
    _finish(store, phase, begun, report, at_first(phase.strategy))


def replace(store: Store, phase: Phase, release: str, report: Report) -> None:
    """Replaces a phase's released instances by ones of another release while they serve.

    Each batch of new instances is started beside the old ones; when it is ready (blue-green, and the first of a canary:
    when the gates hold for it, too) it serves in their place, and the old ones end as soon as nothing that runs was
    rendered with them. Raises TargetError with the phase taken back.
    """
    begun = time.monotonic()
    before = store.read()
    save(store.saved(phase.name), before)
    old = [
        each
        for each in before.of()
        if each.phase == phase.name and before.service(each.service).released and each.release != release
    ]
    store.update(lambda state: state.model_copy(update={"release": release, "status": "deploying"}))
    try:
        for number, batch in enumerate(replacing_batches(phase.strategy, old)):
            new = [store.add(each.service, each.region, release, "starting") for each in batch]
            fleet.start(store, new)
            if phase.strategy == "blue-green" or (phase.strategy == "canary" and number == 0):
                check_gates(store, phase, report, batch, new)
            _switch(store, batch, new)
        check_gates(store, phase, report)
    except BaseException as error:
        _give_back(store, phase, error, report)
        raise
    _finish(store, phase, begun, report)


def refuse_without_reload(state: PlatformState) -> None:
    """A service whose files name instances that are going to be replaced must be able to take up new files."""
    released = {each.name for each in state.of() if state.service(each.service).released}
    for service in state.spec.services:
        told = any(released & set(each.uses) for each in state.of(service.name))
        if told and service.files and not service.released and service.reload is None:
            raise BadInput(
                f"service {service.name!r} is rendered with instances that a rollout replaces, and has no `reload`",
                file=state.platform_file,
                fix="give it `reload` with a signal, a command, or `watched: true`",
            )


def _switch(store: Store, old: Sequence[InstanceState], new: Sequence[InstanceState]) -> None:
    store.update(lambda state: _switched(state, old, new))
    fleet.refresh(store, settle=False)
    fleet.end_unused(store)


def _switched(state: PlatformState, old: Sequence[InstanceState], new: Sequence[InstanceState]) -> PlatformState:
    """New instances serve, old ones retire."""
    roles: dict[str, Role] = {each.name: "retiring" for each in old}
    roles |= {each.name: "serving" for each in new}
    changed = (each.model_copy(update={"role": roles[each.name]}) for each in state.instances if each.name in roles)
    return state.with_instances(*changed)


def take_back(store: Store, phase: str) -> bool:
    """Puts the platform back to what it was before a phase; True when that was then seen to be so.

    What ran before is started again where it was stopped and serves again, configurations are as they were, and what
    came since is stopped.
    """
    folder, saved, now = store.folder, load(store.saved(phase)), store.read()
    before = {each.name for each in saved.instances if each.started}
    gone = [each for each in saved.instances if each.started and one.running(folder, each.name) is None]
    newer = [each for each in now.instances if each.name not in before]
    store.update(lambda state: _restored(saved, state))
    fleet.start(store, gone)
    fleet.refresh(store, settle=True)
    fleet.stop(folder, now, newer)
    for each in newer:
        supervisor.forget(folder, each.name)
    fleet.write_rules(store)
    state = store.read()
    names = before | {each.name for each in now.instances}
    alive = {name for name in names if one.running(folder, name)}
    return alive == before and all(one.look(folder, state, state.instance(name)).ok for name in before)


def _restored(saved: PlatformState, now: PlatformState) -> PlatformState:
    """The saved state, except for what is true of the present whatever is wanted: names that were given away, and what
    lies on disk and runs of each instance."""
    present = {each.name: each for each in now.instances}
    kept = ("script_sha256", "files_sha256", "pid", "start_time")
    instances = tuple(
        each.model_copy(update={key: getattr(present[each.name], key) for key in kept})
        if each.name in present
        else each
        for each in saved.instances
    )
    return saved.model_copy(update={"indexes": now.indexes, "instances": instances})


def _give_back(store: Store, phase: Phase, error: BaseException, report: Report) -> None:
    verified = False
    try:
        verified = take_back(store, phase.name)
    finally:
        if not verified or not load(store.saved(phase.name)).endpoints:  # never was up, or is not what it was
            store.update(lambda state: state.model_copy(update={"status": "failed"}))
        reason = str(error) or type(error).__name__
        report(PhaseTakenBack(phase=phase.name, reason=reason, verified=verified))


def _finish(store: Store, phase: Phase, begun: float, report: Report, carried_out: str = "") -> None:
    store.update(lambda state: state.model_copy(update={"phases": tuple(dict.fromkeys((*state.phases, phase.name)))}))
    report(
        PhaseDeployed(
            phase=phase.name,
            strategy=phase.strategy,
            carried_out=carried_out,
            seconds=time.monotonic() - begun,
            services=phase.services,
        )
    )


def finish(store: Store, begun: float, report: Report) -> None:
    """The platform is up: its endpoints go into the attach file, the time it took into the report."""
    state = store.read()
    context, points = Context(store.folder, state), state.spec.endpoints
    named = {"edge": points.edge, "prometheus": points.prometheus, "alertmanager": points.alertmanager}
    endpoints = {name: endpoint(context, text) for name, text in named.items() if text}
    store.update(lambda state: state.model_copy(update={"status": "up", "endpoints": endpoints}))
    seconds, count = time.monotonic() - begun, len(state.of())
    report(Deployed(release=state.release, seconds=seconds, instances=count, endpoints=endpoints))


def check_gates(
    store: Store,
    phase: Phase,
    report: Report,
    old: Sequence[InstanceState] = (),
    new: Sequence[InstanceState] = (),
) -> None:
    """All gates of a phase at once, each polled to its deadline.

    With `new`, only the gates that ask these instances, as if they served in place of `old` already. Every attempt is
    kept in gates.jsonl. Raises TargetError with the gates that did not hold.
    """
    state, folder, names = store.read(), store.folder, [each.name for each in new]
    gates = [gate for gate in phase.gates if not new or _asks(gate, {each.service for each in new})]
    if new:
        state = _switched(state, old, new)
        newest_first = sorted(state.instances, key=lambda each: each.name not in names)
        state = state.model_copy(update={"instances": tuple(newest_first)})
    see_hold(phase.name, gates, lambda gate: gate_look(folder, state, gate, names), folder.gates, report)


def _asks(gate: Gate, services: set[str]) -> bool:
    """Whether a gate looks at one of these services, by name or by address."""
    if gate.http is None:
        return False
    addressed = {found.service for found in placeholders(gate.http.path) if isinstance(found, Address)}
    return gate.http.service in services or bool(addressed & services)
