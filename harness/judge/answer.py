"""From a question to its result: by the kind of indicator and the budgeting method, with the budget that was spent."""

from __future__ import annotations

from harness.judge.budget import spent
from harness.judge.composite import composite
from harness.judge.decide import percent
from harness.judge.indicators import JUDGES
from harness.judge.question import Question
from harness.judge.slices import sliced
from harness.model.judgement import Interval, ObjectiveResult
from harness.model.openslo import shorthand_seconds
from harness.model.slo import Composite, CounterRatio, GaugeShare, RequestRatio

COUNTED = (RequestRatio, CounterRatio, GaugeShare, Composite)


def answer(ask: Question) -> ObjectiveResult:
    """The result of one objective."""
    indicator = ask.slo.indicator
    if isinstance(indicator, Composite):
        return _budgeted(ask, composite(ask, indicator, _plain))
    return _budgeted(ask, _plain(ask))


def _plain(ask: Question) -> ObjectiveResult:
    if ask.slo.method != "Occurrences":
        return sliced(ask)
    return JUDGES[type(ask.slo.indicator)](ask, ask.slo.indicator)


def _budgeted(ask: Question, told: ObjectiveResult) -> ObjectiveResult:
    """The share of the SLO's own window's budget that the judged stretch spent, were its traffic to go on."""
    window = ask.slo.time_window
    if window is None or told.unit != "ratio" or not isinstance(ask.slo.indicator, COUNTED):
        return told
    seconds = sum(span.seconds for span in ask.facts.judged(ask.slo))
    found = spent(told.observed, ask.objective.target, seconds, shorthand_seconds(window.duration))
    if found is None:
        return told
    note = f"spent {_shown(found)} of the budget of {window.duration}, were traffic to go on as in the judged window"
    return told.model_copy(update={"budget_spent": found, "notes": (*told.notes, note)})


def _shown(found: Interval) -> str:
    low, high = found.low or 0.0, found.high or 0.0
    return percent(low) if high - low < 1e-6 else f"{percent(low)} to {percent(high)}"
