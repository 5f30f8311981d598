from __future__ import annotations

import typing

import pytest

from harness.model import events as e
from harness.render.describe import describe

TYPES = typing.get_args(typing.get_args(e.AnyEvent)[0])
SAMPLES: dict[object, object] = {
    str: "text",
    int: 7,
    float: 1.5,
    bool: True,
    tuple[str, ...]: ("a", "b"),
    dict[str, str]: {"k": "v"},
    dict[str, int]: {"k": 2},
    int | None: -9,
}
CRITERION = {"criterion": "errors", "canary_bad": 1, "canary": 2, "stable_bad": 3, "stable": 4, "harm": 1, "enough": 0}


def _sample(kind: type[e.Event], text: str = "text") -> e.AnyEvent:
    values = {}
    for name, field in kind.model_fields.items():
        if name == "event":
            continue
        if typing.get_origin(field.annotation) is typing.Literal:
            values[name] = typing.get_args(field.annotation)[0]
        elif name == "criteria":
            values[name] = (CRITERION | {"criterion": text},)
        elif field.annotation in SAMPLES:
            found = SAMPLES[field.annotation]
            values[name] = text if found == "text" else (text,) if isinstance(found, tuple) else found
        else:
            values[name] = {"kind": text}
    return typing.cast("e.AnyEvent", kind(**values))


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_every_event_has_a_description_on_one_clean_line(kind: type[e.Event]) -> None:
    told = describe(_sample(kind, "evil\x1b[2J\n\x00name"))
    assert told
    assert told.isprintable()


def test_an_event_without_a_description_is_found_out() -> None:
    class Unheard(e.Event):
        event: str = "unheard"

    with pytest.raises(KeyError):
        describe(typing.cast("e.AnyEvent", Unheard()))


@pytest.mark.parametrize(
    ("event", "loud"),
    [
        (e.FaultLanded(experiment="a", fault="f", landed=False, observer="o"), "WAS NEVER SEEN TO LAND"),
        (e.FaultGone(experiment="a", fault="f", gone=False, observer="o", by="b"), "IS STILL THERE"),
        (e.GateChecked(phase="p", gate="g", ok=False, attempts=3, seconds=1), "DOES NOT HOLD"),
        (e.CheckDone(name="c", passed=0, of=0), "NOT OK"),
        (e.RunClosed(reason="r", clean=False), "CLEAN-UP NOT PROVEN"),
        (e.ShareSeen(share=0.3, canary=3, total=10, ok=False), "NOT as set"),
        (e.RolledBack(seconds=31, seen=False), "NOT SEEN"),
        (e.ChildEnded(name="locust", child_pid=1, code=-9, expected=False), "by signal 9, which nobody asked for"),
    ],
)
def test_what_went_wrong_is_loud(event: e.AnyEvent, loud: str) -> None:
    assert loud in describe(event)
