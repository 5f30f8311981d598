"""Certificates are verified wherever https is spoken; what is wrong with one is told before anything is measured."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from harness.errors import TargetError
from harness.metrics.prometheus import PrometheusSource, Unanswered
from harness.ports import Endpoints
from harness.targets.kubernetes import checks
from harness.testing.authority import issue
from harness.testing.fake_edge import serving
from harness.tls import distrusted


@pytest.fixture(autouse=True)
def _trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.crt"))


def endpoints(url: str) -> Endpoints:
    return Endpoints(edge=url, prometheus="", alertmanager="", databases={}, regions={"sjc": url}, extra={})


def test_one_that_is_right_is_believed(tmp_path: Path) -> None:
    with serving(tls=issue(tmp_path).server()) as (url, _):
        assert distrusted(url) == ""
        found: list[Any] = []
        checks.certificates(endpoints(url), found.append)
    assert [(each.name, each.passed, each.of) for each in found] == [("certificates are believed", 1, 1)]


@pytest.mark.parametrize(
    ("how", "trusted", "reason"),
    [
        ({"days": -1}, True, "certificate has expired"),
        ({"days": 0.5}, True, "ends in 1[12].* h"),
        ({"address": "127.0.0.2"}, True, "IP address mismatch"),
        ({}, False, "self-signed certificate"),
    ],
)
def test_one_that_is_not_is_told_and_ends_the_run(
    tmp_path: Path, how: dict[str, Any], trusted: bool, reason: str
) -> None:
    context = issue(tmp_path, **how).server()
    if not trusted:
        issue(tmp_path)  # in its place
    found: list[Any] = []
    with serving(tls=context) as (url, _), pytest.raises(TargetError, match=reason):
        checks.certificates(endpoints(url), found.append)
    assert [(each.passed, each.of) for each in found] == [(0, 1)]


def test_an_address_without_tls_and_one_where_nobody_is(tmp_path: Path) -> None:
    issue(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"https://127.0.0.1:{taken.getsockname()[1]}"
    assert "no TLS there" in distrusted(nobody)
    found: list[Any] = []
    checks.certificates(endpoints("http://127.0.0.1:1"), found.append)
    assert found == []


def test_prometheus_is_asked_by_https_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake edge is no Prometheus: what counts is whether its answer came."""
    with serving(tls=issue(tmp_path).server()) as (url, behaviour):
        with pytest.raises(Unanswered, match="refused"):
            PrometheusSource(url).targets()
        assert behaviour.served == 1
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing"))
        with pytest.raises(Unanswered, match="SSLError"):
            PrometheusSource(url).targets()
        assert behaviour.served == 1
