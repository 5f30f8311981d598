"""How to read the report: the three verdicts as drawings, and the words that the page cannot do without."""

from __future__ import annotations

from markupsafe import Markup

from harness.model.judgement import Interval, ObjectiveResult, Verdict
from harness.render import intervals, words
from harness.render.page import Cell, Part, Section, chip

TOLD = {
    Verdict.PASS: (Interval(low=0.994, high=0.9988), 0.9975, "Even the worst that is possible is on the good side."),
    Verdict.INCONCLUSIVE: (
        Interval(low=0.978, high=0.9962), 0.992,
        "The limit lies within what is possible: not shown to be good, not shown to be bad. Not a pass.",
    ),
    Verdict.FAIL: (Interval(low=0.93, high=0.978), 0.96, "Even the best that is possible is on the bad side."),
}  # fmt: skip

WORDS: tuple[tuple[Cell, Cell], ...] = (
    (
        "Interval",
        "All that fits what was seen, from the worst to the best: the bar in the drawings. More requests make it "
        "shorter; requests of which nothing is known make it longer.",
    ),
    (
        "Confidence",
        f"How seldom luck may mislead us. At 95{words.NARROW}%, a platform that just misses a limit gets a PASS for it "
        "in fewer than 5 of 100 runs. Where only this run is spoken of, it is counted and no confidence is needed.",
    ),
    (
        "Correlation",
        "Troubles come in bursts: 100 failures in one bad second are one piece of news, not 100. Where an objective "
        "says how long such bursts last, its events count for less, and the bar is longer.",
    ),
)


def reading() -> Section:
    verdicts = tuple((chip(verdict), _example(verdict)) for verdict in TOLD)
    return Section("reading", "How to read this", (Part(facts=(*verdicts, *WORDS)),))


def _example(verdict: Verdict) -> Markup:
    span, measured, text = TOLD[verdict]
    example = ObjectiveResult(
        slo="example",
        service="",
        title="",
        window="steady",
        source="",
        claim="system",
        target=0.99,
        measured=measured,
        interval=span,
        verdict=verdict,
        reason="",
    )
    return Markup("{}<p>{}</p>").format(intervals.drawing(example), words.line(text))
