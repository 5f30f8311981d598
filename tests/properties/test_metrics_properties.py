"""Properties of what is read from Prometheus: what is lost only widens, and what does not matter does not matter."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.judge import judge
from harness.judge.counters import increase
from harness.judge.gauges import times
from harness.judge.samples import Samples
from harness.model.judgement import Verdict
from harness.model.records import SAMPLE_COLUMNS
from harness.model.slo import CounterRatio, GaugeShare
from harness.testing.evidence import WALL_NS, Row, answers, evidence, scraped, slo, table, wall_ms

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
COUNTER, GAUGE, START = "events_total", "level", "process_start_time_seconds"
UNTIL = 40
EVERY = {"unified-api": 1.0}


@dataclass(frozen=True)
class World:
    """One process after another on one target, scraped once a second give or take; (second, failed) of each scrape.

    The scrapes before second 0 and from UNTIL on are never lost: a window is judged from scrape to scrape, and a record
    that only begins or ends within it is another matter.
    """

    scrapes: tuple[tuple[float, bool], ...]
    restarts: tuple[float, ...]
    rate: int
    levels: tuple[int, ...]

    def rows(self, lost: frozenset[int] = frozenset()) -> list[Row]:
        outside = [(-3.0, False), (-2.0, False), (UNTIL + 0.5, False), (UNTIL + 1.5, False)]
        kept = sorted([*outside, *(scrape for number, scrape in enumerate(self.scrapes) if number not in lost)])
        every = [at for at, _ in kept]
        up = [at for at, failed in kept if not failed]
        failed = {at for at, failed in kept if failed}
        return [
            *scraped("up", lambda at: float(at not in failed), times=every),
            *scraped(START, self.start, times=up),
            *scraped(COUNTER, self.count, times=up),
            *scraped(GAUGE, lambda at: float(self.levels[int(at) % len(self.levels)]), times=up),
        ]

    def start(self, at: float) -> float:
        return WALL_NS / 1e9 + max([4000.0, *(5000 + r for r in self.restarts if r <= at)])

    def count(self, at: float) -> float:
        return float(int(self.rate * (at - max([-100.0, *(r for r in self.restarts if r <= at)]))))

    def bound(self, from_ms: float, to_ms: float) -> float:
        return self.rate * (to_ms - from_ms) / 1000 + 1


@st.composite
def worlds(draw: Any) -> World:
    jitter = draw(st.lists(st.integers(-150, 150), min_size=UNTIL, max_size=UNTIL))
    failed = draw(st.sets(st.integers(0, UNTIL - 1), max_size=4))
    return World(
        tuple((second + shift / 1000, second in failed) for second, shift in enumerate(jitter)),
        tuple(sorted(draw(st.lists(st.floats(0.2, 39.7).map(lambda at: round(at, 3)), max_size=2, unique=True)))),
        draw(st.integers(0, 50)),
        tuple(draw(st.lists(st.integers(0, 1), min_size=1, max_size=9))),
    )


def samples(rows: list[Row]) -> Samples:
    told = tuple(replace(one, intervals=EVERY) if one.query == "up" else one for one in answers(rows, COUNTER, GAUGE))
    return Samples(table(SAMPLE_COLUMNS, rows), told)


windows = st.tuples(st.integers(0, 30_000), st.integers(3_000, 20_000)).map(
    lambda drawn: [(float(wall_ms(0) + drawn[0]), float(wall_ms(0) + drawn[0] + drawn[1]))]
)
lost_scrapes = st.frozensets(st.integers(0, UNTIL - 1), max_size=UNTIL)


@given(worlds(), lost_scrapes, windows, st.booleans(), st.booleans())
@QUICK
def test_lost_scrapes_only_widen_an_increase(world, lost, spans, exact, bounded):
    bound = {"bound": world.bound} if bounded else {}
    whole = increase(samples(world.rows()), COUNTER, spans, exact=exact, **bound)
    damaged = increase(samples(world.rows(lost)), COUNTER, spans, exact=exact, **bound)
    assert damaged.least <= whole.least + 1e-9
    assert damaged.most >= whole.most - 1e-9 or bounded  # a declared rate may tell more than a restart did


@given(worlds(), lost_scrapes, windows)
@QUICK
def test_an_exact_increase_holds_the_truth(world, lost, spans):
    """Neither end is ever passed by what the process really counted in the window, whatever was lost."""
    found = increase(samples(world.rows(lost)), COUNTER, spans, world.bound, exact=True)
    (from_ms, to_ms) = spans[0]
    edges = [(from_ms - wall_ms(0)) / 1000, (to_ms - wall_ms(0)) / 1000]
    cuts = sorted([*edges, *(r for r in world.restarts if edges[0] < r < edges[1])])
    truth = sum(world.count(b - 1e-9) - (0.0 if a in world.restarts else world.count(a)) for a, b in pairwise(cuts))
    assert found.least - 1 <= truth <= found.most + 1 + len(world.restarts)


@given(worlds(), lost_scrapes, windows)
@QUICK
def test_lost_scrapes_only_widen_a_share_of_time(world, lost, spans):
    good = lambda value: value > 0  # noqa: E731
    whole, damaged = (times(samples(world.rows(gone)), GAUGE, good, spans) for gone in (frozenset(), lost))
    assert whole.all_ms == pytest.approx(damaged.all_ms)
    assert damaged.good_ms <= whole.good_ms + 1e-6
    assert damaged.bad_ms <= whole.bad_ms + 1e-6


# ---- whole judgements -----------------------------------------------------------------------------------------------

GOOD, TOTAL = 'votes_total{result="agreed"}', "votes_total"
SLOS = [
    slo(CounterRatio(good=GOOD, total=TOTAL), 0.95, name="votes"),
    slo(CounterRatio(good=GOOD, total=TOTAL, per_arrival=20.0), 0.95, name="votes, bounded"),
    slo(GaugeShare(query="use"), 0.9, op="gt", value=0.8, name="use"),
]


recordings = st.tuples(st.sampled_from([0.0, 0.03, 0.05, 0.07, 0.5]), st.frozensets(st.integers(0, 77), max_size=12))


def recorded(drawn: tuple[float, frozenset[int]]) -> list[Row]:
    """A share of bad votes, and the seconds at which the gauge was low."""
    bad, low = drawn
    return [
        *scraped("up"),
        *scraped(START, lambda _at: WALL_NS / 1e9 + 4000),
        *scraped(TOTAL, lambda at: round(1000 * (10 + at) * (1 - bad)), result="agreed"),
        *scraped(TOTAL, lambda at: round(1000 * (10 + at) * bad), result="failed"),
        *scraped(GOOD, lambda at: round(1000 * (10 + at) * (1 - bad)), result="agreed"),
        *scraped("use", lambda at: 0.1 if int(at) in low else 0.9),
    ]


def verdicts(rows: list[Row], **more: Any) -> dict[str, Verdict]:
    told = evidence(samples=rows, **{"metrics": answers(rows, TOTAL, GOOD, "use", "up", "ALERTS"), **more})
    return {result.slo: result.verdict for result in judge(told, SLOS).objectives}


@given(recordings, st.data())
@QUICK
def test_a_sample_that_is_lost_from_the_record_never_makes_anything_pass(drawn, data):
    rows = recorded(drawn)
    lost = data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1, max_size=60))
    announced = answers(rows, "ALERTS")
    before = verdicts(rows, metrics=announced)
    after = verdicts([row for place, row in enumerate(rows) if place not in lost], metrics=announced)
    for name, verdict in after.items():
        assert verdict in (before[name], Verdict.INCONCLUSIVE)


@given(recordings, st.data())
@QUICK
def test_a_scrape_that_never_came_never_makes_anything_pass_and_never_fails_what_did_not(drawn, data):
    rows = recorded(drawn)
    moments = sorted({row["t_ms"] for row in rows})
    lost = data.draw(st.sets(st.sampled_from(moments), min_size=1, max_size=30))
    before, after = verdicts(rows), verdicts([row for row in rows if row["t_ms"] not in lost])
    for name, verdict in after.items():
        assert verdict in (before[name], Verdict.INCONCLUSIVE)


@given(recordings, st.data())
@QUICK
def test_a_value_that_is_nan_never_makes_anything_pass(drawn, data):
    rows = recorded(drawn)
    lost = data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1, max_size=60))
    hurt = [{**row, "value": math.nan} if place in lost else row for place, row in enumerate(rows)]
    before, after = verdicts(rows), verdicts(hurt)
    for name, verdict in after.items():
        assert not (verdict is Verdict.PASS and before[name] is not Verdict.PASS)


@given(recordings, st.randoms(use_true_random=False))
@QUICK
def test_the_order_of_samples_and_how_the_table_is_split_do_not_matter(drawn, random):
    rows = recorded(drawn)
    mixed = list(rows)
    random.shuffle(mixed)
    cut = random.randint(0, len(mixed))
    whole = evidence(samples=rows, metrics=answers(rows, "ALERTS"))
    parts = pa.concat_tables([table(SAMPLE_COLUMNS, mixed[:cut]), table(SAMPLE_COLUMNS, mixed[cut:])])
    split = replace(whole, samples=parts)
    assert judge(whole, SLOS) == judge(split, SLOS)


@given(recordings, st.integers(-(10**12), 10**12))
@QUICK
def test_the_origin_of_wall_time_does_not_matter(drawn, shift_ms):
    rows = recorded(drawn)
    here = evidence(samples=rows, metrics=answers(rows, "ALERTS"))
    moved_rows = [
        {
            **row,
            "t_ms": row["t_ms"] + shift_ms,
            "value": row["value"] + (shift_ms / 1000 if row["query"] == START else 0.0),
        }
        for row in rows
    ]
    events = tuple(
        event.model_copy(
            update={
                "wall_ns": event.wall_ns + shift_ms * 10**6,
                **(
                    {"offset_ns": event.offset_ns + shift_ms * 10**6}
                    if type(event).__name__ == "ClockRead" and event.clock == "wall"
                    else {}
                ),
            }
        )
        for event in here.events
    )
    moved = replace(here, samples=table(SAMPLE_COLUMNS, moved_rows), events=events)
    assert judge(here, SLOS).objectives == judge(moved, SLOS).objectives
