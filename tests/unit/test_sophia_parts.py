"""Small pure parts: pacing of a provider, known answers, utilisation, cached neighbours, behaviours, defects."""

from __future__ import annotations

import random

import pytest

from sophia import knowledge, settings
from sophia.defects import Defects
from sophia.gpu_worker import Utilisation
from sophia.llm_provider import Behaviour, Latency
from sophia.orchestrator import nearest
from sophia.pacing import Pace
from sophia.settings import SettingError
from sophia.vector_store import tier_for


def calls_let_through(pace: Pace, calls: int, now: float) -> int:
    count = 0
    for _ in range(calls):
        pace, may = pace.next(now)
        count += may
    return count


def test_a_good_provider_gets_every_call() -> None:
    assert calls_let_through(Pace(), 100, 0.0) == 100


def test_a_throttling_provider_gets_half_at_once_and_half_again() -> None:
    once = Pace().throttled(0.0)
    assert calls_let_through(once, 100, 0.0) == 50
    assert calls_let_through(once.throttled(0.0), 100, 0.0) == 25


def test_a_share_is_never_less_than_least_so_that_recovery_can_be_seen() -> None:
    pace = Pace()
    for _ in range(50):
        pace = pace.throttled(0.0)
    assert pace.share == pace.least


def test_the_share_comes_back_slowly() -> None:
    pace = Pace().throttled(0.0)
    assert pace.at(5.0).share == pytest.approx(0.75)
    assert pace.at(60.0).share == 1.0


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is 20 plus 22?", "42"),
        ("what is -5 plus 3 ?", "-2"),
        ("What is 99999999999999999999 plus 1?", "100000000000000000000"),
        ("What is the capital of France?", "Paris"),
        ("What is the capital of new zealand?", "Wellington"),
        ("What is the capital of Atlantis?", None),
        ("What is 2 plus two?", None),
        ("", None),
    ],
)
def test_known_answers(question: str, answer: str | None) -> None:
    assert knowledge.answer(question) == answer


def test_every_tabulated_question_has_its_answer() -> None:
    assert len(knowledge.questions()) >= 30
    assert all(knowledge.answer(one["question"]) == one["answer"] for one in knowledge.questions())


def test_utilisation_counts_only_time_with_work_and_forgets() -> None:
    utilisation = Utilisation()
    assert utilisation.share(0.0) == 0.0
    utilisation.add(1.0, computed=0.9, active=1.0)
    assert utilisation.share(2.0) == pytest.approx(0.9)
    assert utilisation.share(100.0) == 0.0


def test_cached_neighbours_are_the_nearest_first() -> None:
    vectors = {"east": [1.0, 0.0], "north": [0.0, 1.0], "north-east": [0.6, 0.8]}
    assert [name for name, _ in nearest(vectors, [0.0, 1.0], 2)] == ["north", "north-east"]
    assert nearest({}, [0.0, 1.0], 2) == []


def test_latencies_are_seeded_and_bounded() -> None:
    latency = Latency(0.012, 0.35)
    first, second = random.Random(1), random.Random(1)
    drawn = [latency.draw(first) for _ in range(2000)]
    assert drawn == [latency.draw(second) for _ in range(2000)]
    assert max(drawn) <= 8 * 0.012
    assert sorted(drawn)[1000] == pytest.approx(0.012, rel=0.1)


@pytest.mark.parametrize("text", ["asleep", "throttled:2", "throttled:-1", "timeout:x"])
def test_an_unknown_behaviour_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Behaviour.parse(text)


def test_behaviours_are_read() -> None:
    assert Behaviour.parse("throttled:0.5") == Behaviour("throttled", 0.5)
    assert Behaviour.parse("timeout") == Behaviour("timeout", 1.0)


def test_tiers_by_length() -> None:
    assert [tier_for("a " * words) for words in (3, 20, 60)] == ["bge", "cohere-v3", "voyage-3"]


def test_a_good_release_is_not_wrapped_and_a_bad_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(*_: object) -> None: ...

    assert Defects.from_environment().around(app, "seed") is app
    monkeypatch.setenv("DEFECT_SLOW", "1:250")
    slow = Defects.from_environment()
    assert (slow.slow_share, slow.slow_seconds, slow.none) == (1.0, 0.25, False)
    assert slow.around(app, "seed") is not app


def test_a_malformed_setting_ends_the_process_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFECT_FAILING", "often")
    with pytest.raises(SettingError, match="DEFECT_FAILING"):
        Defects.from_environment()


def test_who_is_not_told_otherwise_listens_on_loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOST", raising=False)
    assert settings.host() == "127.0.0.1"
    monkeypatch.setenv("HOST", "0.0.0.0")
    assert settings.host() == "0.0.0.0"
    monkeypatch.setenv("HOST", "my-laptop")  # some shells set it to the machine's name
    with pytest.raises(SettingError, match="not an IPv4 address"):
        settings.host()
