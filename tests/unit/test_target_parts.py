"""The parts of the local target that compute, without a process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from harness.errors import BadInput, TargetError
from harness.model.platform import HttpCheck
from harness.spec.platform import load_platform
from harness.targets import leases, procfs
from harness.targets.checks import PLACEHOLDER_SECRET, public_addresses
from harness.targets.folder import PlatformFolder, make_private, state_root
from harness.targets.probe import MISSING, Look, at_pointer, command_look, judge, poll
from harness.targets.render import Context, endpoint, render, run_script
from harness.targets.restart_policy import Policy, Rule, read_event
from harness.targets.rollout import first_batches, replacing_batches, unused
from harness.targets.state import InstanceState, PlatformState, boot_id, load, save
from harness.targets.supervisor import escape, exit_codes

SMALL = Path(__file__).parent.parent / "fixtures" / "small"


def instance(name: str, **values: object) -> InstanceState:
    service, region, index = name.rsplit("-", 2)
    return InstanceState.model_validate(
        {
            "name": name,
            "service": service,
            "region": region,
            "index": int(index),
            "release": "1",
            "ports": {"http": 20_000 + int(index)},
            "phase": "p",
        }
        | values
    )


def state_of(*instances: InstanceState) -> PlatformState:
    return PlatformState(
        id="small-000000",
        name="small",
        platform_file=str(SMALL / "platform.yaml"),
        platform_sha256="",
        source=str(SMALL),
        host="here",
        boot_id=boot_id(),
        created_wall_ns=0,
        python="/usr/bin/python",
        release="1",
        instances=instances,
        spec=load_platform(SMALL / "platform.yaml").value.spec,
    )


# -- order of a rollout


def names(batches: list[list[InstanceState]]) -> list[str]:
    return [" ".join(each.name for each in batch) for batch in batches]


A0, A1, B0 = instance("a-e-0"), instance("a-e-1"), instance("b-e-0")


@pytest.mark.parametrize(
    ("strategy", "first", "replacing"),
    [
        ("parallel", ["a-e-0 a-e-1 b-e-0"], ["a-e-0 b-e-0", "a-e-1"]),
        ("blue-green", ["a-e-0 a-e-1 b-e-0"], ["a-e-0 a-e-1 b-e-0"]),
        ("canary", ["a-e-0 a-e-1 b-e-0"], ["a-e-0 b-e-0", "a-e-1"]),
        ("rolling", ["a-e-0", "a-e-1", "b-e-0"], ["a-e-0", "a-e-1", "b-e-0"]),
        ("sequential", ["a-e-0 a-e-1", "b-e-0"], ["a-e-0", "a-e-1", "b-e-0"]),
    ],
)
def test_batches(strategy, first: list[str], replacing: list[str]) -> None:
    assert names(first_batches(strategy, [A0, A1, B0])) == first
    assert names(replacing_batches(strategy, [A0, A1, B0])) == replacing
    assert first_batches(strategy, []) == replacing_batches(strategy, []) == []


def test_a_retiring_instance_is_kept_as_long_as_something_that_stays_uses_it() -> None:
    old, older = instance("a-e-0", role="retiring"), instance("b-e-0", role="retiring", uses=("a-e-0",))
    assert unused([old, instance("c-e-0", uses=("a-e-0",))]) == []
    assert unused([old, instance("c-e-0")]) == [old]
    assert unused([old, older, instance("c-e-0", uses=("b-e-0",))]) == []  # through another one
    assert unused([old, older, instance("c-e-0")]) == [old, older]  # only each other


# -- placeholders and templates


def test_placeholders_lead_to_the_own_region_and_to_serving_instances() -> None:
    state = state_of(
        instance("base-east-0", role="retiring"),
        instance("base-east-1"),
        instance("base-west-0", ports={"http": 30_000}),
        instance("app-west-0"),
    )
    folder = PlatformFolder(Path("/p/small-000000"))
    context = Context(folder, state, state.instance("app-west-0"))
    assert context.fill("${base.http} ${base@east.http}") == "127.0.0.1:30000 127.0.0.1:20001"
    assert context.used == {"base-west-0", "base-east-1"}
    assert context.fill("${instance} ${region} ${index} ${release} ${port.http}") == "app-west-0 west 0 1 20000"
    assert context.fill("${state} ${platform}") == "/p/small-000000/i/app-west-0 /p/small-000000"
    assert context.fill("${device.gpu-east-0}") == "/p/small-000000/devices/gpu-east-0"
    assert endpoint(Context(folder, state), "app@west.http") == "http://127.0.0.1:20000"
    assert endpoint(Context(folder, state), "x://${app@west.http}/y") == "x://127.0.0.1:20000/y"


def test_templates_see_serving_instances_and_canaries_only_when_asked(tmp_path: Path) -> None:
    template = "{% for i in instances('app', canary=ALL) %}{{ i.name }}{{ i.canary }} {% endfor %}{{ region }}"
    canary, starting = instance("app-east-1", role="canary"), instance("app-east-2", role="starting")
    state = state_of(instance("app-east-0"), canary, starting)
    state = state.model_copy(update={"source": str(tmp_path)})
    edge = InstanceState(name="edge-0", service="edge", region="", index=0, release="", ports={"http": 1}, phase="p")
    state = state.with_instances(edge)
    (tmp_path / "backends.json.j2").write_text(template.replace("=ALL", "=false"))
    assert render(PlatformFolder(Path("/p/x")), state, edge).files == {"backends.json": "app-east-0False "}
    (tmp_path / "backends.json.j2").write_text(template.replace("=ALL", "=true"))
    rendered = render(PlatformFolder(Path("/p/x")), state, edge)
    assert rendered.files == {"backends.json": "app-east-0False app-east-1True "}
    assert rendered.uses == ("app-east-0", "app-east-1")


@pytest.mark.parametrize(
    ("template", "line", "cause"),
    [
        ("ok\n{{ nothing }}", 2, "'nothing' is undefined"),
        ("ok\n\n{% for %}", 3, ""),
        ("{{ instances('nothing') }}", 1, "no service 'nothing'"),
        ("\n{{ port.nothing }}", 2, "has no attribute 'nothing'"),
    ],
)
def test_a_wrong_template_is_told_with_its_line(tmp_path: Path, template: str, line: int | None, cause: str) -> None:
    (tmp_path / "backends.json.j2").write_text(template)
    edge = InstanceState(name="edge-0", service="edge", region="", index=0, release="", ports={"http": 1}, phase="p")
    state = state_of(edge).model_copy(update={"source": str(tmp_path)})
    with pytest.raises(BadInput) as caught:
        render(PlatformFolder(Path("/p/x")), state, edge)
    assert cause in str(caught.value)
    assert caught.value.line == line


def test_the_release_sets_the_environment_of_released_services_only() -> None:
    state = state_of(instance("app-east-0", release="crashing"), instance("base-east-0", release=""))
    folder = PlatformFolder(Path("/p/x"))
    assert render(folder, state, state.instance("app-east-0")).environment["EXIT"] == "3"
    environment = render(folder, state, state.instance("base-east-0")).environment
    assert "EXIT" not in environment
    assert environment["NOTE"] == "${HOME} stays"
    assert environment["HARNESS_PLATFORM"] == "x"


def test_a_script_leaves_a_note_and_becomes_the_program_with_every_character_kept(tmp_path: Path) -> None:
    folder = PlatformFolder(tmp_path)
    for path in (folder.logs, tmp_path / "process", folder.instance("a-e-0")):
        path.mkdir(parents=True)
    odd = 'it\'s $HOME `x` "y" %(z)s ; # \\ \n end'
    script = run_script(
        folder, "a-e-0", ["/bin/sh", "-c", 'printf "%s|" "$1" "$ODD" "$PWD"; echo $$', "sh", odd], {"ODD": odd}
    )
    (tmp_path / "script").write_text(script)
    child = subprocess.Popen(["/bin/sh", str(tmp_path / "script")])
    assert child.wait(10) == 0
    assert folder.log("a-e-0").read_text() == f"{odd}|{odd}|{folder.instance('a-e-0')}|{child.pid}\n"
    assert procfs.parse_stat(folder.process("a-e-0").read_text()).pid == child.pid


# -- judging answers


def answer(check: dict[str, object], status: int = 200, text: str = "{}", seconds: float = 0.1) -> list[str]:
    return judge(HttpCheck.model_validate({"path": "/", **check}), status, {"x-level": "1"}, text, seconds)


def test_an_answer_as_expected() -> None:
    check = {
        "expect": {"/a/b": 1, "/list/0": "x", "": {"a": {"b": 1, "r": 0.9}, "list": ["x"]}},
        "at_least": {"/a/r": 0.9},
        "at_most": {"/a/r": 0.9},
        "expect_headers": {"X-Level": "1"},
        "faster_than": "1s",
    }
    assert answer(check, text='{"a": {"b": 1, "r": 0.9}, "list": ["x"]}') == []


@pytest.mark.parametrize(
    ("check", "text", "said"),
    [
        ({"expect": {"/a": 1}}, "{}", "/a is missing, not 1"),
        ({"expect": {"/a": None}}, "{}", "/a is missing, not None"),
        ({"expect": {"/a": True}}, '{"a": 1}', "/a is 1, not True"),
        ({"expect": {"/a": 1}}, '{"a": true}', "/a is True, not 1"),
        ({"at_least": {"/a": 0.9}}, '{"a": 0.89}', "at least 0.9"),
        ({"at_least": {"/a": 0.9}}, '{"a": true}', "at least 0.9"),
        ({"at_least": {"/a": 0.9}}, '{"a": NaN}', "at least 0.9"),
        ({"at_most": {"/a": 8}}, '{"a": "7"}', "at most 8"),
        ({"expect": {"/a": 1}}, "<html>", "not JSON"),
        ({"expect_headers": {"x-level": "2"}}, "{}", "header x-level is '1', not '2'"),
        ({"expect_headers": {"x-other": "2"}}, "{}", "header x-other is None"),
        ({"faster_than": "50ms"}, "{}", "took 0.100 s"),
        ({"status": 204}, "{}", "status 200, not 204"),
    ],
)
def test_an_answer_that_is_wrong(check: dict[str, object], text: str, said: str) -> None:
    assert said in "; ".join(answer(check, text=text))


def test_pointers_follow_rfc_6901() -> None:
    document = {"a/b": {"m~n": [1, {"": 2}]}}
    assert at_pointer(document, "/a~1b/m~0n/1/") == 2
    assert at_pointer(document, "") is document
    for nowhere in ("/x", "/a~1b/m~0n/2", "/a~1b/m~0n/-1", "/a~1b/m~0n/x"):
        assert at_pointer(document, nowhere) is MISSING


def test_polling_keeps_its_attempts_and_looks_at_least_once() -> None:
    looks = iter([Look(False, "no"), Look(False, "no"), Look(True, "yes")])
    ok, attempts = poll(lambda: next(looks), within=5, every=0.001)
    assert ok
    assert [each.look.evidence for each in attempts] == ["no", "no", "yes"]
    assert attempts[0].at_ns < attempts[1].at_ns
    ok, attempts = poll(lambda: Look(False, "no"), within=0, every=1)
    assert (ok, len(attempts)) == (False, 1)
    ok, attempts = poll(lambda: Look(False, "no"), within=60, every=0.001, give_up=lambda: "hopeless")
    assert (ok, attempts[-1].look.evidence) == (False, "hopeless")
    ok, attempts = poll(lambda: Look(False, "no"), within=0.5, every=0.0001)
    assert (ok, len(attempts) <= 200) == (False, True)


def test_a_command_is_evidence_and_ends_with_its_whole_group(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"]}
    assert command_look(["sh", "-c", "echo yes"], environment, tmp_path, 5) == Look(True, "exit 0: yes")
    assert command_look(["sh", "-c", "echo no >&2; exit 3"], environment, tmp_path, 5) == Look(False, "exit 3: no")
    assert command_look(["no-such-program"], environment, tmp_path, 5).ok is False
    look = command_look(["sh", "-c", "sleep 61 & echo $!; wait"], environment, tmp_path, 0.2)
    assert not look.ok
    assert "not done within 0.2 s" in look.evidence
    left = int(look.evidence.split(": ")[1])
    assert procfs.wait_gone(lambda: [seen for seen in (procfs.look(left),) if seen and seen.alive], 5)


# -- restarts


def policy(*waits: float, forget_after: float = 60) -> Policy:
    return Policy(lambda _: Rule(waits, forget_after))


def test_restarts_wait_longer_each_time_and_end() -> None:
    one = policy(2, 4, 8)
    one.started("a", 0)
    assert one.exited("a", 1, 10).due == 12
    assert one.due(11.9) == []
    assert one.due(12) == ["a"]
    assert one.next_due() == 12
    one.started("a", 12)
    assert one.due(13) == []
    assert one.exited("a", 2, 13).due == 17
    one.started("a", 17)
    assert one.exited("a", 3, 18).due == 26
    one.started("a", 26)
    last = one.exited("a", 4, 27)
    assert (last.due, last.attempt) == (None, 3)
    assert one.next_due() is None


def test_attempts_are_forgotten_after_a_long_up_time_only() -> None:
    one = policy(2, 4, forget_after=60)
    one.started("a", 0)
    one.exited("a", 1, 1)
    one.started("a", 3)
    assert one.exited("a", 2, 62.9).due == 66.9
    one.started("a", 67)
    assert one.exited("a", 3, 127).due == 129


def test_no_rule_means_no_restart() -> None:
    one = Policy(lambda _: None)
    assert one.exited("a", 1, 0).due is None


def test_an_event_of_supervisord_is_read() -> None:
    import io

    body = b"processname:a-e-0 groupname:a-e-0 from_state:RUNNING expected:0 pid:7"
    head = f"ver:3.0 server:x serial:1 pool:p poolserial:1 eventname:PROCESS_STATE_EXITED len:{len(body)}\n".encode()
    stream = io.BytesIO(head + body)
    event = read_event(stream)
    assert event is not None
    assert (event["eventname"], event["processname"], event["pid"]) == ("PROCESS_STATE_EXITED", "a-e-0", "7")
    assert read_event(stream) is None


def test_exit_codes_are_read_from_supervisords_log() -> None:
    log = """2026 INFO spawned: 'a' with pid 3
