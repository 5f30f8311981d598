"""The rules by which runs are judged, by name and number, so that a judgement says by which ones it came about.

Whoever changes what a rule says of the same evidence adds a line to its `changes`. `harness judge` compares a sealed
judgement with its own and names the rules that changed between them; a difference without one is a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FIRST = "0.1.0"
UNNAMED = "*"  # 0.1.0 wrote one number for all rules


@dataclass(frozen=True)
class Rule:
    """`changes`: what each number after 1 made different. `since`: the version that first had the rule."""

    name: str
    says: str
    changes: tuple[str, ...] = ()
    since: str = FIRST

    @property
    def number(self) -> int:
        return 1 + len(self.changes)


RULES = (
    Rule("windows", "which requests and samples belong to which stretch of the run"),
    Rule("requests", "which requests and probes are good, bad or unknown"),
    Rule(
        "counters",
        "how far a Prometheus counter grew, and what of it was not seen",
        (
            "where a target did not tell at a scrape since when it runs, it may have been restarted",
            "an instance that was not there, by who looked at both ends of a window, counted nothing in it",
        ),
    ),
    Rule(
        "reactions",
        "alerts, gauges and writable primaries",
        (
            "gauges over a window are shares of time, not of scrapes; what was not scraped may have shown it",
            "a database that whoever runs it says to stand still takes no writes",
            "a database out of sight whose log shows none but a standby took no writes",
        ),
    ),
    Rule("scaling", "how long the platform took to add instances after a load step", since="0.2.0"),
    Rule(
        "shifting",
        "how users, not probes, were shifted from one region to another; a jump that was seen counts however it ended",
        since="0.2.0",
    ),
    Rule("deployment", "deployment time, checks and monitoring"),
    Rule(
        "recovery",
        "when an outage began and ended for the user",
        (
            "recoveries have phases; what was watched for and not seen to detect a fault has a lower end",
            "what is unknown before the first failure may have been the first",
        ),
    ),
    Rule(
        "loss",
        "what became of each acknowledged write",
        ("acknowledged deletes count too; what an operation without acknowledgement may have done is no loss",),
    ),
    Rule("attribution", "which failures belong to which fault", since="0.2.0"),
    Rule(
        "bounds",
        "the interval that counts give at a confidence",
        changes=(
            "requests within the declared correlation length may hang together, so that fewer count as independent; "
            "the upper end is corrected for the number of claims about the platform",
        ),
    ),
    Rule("decide", "from counts or an interval to a verdict"),
    Rule("budget", "slices, composites and what a run spent of a budget", since="0.2.0"),
    Rule(
        "validity",
        "which findings cap the verdict",
        (
            "what users and the platform both count must agree; alerts that nobody declared are told",
            "what the harness could not observe is told by place, so that none hides another; an API server that was "
            "silent for longer than declared is told",
            "an API server that did not answer from the start was silent too",
        ),
    ),
    Rule("rollout", "how bakes and the gate's decisions are judged"),
    Rule(
        "merge",
        "how results and findings make one verdict",
        ("a load that was not as declared is told first, and beside a FAIL",),
    ),
)
NUMBERS: dict[str, int] = {rule.name: rule.number for rule in RULES}


def changed(then: Mapping[str, int], now: tuple[Rule, ...] = RULES) -> tuple[str, ...]:
    """What is different since a judgement by the rules `then`, a sentence for each change."""
    told = []
    for rule in now:
        before = then.get(rule.name, then.get(UNNAMED, 0) if rule.since == FIRST else 0)
        if not before:
            told.append(f"{rule.name} is new since {rule.since}: {rule.says}")
        later = enumerate(rule.changes, 2)
        told += [f"{rule.name} {number}: {text}" for number, text in later if 1 <= before < number]
        if before > rule.number:
            told.append(f"{rule.name} was at {before}: this harness is older, at {rule.number}")
    gone = sorted(set(then) - {rule.name for rule in now} - {UNNAMED})
    return (*told, *(f"{name} is not a rule of this harness: it is older than the judgement" for name in gone))
