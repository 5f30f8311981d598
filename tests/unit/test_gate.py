"""The gate's table and its absolute triggers, row by row."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.gate import (
    FINAL,
    TABLE,
    Decision,
    Gate,
    Input,
    Response,
    Sign,
    State,
    Streak,
    advance,
    diagram,
    fired,
    input_of,
    open_question,
    share,
    sign_of,
)
from harness.model.judgement import Verdict
from harness.model.rollout import AccuracyTrigger, ErrorTrigger, Hold, LatencyTrigger, Rollout, RolloutStep

ROLLOUT = Rollout(
    service="api",
    baseline="1",
    canary="2",
    steps=(RolloutStep(share=0.1, bake=20.0), RolloutStep(share=0.5, bake=20.0), RolloutStep(share=1.0)),
    hold=Hold(times=2),
)


def walk(*inputs: Input, rollout: Rollout = ROLLOUT) -> tuple[Gate, list[Decision]]:
    gate, decisions = Gate(), []
    for seen in inputs:
        gate, decision = advance(gate, seen, rollout)
        decisions.append(decision)
    return gate, decisions


def test_a_good_release_goes_all_the_way():
    gate, decisions = walk(
        Input.READY, Input.SEEN, Input.PASS, Input.SEEN, Input.PASS, Input.SEEN
    )  # fmt: skip
    assert gate.state is State.PROMOTED
    assert [d for d in decisions if d is not Decision.HOLD] == [Decision.ADVANCE, Decision.ADVANCE, Decision.PROMOTE]


def test_the_share_follows_the_steps():
    shares = []
    gate = Gate()
    for seen in (Input.READY, Input.SEEN, Input.PASS, Input.SEEN, Input.PASS, Input.SEEN):
        shares.append(share(gate, ROLLOUT))
        gate, _ = advance(gate, seen, ROLLOUT)
    assert [*shares, share(gate, ROLLOUT)] == [0.0, 0.1, 0.1, 0.5, 0.5, 1.0, 1.0]


def test_a_pass_before_the_share_was_seen_changes_nothing():
    gate, decisions = walk(Input.READY, Input.PASS, Input.PASS, Input.PASS)
    assert (gate.state, gate.step) == (State.SHIFTING, 0)
    assert decisions[1:] == [Decision.HOLD] * 3


def test_a_pass_while_the_evidence_is_lost_changes_nothing():
    gate, _ = walk(Input.READY, Input.SEEN, Input.LOST, Input.PASS)
    assert gate.state is State.STALLED
    gate, _ = walk(Input.READY, Input.SEEN, Input.LOST, Input.BACK, Input.PASS)
    assert gate.state is State.SHIFTING and gate.step == 0


def test_a_share_that_is_not_seen_halts():
    gate, decisions = walk(Input.READY, Input.UNSEEN)
    assert gate.state is State.HALTING and decisions[-1] is Decision.HALT
    assert share(gate, ROLLOUT) == 0.0


@pytest.mark.parametrize("held", [Input.INCONCLUSIVE])
def test_a_step_held_too_often_halts(held: Input):
    gate, decisions = walk(Input.READY, Input.SEEN, held, held)
    assert gate.state is State.BAKING and decisions[-1] is Decision.HOLD
    gate, decisions = walk(Input.READY, Input.SEEN, held, held, held)
    assert gate.state is State.HALTING and decisions[-1] is Decision.HALT


def test_holds_are_counted_for_each_step():
    held = (Input.INCONCLUSIVE, Input.INCONCLUSIVE)
    gate, _ = walk(Input.READY, Input.SEEN, *held, Input.PASS, Input.SEEN, *held, Input.PASS, Input.SEEN)
    assert gate.state is State.PROMOTED


def test_flapping_evidence_and_drift_count_as_holds():
    gate, _ = walk(Input.READY, *[Input.SEEN, Input.LOST, Input.BACK] * 2, Input.SEEN, Input.DRIFTED)
    assert gate.state is State.HALTING


def test_a_rollback_that_is_not_seen_is_unproven():
    gate, _ = walk(Input.READY, Input.SEEN, Input.FAIL, Input.UNSEEN)
    assert gate.state is State.UNPROVEN


def test_verdicts():
    assert [input_of(v) for v in Verdict] == [Input.PASS, Input.INCONCLUSIVE, Input.FAIL]


def test_final_states_have_no_way_out():
    assert not [key for key in TABLE if key[0] in FINAL]


def test_the_guide_shows_this_table():
    guide = Path(__file__).parents[2] / "docs/guides/gate.md"
    assert f"```mermaid\n{diagram()}```" in guide.read_text(), "paste what harness.gate.diagram() returns"


# ---- triggers


def responses(total: int, *, failed: int = 0, slow: int = 0, wrong: int = 0, late: int = 0) -> list[Response]:
    """The first are failed, then slow (0.6 s), then wrong, then late: 0.4 or 0.6 s, nobody knows."""
    kinds = ["failed"] * failed + ["slow"] * slow + ["wrong"] * wrong + ["late"] * late
    kinds += ["good"] * (total - len(kinds))
    return [
        Response(
            finished_ns=n,
            release="2",
            journey="chat",
            failed=kind in ("failed", "wrong"),
            right=None if kind == "failed" else kind != "wrong",
            least_s=0.6 if kind == "slow" else 0.4,
            most_s=0.6 if kind in ("slow", "late") else 0.4,
        )
        for n, kind in enumerate(kinds)
    ]


ERRORS = ErrorTrigger(kind="errors", above=0.05, window=60.0, consecutive=2)
SLOW = LatencyTrigger(kind="latency", quantile=0.95, above=0.5, window=60.0, consecutive=3)
WRONG = AccuracyTrigger(kind="accuracy", below=0.8, window=60.0, consecutive=1)
NAMELESS = responses(1, failed=1)


@pytest.mark.parametrize(
    ("trigger", "window", "nameless", "sign"),
    [
        (ERRORS, responses(100, failed=5), [], Sign.CLEAR),  # exactly 5 % is not above 5 %
        (ERRORS, responses(100, failed=6), [], Sign.HIT),
        (ERRORS, responses(20, failed=1), [], Sign.CLEAR),
        (ERRORS, [], [], Sign.UNKNOWN),
        (ERRORS, [], NAMELESS, Sign.UNKNOWN),
        (ERRORS, responses(20, failed=1), NAMELESS, Sign.UNKNOWN),  # 5 % without it, 9.5 % with it
        (ERRORS, responses(100, failed=1), NAMELESS, Sign.CLEAR),
        (ERRORS, responses(100, failed=9), NAMELESS, Sign.HIT),
        (SLOW, responses(100, slow=5), [], Sign.CLEAR),  # P95 is at most 500 ms when 95 % are
        (SLOW, responses(100, slow=6), [], Sign.HIT),
        (SLOW, responses(100, slow=5, late=1), [], Sign.UNKNOWN),
        (SLOW, responses(100, slow=6, late=50), [], Sign.HIT),
        (SLOW, responses(100, slow=5), NAMELESS, Sign.UNKNOWN),
        (SLOW, responses(19, slow=1), NAMELESS, Sign.UNKNOWN),  # 5.3 % of 19, but 5 % of 20 if the 20th was fast
        (WRONG, responses(100, wrong=20), [], Sign.CLEAR),
        (WRONG, responses(100, wrong=21), [], Sign.HIT),
        (WRONG, responses(100, failed=100), [], Sign.UNKNOWN),  # nothing was checked
        (WRONG, responses(4, wrong=1), NAMELESS, Sign.HIT),
        (WRONG.model_copy(update={"journey": "search"}), responses(9, wrong=9), [], Sign.UNKNOWN),
        (ERRORS.model_copy(update={"minimum": 10}), responses(9, failed=9), [], Sign.UNKNOWN),
    ],
)
def test_what_a_window_says(trigger, window, nameless, sign):
    assert sign_of(trigger, window, nameless) is sign


def streak(signs: str) -> Streak:
    found = Streak()
    for sign in signs:
        found = found.then({"h": Sign.HIT, "c": Sign.CLEAR, "?": Sign.UNKNOWN}[sign])
    return found


@pytest.mark.parametrize(
    ("signs", "fires", "is_open"),
    [
        ("h", False, False),
        ("hh", True, False),
        ("hch", False, False),
        ("h?h", False, True),  # the one in between may have been a hit
        ("h?hh", True, False),
        ("??", False, True),
        ("??c", False, False),
        ("hh?", False, True),
        ("", False, False),
    ],
)
def test_consecutive_windows_with_gaps(signs: str, fires: bool, is_open: bool):
    assert fired(ERRORS, streak(signs)) is fires
    assert open_question(ERRORS, streak(signs)) is is_open


# ---- the scenario's part


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"canary": "1"}, "same release"),
        ({"steps": ({"share": 1.0},)}, "nothing would be judged"),
        ({"steps": ({"share": 0.5, "bake": "1s"}, {"share": 0.5, "bake": "1s"})}, "must rise"),
        ({"steps": ({"share": 0.1}, {"share": 0.5, "bake": "1s"})}, "has no bake"),
    ],
)
def test_a_rollout_that_cannot_work_is_refused(change: dict[str, object], cause: str):
    with pytest.raises(ValidationError, match=cause):
        Rollout.model_validate(ROLLOUT.model_dump(mode="json") | change)