2026 WARN exited: a (exit status 3; not expected)
2026 WARN exited: b-e-0 (terminated by SIGKILL; not expected)
2026 INFO stopped: c (terminated by SIGSEGV (core dumped))
2026 INFO exited: a (exit status 0; expected)
"""
    assert exit_codes(log) == {"a": 0, "b-e-0": -9, "c": -11}


def test_what_supervisord_would_take_apart_is_refused() -> None:
    assert escape("a%b") == "a%%b"
    with pytest.raises(TargetError):
        escape("a ;b")


# -- ports


def test_a_leased_port_is_given_once_and_again_after_its_end(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    ports = tmp_path / "ports"
    (free,) = leases.lease(one, [0], ports)
    assert leases.lease(other, [free], ports) != [free]
    leases.release(other, ports)
    assert leases.lease(other, [free, free], ports)[0] != free
    leases.release(one, ports)
    assert leases.lease(other, [free], ports) == [free]
    assert free in leases.held_by(other, ports)


def test_a_lease_ends_with_its_holders_folder(tmp_path: Path) -> None:
    one, other, ports = tmp_path / "one", tmp_path / "other", tmp_path / "ports"
    one.mkdir()
    other.mkdir()
    (free,) = leases.lease(one, [0], ports)
    one.rmdir()
    assert leases.lease(other, [free], ports) == [free]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_port_somebody_listens_on_is_not_given(tmp_path: Path, host: str) -> None:
    family = socket.AF_INET6 if host == "::" else socket.AF_INET
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()
        port = server.getsockname()[1]
        assert not leases.bindable(port)
        assert leases.lease(tmp_path, [port], tmp_path / "ports") != [port]
        assert procfs.listeners(port)
        assert procfs.holds_socket(os.getpid(), procfs.listeners(port))
    assert leases.bindable(port)
    assert not procfs.listeners(port)


# -- processes


def test_a_command_with_brackets_and_spaces_is_parsed() -> None:
    fields = "S 1 2 3 4 5 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0"
    seen = procfs.parse_stat(f"12 (a) b (c)) {fields}")
    assert (seen.pid, seen.state, seen.parent, seen.group, seen.session, seen.start_time) == (12, "S", 1, 2, 3, 777)


def test_only_the_very_process_is_signalled() -> None:
    import signal

    child = subprocess.Popen(["sleep", "60"])
    try:
        seen = procfs.look(child.pid)
        assert seen is not None
        assert not procfs.send(child.pid, seen.start_time + 1, signal.SIGKILL)
        assert procfs.alive(child.pid, seen.start_time)
        assert procfs.send(child.pid, seen.start_time, signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
    assert not procfs.alive(child.pid, seen.start_time)
    assert not procfs.send(child.pid, seen.start_time, signal.SIGKILL)
    assert procfs.look(child.pid) is None


def test_families_of_processes() -> None:
    assert os.getpid() in procfs.ancestors(os.getpid())
    assert os.getppid() in procfs.ancestors(os.getpid())
    child = subprocess.Popen(["sleep", "60"])
    try:
        assert child.pid in procfs.descendants([os.getppid()], list(procfs.every()))
        assert child.pid not in procfs.descendants([child.pid], list(procfs.every()))
        assert procfs.working_directory(child.pid) == str(Path.cwd())
        assert "sleep" in procfs.command_line(child.pid)
    finally:
        child.kill()
        child.wait()


# -- folder and state


def test_somebody_elses_folder_in_a_shared_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(TargetError, match="not a folder of yours"):
        make_private(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(TargetError, match="HARNESS_STATE"):
        make_private(tmp_path / "file")


def test_the_state_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path))
    assert state_root() == tmp_path
    assert state_root(tmp_path / "x") == tmp_path / "x"
    monkeypatch.setenv("HARNESS_STATE", "")
    assert state_root().name == f"harness-{os.getuid()}"


def test_a_state_survives_its_way_to_disk(tmp_path: Path) -> None:
    state = state_of(instance("app-east-0", uses=("base-east-0",), started=True))
    save(tmp_path / "platform.json", state)
    assert load(tmp_path / "platform.json") == state
    assert [path.name for path in tmp_path.iterdir()] == ["platform.json"]
    assert json.loads((tmp_path / "platform.json").read_text())["spec"]["services"][0]["stop"]["timeout"] == "2s"


# -- checks


@pytest.mark.parametrize("value", ["changeme", "CHANGEME", "your-api-key", "sk-xxx", "sk-xxxxxxxx", "a:changeme@b"])
def test_a_placeholder_secret_is_seen(value: str) -> None:
    assert PLACEHOLDER_SECRET.search(value)


@pytest.mark.parametrize("value", ["", "sk-live-9a8b", "unchangemeans", "yours", "8.8.8.8", "loopback-only", "fxxk"])
def test_a_real_value_is_no_placeholder_secret(value: str) -> None:
    assert not PLACEHOLDER_SECRET.search(value)


def test_public_addresses_are_told_from_private_ones_and_from_versions() -> None:
    text = "10.1.2.3 127.0.0.1 192.168.0.1 0.0.0.0 203.0.113.7 8.8.8.8:53 1.2.3.4.5 999.1.1.1 v1.35.2 http://1.1.1.1/"
    assert public_addresses(text) == ["8.8.8.8", "1.1.1.1"]
