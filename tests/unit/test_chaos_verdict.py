"""Reading Chaos Toolkit's journal: every trap is a mistake, and only a clean journal has none."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from harness.chaos import verdict

PROBE = {"type": "probe", "name": "full service", "tolerance": True, "provider": {"type": "python"}}
ACTION = {"type": "action", "name": "break it", "provider": {"type": "python"}}
SHELL = {"type": "action", "name": "shell", "provider": {"type": "process", "timeout": 3}}
CALL = {"type": "action", "name": "call", "provider": {"type": "http", "timeout": 3}}
UNDO = {"type": "action", "name": "mend it", "provider": {"type": "python"}}


def played(activity: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"activity": activity, "status": "succeeded", "output": None, **changes}


def good() -> dict[str, Any]:
    met = {"steady_state_met": True, "probes": [played(PROBE, output=True, tolerance_met=True)]}
    return {
        "experiment": {
            "title": "t",
            "steady-state-hypothesis": {"title": "h", "probes": [PROBE]},
            "method": [ACTION, SHELL, CALL],
            "rollbacks": [UNDO],
        },
        "status": "completed",
        "deviated": False,
        "steady_states": {"before": met, "after": copy.deepcopy(met), "during": []},
        "run": [played(ACTION), played(SHELL, output={"status": 0}), played(CALL, output={"status": 204})],
        "rollbacks": [played(UNDO)],
    }


def unmet() -> dict[str, Any]:
    return {"steady_state_met": False, "probes": [played(PROBE, output=False, tolerance_met=False)]}


def test_a_clean_journal_has_no_mistake() -> None:
    assert list(verdict.mistakes(good())) == []


def raised(journal: dict[str, Any]) -> None:
    journal["run"][0].update(status="failed", exception=["Traceback", "chaoslib.exceptions.ActivityFailed: boom\n"])


def exit_3(journal: dict[str, Any]) -> None:
    journal["run"][1]["output"] = {"status": 3}


def http_500(journal: dict[str, Any]) -> None:
    journal["run"][2]["output"] = {"status": 500}


def no_http_answer(journal: dict[str, Any]) -> None:
    journal["run"][2]["output"] = None


def unfinished(journal: dict[str, Any]) -> None:
    del journal["run"][0]["status"]


def not_before(journal: dict[str, Any]) -> None:
    journal["steady_states"].update(before=unmet(), after=None)
    journal.update(run=[])


def not_after(journal: dict[str, Any]) -> None:
    journal["steady_states"]["after"] = unmet()
    journal["deviated"] = True


def not_during(journal: dict[str, Any]) -> None:
    journal["steady_states"]["during"] = [copy.deepcopy(journal["steady_states"]["before"]), unmet()]


def never_after(journal: dict[str, Any]) -> None:
    journal["steady_states"]["after"] = None


def interrupted(journal: dict[str, Any]) -> None:
    journal["status"] = "interrupted"


def no_rollback(journal: dict[str, Any]) -> None:
    journal["rollbacks"] = []


def rollback_failed(journal: dict[str, Any]) -> None:
    journal["rollbacks"][0]["status"] = "failed"


def cut_short(journal: dict[str, Any]) -> None:
    journal["run"].pop()


def no_hypothesis(journal: dict[str, Any]) -> None:
    del journal["experiment"]["steady-state-hypothesis"]


def probe_said_false(journal: dict[str, Any]) -> None:
    probe = {key: value for key, value in PROBE.items() if key != "tolerance"}
    journal["experiment"]["method"].append(probe)
    journal["run"].append(played(probe, output=False))


def tolerance_in_method(journal: dict[str, Any]) -> None:
    journal["experiment"]["method"].append(PROBE)
    journal["run"].append(played(PROBE, output=False))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (raised, "activity 'break it': failed: boom"),
        (exit_3, "ended with status 3"),
        (http_500, "answered with status 500"),
        (no_http_answer, "answered with status None"),
        (unfinished, "did not end"),
        (not_before, "not met before"),
        (not_after, "deviated"),
        (not_during, "during the method (look 2)"),
        (never_after, "not looked at after"),
        (interrupted, "'interrupted'"),
        (no_rollback, "roll-back 'mend it' was not played"),
        (rollback_failed, "roll-back 'mend it': failed"),
        (cut_short, "activity 'call' was not played"),
        (no_hypothesis, "no steady state is declared"),
        (probe_said_false, "the probe said False"),
        (tolerance_in_method, "not within its tolerance"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_each_trap_is_a_mistake(spoil: Any, told: str) -> None:
    journal = good()
    spoil(journal)
    assert any(told in mistake for mistake in verdict.mistakes(journal)), list(verdict.mistakes(journal))


@pytest.mark.parametrize(
    ("tolerance", "output", "ok"),
    [
        (3, {"status": 3}, True),
        ([0, 3], {"status": 2}, True),
        (0, {"status": 3}, False),
        (True, True, True),
        (True, 1, False),
        ("a", "a", True),
        (["a", "b", "c"], "b", True),
        (["a", "b", "c"], "d", False),
        ([0.9, 1.0], 0.95, True),
        ([0.9, 1.0], 0.5, False),
        ([0.9, 1.0], None, False),
        ({"type": "range", "range": [1, 3]}, 2, True),
        ({"type": "range", "range": [1, 3]}, 4, False),
        ({"type": "regex", "pattern": ".*"}, "x", False),
    ],
)
def test_a_tolerance_in_the_method_decides(tolerance: Any, output: Any, ok: bool) -> None:
    journal = good()
    activity = {**SHELL, "type": "probe", "tolerance": tolerance}
    journal["experiment"]["method"][1] = activity
    journal["run"][1] = played(activity, output=output)
    assert (list(verdict.mistakes(journal)) == []) is ok


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"experiment": 3}'])
def test_no_journal_or_a_torn_one_is_a_mistake(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "journal.json"
    if text is not None:
        file.write_text(text)
    found = verdict.read(file, "t")
    assert len(found.mistakes) == 1
    assert found.status in ("missing", "unreadable")


def test_a_journal_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "journal.json"
    file.write_text(json.dumps(good()))
    assert verdict.read(file) == verdict.Verdict("t", "completed", False, ())
