"""What can go wrong with the local target, on real processes: each promise with the case that breaks it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.errors import BadInput, BadInputs, TargetError
from harness.model.events import AnyEvent
from harness.spec.platform import load_platform
from harness.targets import leases, procfs, render
from harness.targets.local import LocalTarget, attach, local, status
from harness.targets.state import load

pytestmark = pytest.mark.real
SMALL = Path(__file__).parent.parent / "fixtures" / "small"
Make = Callable[..., LocalTarget]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Targets for the small platform with some of its text replaced; all are taken down at the end."""
    made: list[LocalTarget] = []

    def one(*edits: tuple[str, str]) -> LocalTarget:
        folder = tmp_path / f"source-{len(made)}"
        shutil.copytree(SMALL, folder)
        file = folder / "platform.yaml"
        text = file.read_text()
        for old, new in edits:
            assert old in text, old
            text = text.replace(old, new)
        file.write_text(text)
        made.append(local(load_platform(file), tmp_path))
        return made[-1]

    yield one
    left = [target.down() for target in made]
    assert all(each.clean for each in left), left


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def ignore(_: AnyEvent) -> None:
    pass


def get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=3) as answer:
        return answer.status, answer.headers["x-release"]


def test_two_platforms_at_once_do_not_meet(make: Make) -> None:
    one, other = make(), make()
    threads = [threading.Thread(target=each.up, args=("", ignore)) for each in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ports = [port for each in (one, other) for instance in each.instances() for port in instance.ports.values()]
    assert len(set(ports)) == len(ports) == 12
    assert one.down().clean
    assert other.ready() == []


def test_a_preferred_port_is_used_when_free_and_left_when_taken(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        target = make(
            (
                'command: ["${python}", "${source}/edge.py"]',
                f'command: ["${{python}}", "${{source}}/edge.py"]\n      ports: {{http: {number}}}',
            )
        )
        target.up("", ignore)
        assert target.instances("edge")[0].ports["http"] != number
    assert target.down().clean
    again = make(
        (
            'command: ["${python}", "${source}/edge.py"]',
            f'command: ["${{python}}", "${{source}}/edge.py"]\n      ports: {{http: {number}}}',
        )
    )
    again.up("", ignore)
    assert again.instances("edge")[0].ports["http"] == number


def test_a_port_that_somebody_took_meanwhile_is_replaced_and_everybody_is_told(make: Make) -> None:
    thieves: list[socket.socket] = []

    def steal(event: AnyEvent) -> None:
        if event.event == "phase.deployed" and event.phase == "foundation":
            port = target.instances("app", "east")[0].ports["http"]
            thieves.append(socket.create_server(("127.0.0.1", port)))

    target = make()
    target.up("", steal)
    stolen = thieves[0].getsockname()[1]
    assert target.instances("app", "east")[0].ports["http"] != stolen
    assert target.ready() == []
    assert str(stolen) not in (target.instances("edge")[0].state / "backends.json").read_text()
    assert target.down().clean
    thieves[0].close()


def test_a_stranger_that_answers_on_the_port_is_not_taken_for_the_instance(make: Make) -> None:
    strangers: list[subprocess.Popen[bytes]] = []

    def squat(event: AnyEvent) -> None:
        if event.event == "phase.deployed" and event.phase == "foundation":
            port = target.instances("app", "east")[0].ports["http"]
            env = {"PATH": os.environ["PATH"], "PORT": str(port), "RELEASE": "1"}
            strangers.append(subprocess.Popen([sys.executable, str(SMALL / "server.py")], env=env))
            eventually(lambda: bool(procfs.listeners(port)))

    target = make()
    try:
        target.up("", squat)
        assert target.ready() == []
        assert target.down().clean
        assert strangers[0].poll() is None, "a process of somebody else was ended"
    finally:
        for stranger in strangers:
            stranger.kill()
            stranger.wait()


def test_a_missing_program_is_told_before_anything_starts(make: Make) -> None:
    target = make(('command: ["${python}", "${source}/edge.py"]', "command: [no-such-program]"))
    with pytest.raises(BadInputs, match=r"platform\.yaml:\d+: spec\.services\[2\]\.command\[0\].*no-such-program"):
        target.up("", ignore)
    assert not target.folder.root.exists()


def test_too_little_memory_is_told_before_anything_starts(make: Make) -> None:
    target = make(("memory_mib: 16", "memory_mib: 99999999"))
    with pytest.raises(TargetError, match="memory"):
        target.up("", ignore)
    assert not target.folder.root.exists()


def test_an_unknown_release_is_told_before_anything_starts(make: Make) -> None:
    target = make()
    with pytest.raises(BadInput, match="no release '7'"):
        target.up("7", ignore)
    assert not target.folder.root.exists()


def test_a_phase_whose_gate_never_holds_is_taken_back(make: Make) -> None:
    target, events = make(), []
    with pytest.raises(TargetError, match="gate 'app is well' of phase 'application' did not hold"):
        target.up("unready", events.append)
    assert events[-1].event == "phase.taken-back"
    assert events[-1].verified
    assert all(target.status(each).alive for each in target.instances("base"))
    assert not any(target.status(each).alive for each in target.instances("app"))
    lines = [json.loads(line) for line in target.folder.gates.read_text().splitlines()]
    tried = [line for line in lines if line["gate"] == "app is well"]
    assert len(tried) > 2
    assert not any(line["ok"] for line in tried)
    assert "503" in tried[-1]["evidence"]


def test_a_service_that_keeps_crashing_is_given_up_after_its_attempts(make: Make) -> None:
    target = make(("ready_within: 10s", "ready_within: 60s"))
    begun = time.monotonic()
    with pytest.raises(TargetError, match=r"exit code 3(.|\n)*going to exit"):
        target.up("crashing", ignore)
    assert time.monotonic() - begun < 30, "the deadline was waited for although nothing could change any more"
    lines = [json.loads(line) for line in target.folder.restarts.read_text().splitlines()]
    of_one = [line for line in lines if line["instance"] == "app-east-0"]
    assert [line["what"] for line in of_one] == [
        "started",
        "exited",
        "restarted",
        "exited",
        "restarted",
        "exited",
        "gave-up",
    ]
    assert [line["attempt"] for line in of_one if line["what"] == "restarted"] == [1, 2]
    waits = [
        (later["mono_ns"] - earlier["mono_ns"]) / 1e9
        for earlier, later in itertools.pairwise(of_one)
        if later["what"] == "restarted"
    ]
    assert waits[0] >= 0.1
    assert waits[1] >= 0.2


def test_failing_preparation_is_told_with_its_words(make: Make) -> None:
    target = make(("ready_within: 10s", 'prepare: [["/bin/sh", "-c", "echo cannot prepare; exit 4"]]'))
    with pytest.raises(TargetError, match="preparing failed: /bin/sh: exit 4: cannot prepare"):
        target.up("", ignore)


def test_preparation_runs_once_in_the_instances_folder(make: Make) -> None:
    target = make(("ready_within: 10s", 'prepare: [["/bin/sh", "-c", "echo ${instance} >>prepared"]]'))
    target.up("", ignore)
    app = target.instances("app", "west")[0]
    old = target.kill(app)
    eventually(lambda: target.status(app).process not in (None, old))
    assert (app.state / "prepared").read_text() == "app-west-0\n"


def test_users_are_served_throughout_a_redeployment(make: Make) -> None:
    target = make()
    target.up("", ignore)
    url, releases, failures, over = target.endpoints().edge, [], [], threading.Event()

    def use() -> None:
        while not over.is_set():
            try:
                code, release = get(url)
                releases.append(release)
                if code != 200:
                    failures.append(code)
            except OSError as error:
                failures.append(error)
            time.sleep(0.005)

    user = threading.Thread(target=use)
    user.start()
    try:
        target.deploy("2", ignore)
        time.sleep(0.1)
    finally:
        over.set()
        user.join()
    assert failures == []
    assert set(releases) == {"1", "2"}
    assert releases[-1] == "2"


@pytest.mark.parametrize("strategy", ["parallel", "sequential", "rolling", "blue-green", "canary"])
def test_every_strategy_replaces_and_takes_back(make: Make, strategy: str) -> None:
    target, events = make(("strategy: rolling", f"strategy: {strategy}")), []
    target.up("", ignore)
    names = [each.name for each in target.instances("app")]
    with pytest.raises(TargetError, match="app is well"):
        target.deploy("unready", events.append)
    assert [each.event for each in events] == ["gate.checked", "phase.taken-back"]
    assert events[-1].verified
    assert sorted(each.name for each in target.instances("app")) == sorted(names)
    assert get(target.endpoints().edge) == (200, "1")
    target.deploy("2", ignore)
    assert [each.release for each in target.instances("app")] == ["2", "2", "2"]
    assert get(target.endpoints().edge) == (200, "2")


def test_a_phase_can_be_taken_back_after_it_succeeded(make: Make) -> None:
    target = make()
    target.up("", ignore)
    before = sorted(each.name for each in target.instances())
    target.deploy("2", ignore)
    assert target.take_back("application")
    assert sorted(each.name for each in target.instances()) == before
    assert target.ready() == []
    assert get(target.endpoints().edge) == (200, "1")


def test_a_redeployment_is_refused_when_the_edge_could_not_be_told(make: Make) -> None:
    target = make(("reload: {signal: HUP, settle: 100ms}", "title: An edge that never reads again"))
    target.up("", ignore)
    with pytest.raises(BadInput, match=r"'edge'.*no `reload`"):
        target.deploy("2", ignore)
    assert get(target.endpoints().edge) == (200, "1")


def test_whoever_is_configured_with_a_replaced_instance_keeps_it_until_replaced_itself(make: Make) -> None:
    """base is released here as well: app has its address in the environment."""
    target = make(("instances: {east: 1, west: 1}\n", "instances: {east: 1, west: 1}\n      released: true\n"))
    target.up("", ignore)
    old = [each.ports["http"] for each in target.instances("base")]
    seen = []

    def look(event: AnyEvent) -> None:
        if event.event == "phase.deployed" and event.phase == "foundation":
            seen.extend(bool(procfs.listeners(port)) for port in old)

    target.deploy("2", look)
    assert seen == [True, True], "an instance was ended that others were still configured with"
    assert not any(procfs.listeners(port) for port in old)
    assert {each.release for each in target.instances("base")} == {"2"}
    assert target.ready() == []


def test_services_outlive_supervisord_and_down_finds_them_all(make: Make) -> None:
    target = make()
    target.up("", ignore)
    os.kill(load(target.folder.state).supervisor_pid, signal.SIGKILL)
    time.sleep(0.1)
    assert target.ready() == []
    base = target.instances("base", "east")[0]
    target.kill(base)
    with pytest.raises(TargetError, match="supervisord"):
        target.start(base)
    (listed,) = [each for each in status(target.folder.root.parent) if each.reference == target.reference]
    assert not listed.supervised
    assert listed.not_ready == ("base-east-0",)
    assert attach(target.folder.root).down().clean


def test_a_killed_restart_policy_comes_back_and_goes_on(make: Make) -> None:
    target = make()
    target.up("", ignore)
    keeper = load(target.folder.state).supervisor_pid
    policies = [
        seen
        for seen in procfs.every()
        if seen.parent == keeper and "harness.targets.restart_policy" in procfs.command_line(seen.pid)
    ]
    assert len(policies) == 1
    base = target.instances("base", "east")[0]
    os.kill(policies[0].pid, signal.SIGKILL)
    old = target.kill(base)  # dies while nobody looks after it
    eventually(lambda: target.status(base).process not in (None, old))
    eventually(lambda: target.status(base).restarts == 1)  # written down just after the start


def test_daemons_and_deaf_services_are_ended_and_bystanders_are_not(make: Make, tmp_path: Path) -> None:
    target = make(
        (
            'env: {PORT: "${port.http}", NOTE: "$${HOME} stays"}',
            'env: {PORT: "${port.http}", CHILD: "yes", DEAF: "yes"}',
        ),
        ("timeout: 2s}\n      logs", "timeout: 200ms}\n      logs"),
    )
    target.up("", ignore)
    bystander = subprocess.Popen(
        ["sleep", "600"], cwd=tmp_path, env={"PATH": os.environ["PATH"], "LOOKS_AT": str(target.folder.root)}
    )
    reader = subprocess.Popen(["tail", "-f", str(target.folder.log("base-east-0"))], stdout=subprocess.DEVNULL)
    daemons = [
        seen.pid
        for seen in procfs.every()
        if procfs.environment(seen.pid).get(b"HARNESS_PLATFORM") == target.folder.id.encode()
        and seen.session == seen.pid
    ]
    try:
        assert len(daemons) == 3  # supervisord and a stray child of each base
        assert target.down().clean
        assert not any(seen.alive for pid in daemons if (seen := procfs.look(pid)))
        assert bystander.poll() is None
        assert reader.poll() is None
    finally:
        for each in (bystander, reader):
            each.kill()
            each.wait()


def test_a_group_dies_with_its_first_process(make: Make) -> None:
    """As in a container: otherwise a left-over worker would go on serving the port."""
    target = make(
        (
            'command: ["${python}", "${source}/edge.py"]',
            'command: ["/bin/sh", "-c", "sleep 600 & exec ${python} ${source}/edge.py"]',
        )
    )
    target.up("", ignore)
    edge = target.instances("edge")[0]
    process = target.kill(edge)
    eventually(lambda: not [seen for seen in procfs.every() if seen.group == process.pid and seen.alive])
    eventually(lambda: target.status(edge).alive)


def test_a_killed_harness_leaves_a_platform_that_a_cold_process_ends(make: Make, tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from harness.spec.platform import load_platform
from harness.targets.local import local
target = local(load_platform(Path({str(SMALL / "platform.yaml")!r})), Path({str(tmp_path)!r}))
print(target.reference, flush=True)
def die(event):
    if event.event == "phase.deployed" and event.phase == "application":
        os.kill(os.getpid(), signal.SIGKILL)
target.up("", die)
"""
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    target = attach(child.stdout.strip())
    app = target.instances("app", "west")[0]
    old = target.kill(app)
    eventually(lambda: target.status(app).process not in (None, old))  # restarts go on without the harness
    assert target.down().clean
    assert attach(child.stdout.strip()).down().clean


def test_an_interruption_ends_the_wait_and_takes_the_phase_back(make: Make) -> None:
    target = make(
        ('expect: {/release: "${release}"}}', "expect: {/release: never}}"), ("ready_within: 10s", "ready_within: 60s")
    )

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def arm(event: AnyEvent) -> None:
        if event.event == "phase.deployed":
            signal.setitimer(signal.ITIMER_REAL, 0.5)

    before = signal.signal(signal.SIGALRM, interrupt)
    begun = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            target.up("", arm)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - begun < 20
    assert not any(target.status(each).alive for each in target.instances("app"))


def test_what_is_wrong_after_a_deployment_is_found(make: Make) -> None:
    target = make(
        ('NOTE: "$${HOME} stays"', 'TOKEN: changeme, DNS: "8.8.8.8"'),
        ('logs: {success: ["Server is up"]}', 'logs: {success: ["never said"], failure: ["Server is up"]}'),
        ("expect: {/path: /y}", "expect: {/path: /z}"),
        ("the edge passes requests on, within: 5s", "the edge passes requests on, within: 100ms"),
    )
    target.up("", ignore)
    target.kill(target.instances("app", "west")[0])
    eventually(lambda: target.status(target.instances("app", "west")[0]).restarts == 1)
    checks: dict[str, str] = {}

    def note(event: AnyEvent) -> None:
        if event.event == "check" and event.passed < event.of:
            checks[event.name] = event.detail

    target.stop(target.instances("edge")[0])
    target.check(note)
    assert set(checks) == {
        "every health endpoint answers",
        "no instance is restarting",
        "logs show success",
        "logs show no failure",
        "no placeholder secret",
        "no hard-coded public address",
        "the edge passes requests on",
    }
    assert "edge-0" in checks["every health endpoint answers"]
    assert "app-west-0" in checks["no instance is restarting"]
    assert "base-east-0: TOKEN" in checks["no placeholder secret"]
    assert "8.8.8.8" in checks["no hard-coded public address"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may change to another user")
def test_an_instance_runs_as_its_user(make: Make) -> None:
    as_nobody = """user: nobody
      ports: {}
      prepare: [["/bin/sh", "-c", "id -un >prepared-by"]]
      command: ["/bin/sh", "-c", "id -un >run-by; echo $HOME; exec sleep 600"]
      files: [{template: backends.json.j2, to: sub/backends.json}]"""
    target = make(
        ('command: ["${python}", "${source}/edge.py"]\n      env: {PORT: "${port.http}"}', as_nobody),
        ("      files: [{template: backends.json.j2, to: backends.json}]\n      health: {path: /edge-health}\n", ""),
        ("    edge: edge.http", "    edge: app@east.http"),
        ("service: edge, path: /y", "service: app, path: /y"),
    )
    for parent in target.folder.root.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    target.up("", ignore)
    edge = target.instances("edge")[0]
    assert (edge.state / "run-by").read_text() == (edge.state / "prepared-by").read_text() == "nobody\n"
    assert (edge.state / "sub" / "backends.json").owner() == "nobody"
    process = target.status(edge).process
    assert process
    assert Path(f"/proc/{process.pid}").owner() == "nobody"


def test_leases_end_with_their_platform(make: Make) -> None:
    target = make()
    target.up("", ignore)
    assert len(leases.held_by(target.folder.root)) == 6
    assert target.down().clean
    assert leases.held_by(target.folder.root) == []


def test_a_state_folder_with_too_long_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="HARNESS_STATE"):
        local(load_platform(SMALL / "platform.yaml"), tmp_path / ("x" * 100))


def test_what_is_no_platform_cannot_be_attached(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no platform"):
        attach(tmp_path / "something")
    with pytest.raises(TargetError, match="no platform"):
        attach(tmp_path / "small-abcdef").ready()


def test_a_damaged_attach_file_is_told_and_down_still_works(make: Make) -> None:
    target = make()
    target.up("", ignore)
    target.folder.state.write_text("{}")
    with pytest.raises(TargetError, match="damaged"):
        target.ready()
    assert [each.status for each in status(target.folder.root.parent)] == ["unreadable"]
    assert target.down().clean


def test_a_recycled_pid_is_never_signalled(make: Make) -> None:
    target = make()
    target.up("", ignore)
    base = target.instances("base", "east")[0]
    process = target.status(base).process
    assert process
    victim = subprocess.Popen(["sleep", "600"])
    try:
        note = target.folder.process(base.name)
        note.write_text(note.read_text().replace(str(process.pid), str(victim.pid), 1))
        assert not target.status(base).alive
        with pytest.raises(TargetError), suppress(BadInput):
            target.kill(base)
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_a_folder_that_can_no_longer_be_written_to_is_told_and_down_still_works(make: Make) -> None:
    def spoil(event: AnyEvent) -> None:
        if event.event == "phase.deployed":
            target.folder.saved.rename(target.folder.root / "elsewhere")
            target.folder.saved.touch()

    target = make()
    with pytest.raises(TargetError, match=r"saved/.*\n  fix: .*HARNESS_STATE"):
        target.up("", spoil)
    assert target.down().clean


def test_what_is_logged_after_the_first_check_is_not_about_the_deployment(make: Make) -> None:
    target = make(('logs: {success: ["Server is up"]}', 'logs: {success: ["Server is up"], failure: ["refused"]}'))
    target.up("", ignore)
    log = target.folder.log("base-east-0")
    wrong: list[str] = []

    def note(event: AnyEvent) -> None:
        if event.event == "check" and event.passed < event.of:
            wrong.append(event.name)

    target.check(note)
    log.write_text(log.read_text() + "Connection refused\n")
    target.check(note)
    assert wrong == []
    target.folder.checked.unlink()
    target.check(note)
    assert wrong == ["logs show no failure"]


def test_a_secret_is_made_once_and_kept_from_everybody_else(make: Make) -> None:
    target = make(
        ('NOTE: "$${HOME} stays"', 'NOTE: "${secret.db}", OTHER: "${secret.other}"'),
        ("base://${base@east.http}", "base://me:${secret.db}@${base@east.http}"),
    )
    told: list[AnyEvent] = []
    target.up("", told.append)
    root = target.folder.root
    secret = target.endpoints().databases["east"].removeprefix("base://me:").partition("@")[0]
    assert len(secret) >= 32
    environments = [
        procfs.environment(process.pid) for each in target.instances("base") if (process := target.status(each).process)
    ]
    assert [environment[b"NOTE"].decode() for environment in environments] == [secret, secret]
    assert environments[0][b"OTHER"].decode() != secret
    assert attach(target.reference).endpoints().databases == target.endpoints().databases

    assert secret not in "".join(event.model_dump_json() for event in told)
    holders = [path for path in root.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert {str(path.relative_to(root)) for path in holders} == {
        "control/secrets.json",
        "run/base-east-0",
        "run/base-west-0",
    }
    assert all(path.stat().st_mode & 0o077 == 0 for path in (*holders, target.folder.state))

    other = make(('NOTE: "$${HOME} stays"', 'NOTE: "${secret.db}"'))
    assert render.secret(target.folder, "db") == secret
    other.up("", ignore)
    assert render.secret(other.folder, "db") != secret
