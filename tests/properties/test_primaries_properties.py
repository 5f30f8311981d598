"""Properties of "never two writable primaries": what is not known never helps, a word of standing still only there."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.judge import judge
from harness.model.judgement import Verdict
from harness.model.slo import WritablePrimaries
from harness.testing.evidence import evidence, roles, slo

ONE = slo(WritablePrimaries(regions=("sjc", "lax")), 1.0, op="lte", value=1.0, window="run")
STATES = ("writable", "standby", "refused", "unreachable", "stopped")
REGIONS = ("sjc", "lax")
LONG = 82.0
Script = tuple[tuple[float, str], ...]  # from when on a database says what

stretches = st.lists(st.tuples(st.floats(6.0, LONG), st.sampled_from(STATES)), min_size=1, max_size=6)
scripts = st.fixed_dictionaries({name: stretches.map(lambda them: tuple(sorted(them))) for name in REGIONS})


def at(script: Script, time: float) -> str | None:
    return next((state for begin, state in reversed(script) if begin <= time), None)


def verdict(scripts: dict[str, Script]) -> Verdict:
    rows = roles(until=LONG, change=lambda region, time: at(scripts[region], time))
    return judge(evidence(primaries=rows), [ONE]).objectives[0].verdict


def changed(scripts: dict[str, Script], old: str, new: str) -> dict[str, Script]:
    return {
        region: tuple((begin, new if state == old else state) for begin, state in script)
        for region, script in scripts.items()
    }


@settings(max_examples=25, deadline=None)
@given(scripts)
def test_silence_never_helps(scripts: dict[str, Script]) -> None:
    """Whatever a database or whoever runs it says, without it the verdict is no nearer to PASS, unless it was the proof
    of two primaries that is taken away: then it is not known."""
    before = verdict(scripts)
    for said in STATES:
        after = verdict(changed(scripts, said, "unreachable"))
        assert after is not Verdict.PASS or before is Verdict.PASS


@settings(max_examples=25, deadline=None)
@given(scripts)
def test_to_stand_still_is_never_better_than_to_refuse(scripts: dict[str, Script]) -> None:
    """Both mean that nobody can write there; neither excuses what another database does meanwhile."""
    assert verdict(changed(scripts, "stopped", "refused")) is verdict(scripts)


@settings(max_examples=25, deadline=None)
@given(scripts, st.floats(8.0, 70.0))
def test_two_that_say_so_at_once_fail_whatever_else_is_said(scripts: dict[str, Script], begin: float) -> None:
    def said(region: str, time: float) -> str | None:
        return "writable" if begin <= time < begin + 2 else at(scripts[region], time)

    rows = roles(until=LONG, change=said)
    assert judge(evidence(primaries=rows), [ONE]).objectives[0].verdict is Verdict.FAIL
