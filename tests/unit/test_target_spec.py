"""Platform files: every mistake a schema cannot see is told with its line and a fix."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.errors import BadInputs
from harness.spec.placeholders import (
    Address,
    DevicePath,
    Name,
    OwnPort,
    Secret,
    parse_placeholder,
    placeholders,
    substitute,
)
from harness.spec.platform import load_platform

SMALL = Path(__file__).parent.parent / "fixtures" / "small"


@pytest.fixture
def told(tmp_path: Path):
    """What is said of the small platform with one piece of its text replaced, and the line of that piece."""
    (tmp_path / "backends.json.j2").write_text("[]")

    def tell(old: str, new: str) -> tuple[str, int]:
        text = (SMALL / "platform.yaml").read_text()
        assert text.count(old) >= 1, old
        line = text[: text.index(old)].count("\n") + 1
        file = tmp_path / "platform.yaml"
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(BadInputs) as caught:
            load_platform(file)
        return str(caught.value), line

    return tell


def test_the_small_platform_and_the_reference_platform_are_right() -> None:
    assert load_platform(SMALL / "platform.yaml").value.metadata.name == "small"
    for file in (SMALL.parent.parent.parent / "deploy").glob("platform*.yaml"):
        load_platform(file)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("depends: [base]", "depends: [bse]", "no service 'bse'\n  fix: did you mean 'base'?"),
        ("services: [app]", "services: [app, base]", "service 'base' stands in 2 phases"),
        ("services: [edge]", "services: [app]", "service 'edge' is in no phase"),
        ("- name: edge", "- name: app", "'app' is a name for the second time"),
        ("- name: interface", "- name: foundation", "'foundation' is a name for the second time"),
        ('{name: "2"}', '{name: "1"}', "'1' is a name for the second time"),
        ("east: 2", "north: 2", "no region 'north'"),
        ("east: 2", "east: -2", "negative number"),
        ("region: east, path", "region: north, path", "no region 'north'"),
        ("regions: [east, west]", "regions: [east, west, east]", "a second time"),
        ("${base.http}", "${base.grpc}", "has no port 'grpc'"),
        ("${base.http}", "${bse.http}", "no service 'bse'"),
        ("${base.http}", "${edge@east.http}", "has no instance in region 'east'"),
        ("${base.http}", "${HOME}", "unknown placeholder"),
        ("${base.http}", "${port.grpc}", "no port 'grpc' here"),
        ("${base.http}", "${device.tpu}", "no device 'tpu'"),
        ("base://${base@east.http}/db", "base://${base.http}/db", "write ${base@REGION.http}"),
        ("base://${base@east.http}/db", "base://${state}/db", "belongs to an instance"),
        ("edge: edge.http", "edge: edge", "neither service.port nor a URL"),
        ("edge: edge.http", "edge: edge.https", "has no port 'https'"),
        ("template: backends.json.j2", "template: nothing.j2", "no file 'nothing.j2'"),
        ("to: backends.json", "to: ../backends.json", "leads out of the instance's folder"),
        ("reload: {signal: HUP, settle", "reload: {signal: HUP, watched: true, settle", "one of signal, command"),
        ("health: {path: /edge-health}", "health: {path: edge-health}", "a path starts with /"),
        ("health: {path: /edge-health}", "health: {path: /x, port: grpc}", "has no port 'grpc'"),
        ("health: {path: /edge-health}", "metrics: {port: grpc}", "no port 'grpc'"),
        ("health: {path: /edge-health}", "health: {path: /x, expect: {level: 1}}", "is no JSON pointer"),
        ("health: {path: /edge-health}", "ports: {http: 70000}", "70000 is no port"),
        ('success: ["Server is up"]', 'success: ["(Server"]', "not a regular expression"),
        ("http: {service: base, path: /health", "http: {service: bse, path: /health", "no service 'bse'"),
        (", http: {path: /x, expect: {/path: /x}}", "", "needs either http or command"),
        ("- name: edge", "- name: port", "is a word of the placeholders"),
    ],
)
def test_a_mistake_is_told_with_its_line(told, old: str, new: str, said: str) -> None:
    text, _ = told(old, new)
    assert said in text
    assert "platform.yaml:" in text
    assert "fix:" in text


def test_the_line_is_that_of_the_mistake(told) -> None:
    text, line = told("depends: [base]", "depends: [bse]")
    assert f"platform.yaml:{line}: spec.services[1].depends[0]: no service 'bse'" in text


def test_services_that_wait_for_each_other(told) -> None:
    text, _ = told("health: {path: /health}\n", "health: {path: /health}\n      depends: [app]\n")
    assert "services wait for each other: base → app → base" in text
    assert "'app' is rolled out in a later phase than 'base'" in text


def test_all_mistakes_are_told_at_once(told) -> None:
    text, _ = told("depends: [base]", "depends: [bse, edgy]")
    assert "bse" in text
    assert "edgy" in text


def test_placeholders_are_parsed() -> None:
    assert parse_placeholder("state") == Name("state")
    assert parse_placeholder("port.http") == OwnPort("http")
    assert parse_placeholder("device.gpu0") == DevicePath("gpu0")
    assert parse_placeholder("secret.db-main") == Secret("db-main")
    assert parse_placeholder("unified-api@sjc.http") == Address("unified-api", "sjc", "http")
    assert placeholders("a ${state} b $${state} ${x.y}") == [Name("state"), Address("x", None, "y")]


@pytest.mark.parametrize("text", ["", "State", "port.", "a b", "x@.y", "service", "@r.p", "secret.", "secret.A b"])
def test_what_is_no_placeholder_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unknown placeholder"):
        parse_placeholder(text)


def test_an_escaped_placeholder_stays_as_text() -> None:
    assert substitute("$${HOME} ${state} $HOME {x}", lambda _: "S") == "${HOME} S $HOME {x}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("edge: edge.http", "edge: http://${edge.http}/${secret.db}"),
        ("regions: {east: app@east.http, west: app@west.http}", 'regions: {east: "http://${secret.db}"}'),
        ("http: {path: /x, expect", 'http: {path: "/${secret.db}", expect'),
        ("health: {path: /edge-health}", 'health: {path: "/${secret.db}"}'),
        ("${platform}/devices/gpu-east-0", "${platform}/${secret.db}"),
    ],
)
def test_a_secret_is_refused_where_it_would_be_recorded(told, old, new) -> None:
    text, line = told(old, new)
    assert "a secret would become part of the record" in text
    assert f":{line}" in text


def test_the_reference_platform_holds_no_password() -> None:
    text = (Path(__file__).parents[2] / "deploy" / "platform.yaml").read_text()
    assert re.findall(r"postgresql://[^:/@]+:([^@]+)@", text) == ["${secret.postgres}"] * 4
    assert re.findall(r"PASSWORD: *(.+)", text) == ["${secret.postgres}"]
