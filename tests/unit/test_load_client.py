"""The journeys' HTTP client, against a server that can do everything wrong."""

from __future__ import annotations

import contextlib
import resource
import socket
import time

import gevent
import pytest

from harness.errors import BadInput
from harness.load.client import Client, NoAnswer
from harness.model.records import Outcome
from harness.testing.authority import issue
from harness.testing.fake_edge import Behaviour, serving


@pytest.fixture(params=["http", "https"])
def client_of(request, tmp_path, monkeypatch):
    tls = None
    if request.param == "https":
        made = issue(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
        tls = made.server()

    @contextlib.contextmanager
    def client_of(how=None, **options):
        with serving(how or Behaviour(), tls) as (url, behaviour):
            client = Client(url, **{"timeout_s": 2.0, **options})
            try:
                yield client, behaviour
            finally:
                client.close()

    return client_of


def outcome_of(client, target="/api/ping"):
    with pytest.raises(NoAnswer) as caught:
        client.request("GET", target)
    return caught.value.outcome


def test_requests_one_after_another_share_a_connection(client_of):
    with client_of() as (client, behaviour):
        answers = [client.request("GET", "/api/ping") for _ in range(5)]
        assert [answer.status for answer in answers] == [200] * 5
        assert (behaviour.connections, client.opened) == (1, 1)


def test_new_connections_when_that_is_declared(client_of):
    with client_of(keep=False) as (client, behaviour):
        for _ in range(3):
            client.request("GET", "/api/ping")
        assert behaviour.connections == 3


def test_many_at_once_wait_for_nothing_but_their_own_response(client_of):
    with client_of(Behaviour(delay_s=0.2)) as (client, behaviour):
        jobs = [gevent.spawn(client.request, "GET", "/api/ping") for _ in range(50)]
        gevent.joinall(jobs, timeout=2)
        assert [job.value.status for job in jobs] == [200] * 50
        assert behaviour.connections == 50


@pytest.mark.parametrize("how", [Behaviour(chunked=True), Behaviour(close=True)])
def test_other_ways_to_send_a_response(client_of, how):
    with client_of(how) as (client, _):
        for _ in range(3):
            assert client.request("POST", "/api/chat", b'{"question": "What is 2 plus 3?"}').get("answer") == "5"


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again(client_of):
    with client_of(Behaviour(hangup=True)) as (client, behaviour):
        assert client.request("GET", "/api/ping").status == 200
        gevent.sleep(0.05)
        assert client.request("GET", "/api/ping").status == 200
        assert behaviour.connections == 2


def test_a_connection_idle_for_too_long_is_not_used_again(client_of):
    with client_of(idle_s=0.0) as (client, behaviour):
        for _ in range(2):
            client.request("GET", "/api/ping")
        assert behaviour.connections == 2


def test_a_response_cut_short_is_broken(client_of):
    with client_of(Behaviour(cut=True)) as (client, _):
        assert outcome_of(client) is Outcome.BROKEN


def test_a_server_that_hangs_times_out_each_on_its_own_deadline(client_of):
    with client_of(Behaviour(hang=True), timeout_s=0.1) as (client, behaviour):
        jobs = [gevent.spawn(outcome_of, client) for _ in range(3)]
        gevent.sleep(0.05)
        jobs.append(gevent.spawn(outcome_of, client))
        gevent.joinall(jobs, timeout=2)
        assert [job.value for job in jobs] == [Outcome.TIMEOUT] * 4
        behaviour.hang = False
        assert client.request("GET", "/api/ping").status == 200


def test_the_late_answer_of_a_timed_out_request_is_nobody_elses(client_of):
    with client_of(Behaviour(delay_s=0.6), timeout_s=0.1) as (client, behaviour):
        assert outcome_of(client) is Outcome.TIMEOUT
        behaviour.delay_s = 0.0
        answer = client.request("POST", "/api/chat", b'{"question": "What is 1 plus 1?"}')
        gevent.sleep(0.7)
        assert answer.get("answer") == "2"
        assert behaviour.connections == 2


def test_a_late_read_does_not_make_the_server_slow(client_of):
    """The generator is busy while the answer comes: the kernel knows when it came."""
    with client_of() as (client, _):
        client.request("GET", "/api/ping")
        job = gevent.spawn(client.request, "GET", "/api/ping")
        gevent.sleep(0)
        time.sleep(0.8)  # not gevent's: nothing is read meanwhile
        woken = time.monotonic_ns()
        assert job.get(timeout=2).received_ns < woken - 100_000_000


def test_an_answer_that_came_in_time_but_is_read_late_is_no_time_out(client_of):
    with client_of(timeout_s=0.1) as (client, _):
        client.request("GET", "/api/ping")
        job = gevent.spawn(client.request, "GET", "/api/ping")
        gevent.sleep(0)
        time.sleep(0.8)
        assert job.get(timeout=2).status == 200


def test_nobody_listening_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets this port meanwhile
        client = Client(f"http://127.0.0.1:{taken.getsockname()[1]}", timeout_s=1.0)
        assert outcome_of(client) is Outcome.REFUSED
        client.close()


def test_no_descriptor_left_is_our_fault_not_the_servers(client_of):
    with client_of() as (client, _):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = socket.socket()
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno(), hard))
            assert outcome_of(client) is Outcome.DROPPED
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            lowest.close()
        assert client.request("GET", "/api/ping").status == 200


