"""Many run folders judged together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BadInput
from harness.journal.layout import RunFolder
from harness.judge.decide import count
from harness.model.across import AcrossReport, AcrossResult
from harness.model.base import parse_duration

if TYPE_CHECKING:
    from harness.judge.run_record import RunRecord
    from harness.model.slo import Slo

DEFAULT_SLOS = (Path("slos"), Path("slos/across"))


def slo_report(folders: Sequence[Path], slos: Sequence[Path] = (), since: str = "", at: str = "") -> AcrossReport:
    """The report over these runs; `at`: when (default: when the last of them ended), `since`: none that began earlier.

    Each run's verdict and recoveries are by its own objectives, its counts by `slos` (default: slos and slos/across).
    """
    from harness.judge.across import judge_across
    from harness.spec.openslo import load_slos

    chosen = load_slos(list(slos) or [path for path in DEFAULT_SLOS if path.is_dir()])
    if not chosen:
        raise BadInput("there are no objectives to judge by", fix="name files or folders with --slos")
    records = list(_records(folders, chosen))
    end = _moment(at, 0.0) if at else max((run.ended_s for run in records), default=0.0)
    start = _moment(since, end) if since else 0.0
    return judge_across([run for run in records if start <= run.began_s <= end], chosen, end)


def _records(folders: Iterable[Path], slos: Sequence[Slo]) -> Iterator[RunRecord]:
    from harness.judge.run_record import run_record
    from harness.metrics.evidence import load_evidence
    from harness.run.verdict import judge_folder

    for path in folders:
        folder = RunFolder(path)
        yield run_record(load_evidence(folder), judge_folder(folder), slos)


def _moment(text: str, end_s: float) -> float:
    """A date, a date with time (UTC unless it says otherwise), or how long before the end."""
    try:
        return end_s - parse_duration(text)
    except ValueError:
        pass
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"{text!r} is neither a time nor a duration", fix="as in 28d, 2026-01-31 or 2026-01-31T12:30"
        ) from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def as_text(report: AcrossReport) -> Iterator[str]:
    """The report for a terminal, line by line."""
    yield f"{report.verdict}: {count(len(report.runs), 'run')}, at {_when(report.at_s)}"
    for finding in report.findings:
        yield f"  {finding.cap:<13} {finding.reason}"
    for service in dict.fromkeys(result.service for result in report.results):
        yield service
        for result in report.results:
            if result.service == service:
                yield from _lines(result)


def _lines(result: AcrossResult) -> Iterator[str]:
    yield f"  {result.verdict:<13} {result.title}{f': {result.objective}' if result.objective else ''}"
    yield f"                {result.reason}"
    left = result.budget_left
    if left is not None and left.low is not None and left.high is not None:
        low, high = f"{left.low:.0%}", f"{left.high:.0%}"
        shown = low if low == high else f"{low} to {high}"
        runs = count(result.runs, "run")
        yield f"                budget left: {shown} of what the events of {runs} allow ({result.window})"
    for alert in result.alerts:
        if alert.fired:
            first = _when(alert.fired[0][0])
            yield f"                alert {alert.name} ({alert.severity}) fired {len(alert.fired)} times, first {first}"
        elif alert.may_have_fired:
            yield f"                alert {alert.name} ({alert.severity}) may have fired: what is unknown decides"
        else:
            yield f"                alert {alert.name} ({alert.severity}) did not fire"
    for note in result.notes:
        yield f"                {note}"


def _when(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
