from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import struct
import termios
import time

import pytest

from harness.model import events as e
from harness.model.judgement import ObjectiveResult, Verdict
from harness.render.console import LiveView, PlainView, result, view, wants_colour
from harness.render.live import Progress, fold
from harness.testing.sample_run import KINDS, Kind, sample

ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [72, 80, 100, 140])
def test_no_line_is_wider_than_asked(kind: Kind, width: int) -> None:
    assert all(len(line) <= width for line in result(sample(kind)[1], "r", width=width).splitlines())


def test_colour_only_adds_colour() -> None:
    judgement = sample("fail")[1]
    plain, coloured = result(judgement, "r"), result(judgement, "r", True)
    assert "\x1b" not in plain
    assert "\x1b[1;31mFAIL" in coloured
    assert ANSI.sub("", coloured) == plain


@pytest.mark.parametrize(
    ("tty", "environ", "wanted"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_when_colour_is_wanted(tty: bool, environ: dict[str, str], wanted: bool) -> None:
    assert wants_colour(tty, environ) is wanted


def test_verdict_first_and_report_last() -> None:
    lines = result(sample("fail")[1], "reports/x").splitlines()
    assert lines[0].startswith("FAIL")
    assert lines[-1] == "Report: reports/x/report.html"
    assert "Report" not in result(sample("fail")[1])


def test_every_unmet_objective_has_its_reason() -> None:
    judgement = sample("inconclusive")[1]
    text = result(judgement, width=140)
    for item in judgement.objectives:
        assert (item.reason in text) is (item.verdict is not Verdict.PASS)


def test_hostile_names_do_not_reach_the_terminal() -> None:
    item = ObjectiveResult(
        slo="s",
        service="a\x1b]0;t\x07",
        title="b\x1b[2J\r",
        window="run",
        source="x",
        reason="c\x9b1m",
        verdict=Verdict.FAIL,
    )
    text = result(sample("pass")[1].model_copy(update={"objectives": (item,), "sentence": "\x1b[31mPASS"}))
    assert text.replace("\n", "").isprintable()


def test_wide_signs_keep_the_columns_aligned() -> None:
    judgement = sample("pass")[1]
    wide = judgement.objectives[0].model_copy(update={"title": "可用性"})
    rows = result(judgement.model_copy(update={"objectives": (wide, judgement.objectives[1])}), width=140).splitlines()[
        3:6
    ]
    columns = [sum(2 if ord(sign) > 0x2E80 else 1 for sign in row[: row.index("≥")]) for row in rows[1:]]
    assert columns[0] == columns[1] == rows[0].index("REQUIRED")


# ---- progress --------------------------------------------------------------------------------------------------------


def _played(kind: Kind) -> Progress:
    progress = Progress()
    for event in sample(kind)[0].events:
        progress = fold(progress, event)
    return progress


def test_progress_follows_the_events() -> None:
    landed, gone = (
        e.FaultLanded(experiment="x#1", fault="kill", landed=True, observer="o"),
        e.FaultGone(experiment="x#1", fault="kill", gone=True, observer="o", by="b"),
    )
    active = fold(Progress(), landed)
    assert active.faults == ("kill",)
    assert fold(active, gone).faults == ()
    assert fold(active, gone.model_copy(update={"gone": False})).faults == ("kill",)
    assert fold(Progress(), landed.model_copy(update={"landed": False})).faults == ()
    end = _played("pass")
    assert end.stage == "Taking the platform down"
    assert end.expected == 3600
    assert len(end.last) == 8


def test_plain_lines_for_ci() -> None:
    stream, events = io.StringIO(), sample("pass")[0].events
    with view(stream, lambda: events[-1].mono_ns, live=False) as shown:
        assert isinstance(shown, PlainView)
        for event in events:
            shown.event(event)
        shown.load(scheduled=40, recorded=39, errors=1, late_p99_s=0.0002, level=3)
        shown.load(scheduled=41, recorded=40)  # too soon after the last: not told
    lines = stream.getvalue().splitlines()
    assert "\x1b" not in stream.getvalue()
    assert lines[0].endswith("harness certify --profile quick")
    assert lines[-1].split("  ")[-1] == "40 of 3600 due, 39 recorded, 1 error, starts late by 0.2 ms (p99), level 3"
    assert not any(" is 9b74c98" in line for line in lines), "digests are not progress"


def test_the_live_panel_shows_what_goes_on() -> None:
    """On a real pseudo-terminal, which is what the live view asks for."""
    events = sample("pass")[0].events
    landed = next(i for i, event in enumerate(events) if isinstance(event, e.FaultLanded))
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 110, 0, 0))
    with os.fdopen(theirs, "w") as stream, LiveView(stream, lambda: events[landed].mono_ns) as shown:
        for event in events[: landed + 1]:
            shown.event(event)
        shown.load(scheduled=1400, recorded=1398, errors=3, late_p99_s=0.0003, level=3)
        os.set_blocking(ours, False)
        seen = b""
        until = time.monotonic() + 10
        while seen.count(b"1400 of 3600 due") < 2 and time.monotonic() < until:  # a whole panel, then the next
            with contextlib.suppress(BlockingIOError):
                seen += os.read(ours, 65536)
            time.sleep(0.02)
    os.close(ours)
    text = ANSI.sub("", seen.decode(errors="replace"))  # a read may end inside a character
    for said in ("Kill Weaviate", "load for another 55 s", "3 errors", "3 from the cache", "kill-weaviate"):
        assert said in text