def test_a_server_that_speaks_something_else_is_broken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = Client(f"http://127.0.0.1:{server.getsockname()[1]}", timeout_s=1.0)
        job = gevent.spawn(outcome_of, client)
        gevent.sleep(0.02)
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"220 mail.example ESMTP\r\n\r\n")
            assert job.get(timeout=2) is Outcome.BROKEN
        client.close()


def test_a_body_larger_than_the_socket_takes_arrives_whole(client_of):
    with client_of() as (client, behaviour):
        text = "x" * 8_000_000
        body = b'{"key": "big", "text": "%b"}' % text.encode()
        assert client.request("POST", "/api/memory", body).status == 201
        assert behaviour.memories["big"] == text
        assert client.request("GET", "/api/memory/big").get("text") == text


def test_a_waiter_that_is_killed_gives_its_connection_up(client_of):
    with client_of(Behaviour(hang=True)) as (client, behaviour):
        job = gevent.spawn(client.request, "GET", "/api/ping")
        gevent.sleep(0.05)
        job.kill()
        behaviour.hang = False
        assert client.request("GET", "/api/ping").status == 200
        assert behaviour.connections == 2


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1:1", "127.0.0.1:80", "http://127.0.0.1:none", "http://", "http://no.such.host.invalid"]
)
def test_a_url_it_cannot_load_is_bad_input(url):
    with pytest.raises(BadInput):
        Client(url, timeout_s=1.0)


@pytest.mark.parametrize(
    ("served", "trusted", "reason"),
    [
        ({"days": -1}, "server", "expired"),
        ({"address": "127.0.0.2"}, "server", "IP address mismatch"),
        ({}, "other", "self-signed"),
    ],
)
def test_a_certificate_that_nobody_may_believe_is_no_answer(tmp_path, monkeypatch, served, trusted, reason):
    """Also where the server would answer: nothing of a request is sent."""
    made = issue(tmp_path, **served)
    issue(tmp_path, "other")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / f"{trusted}.crt"))
    with serving(tls=made.server()) as (url, behaviour):
        client = Client(url, timeout_s=2.0)
        with pytest.raises(NoAnswer) as caught:
            client.request("GET", "/api/ping")
        client.close()
    assert caught.value.outcome is Outcome.BROKEN
    assert reason in caught.value.detail
    assert behaviour.served == 0


def test_https_where_http_is_spoken_is_no_answer():
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = Client(f"https://127.0.0.1:{server.getsockname()[1]}", timeout_s=1.0)
        job = gevent.spawn(outcome_of, client)
        gevent.sleep(0.02)
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            assert job.get(timeout=2) is Outcome.BROKEN
        client.close()
