"""What a run can decide at all is known before it is run; what it cannot say of the platform is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.plan import command
from harness.errors import BadInput
from harness.judge import judge
from harness.judge.decidable import decidability, words
from harness.load.schedule import arrivals as drawn
from harness.model.events import Window as window
from harness.model.judgement import Verdict
from harness.model.load import Constant, Poisson, Step
from harness.model.plan import Decidability
from harness.model.slo import CounterRatio, GaugeShare, RecoveryTime, RequestFilter, RequestRatio, ScaleUpTime, Slo
from harness.plan import plan
from harness.testing.evidence import evidence, ns, request, scenario, slo
from tests.unit.test_plan import fault

SERVED = RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(outcome="served"))
ROOT = Path(__file__).parents[2]


def ask(asked: Slo, *, steady: float = 60.0, faults: int = 0, **spec: object) -> Decidability:
    from harness.model.platform import Metadata
    from harness.model.scenario import Scenario

    chosen = scenario().model_copy(update={"steady": steady, "experiments": (), **spec})
    document = Scenario(apiVersion="harness/v1", kind="Scenario", metadata=Metadata(name="x"), spec=chosen)
    planned = tuple(fault(1.0) for _ in range(faults))
    (found,) = decidability([asked], chosen, plan(document, "1", 1, planned, chosen.load.arrivals.rate))
    return found


def test_independent_requests_need_2995_for_three_nines():
    rate = scenario().load.arrivals.rate
    just, short = (
        ask(slo(SERVED, 0.999, claim="system", correlation="0s"), steady=n / rate, quiet=0.0) for n in (2995, 2994)
    )
    assert just.can_pass and not short.can_pass
    assert short.shortest_s == pytest.approx(2995 / rate)


def test_what_hangs_together_takes_longer_by_a_little_more_than_its_length():
    found = ask(slo(SERVED, 0.99, claim="system", correlation="1s"))
    assert not found.can_pass
    assert found.shortest_s == pytest.approx(9 / 8 * math.log(0.05) / math.log(0.99), rel=0.05)
    assert "without one bad" in words(found)
    assert ask(slo(SERVED, 0.99, claim="system", correlation="1s"), steady=found.shortest_s + 1).can_pass


@pytest.mark.parametrize(("target", "correlation"), [(0.95, "500ms"), (0.9, "200ms"), (0.95, "70ms")])
@pytest.mark.parametrize("arrivals", [Constant(kind="constant", rate=50.0), Poisson(kind="poisson", rate=40.0)])
def test_the_shortest_run_is_about_one_that_the_judge_would_pass(target, correlation, arrivals):
    """The plan's word held against the judge's own bound, on the schedule's own arrivals without one bad request."""
    load = scenario().load.model_copy(update={"arrivals": arrivals})
    found = ask(slo(SERVED, target, claim="system", correlation=correlation), steady=1.0, quiet=0.0, load=load)
    assert found.shortest_s is not None

    def passes(seconds: float) -> bool:
        times = list(drawn(arrivals, 1, seconds))
        rows = [request(number, at) for number, at in enumerate(times)]
        events = (window(kind="steady", start_ns=ns(0), end_ns=ns(seconds)),)
        told = evidence(requests=rows, events=events, scenario=scenario(load=load))
        asked = slo(SERVED, target, claim="system", correlation=correlation)
        return judge(told, [asked]).objectives[0].verdict is Verdict.PASS

    chance = 3 / math.sqrt(found.shortest_s * arrivals.rate) if arrivals.kind == "poisson" else 0.0
    assert passes((1.03 + chance) * found.shortest_s)
    assert not passes((0.97 - chance) * found.shortest_s)


@pytest.mark.parametrize("correlation", ["0s", "1s"])
def test_no_run_can_claim_100_percent_of_the_platform(correlation):
    found = ask(slo(SERVED, 1.0, claim="system", correlation=correlation))
    assert (found.can_pass, found.shortest_s) == (False, None)
    assert "no number proves 100 %" in words(found)


def test_a_claim_about_the_run_needs_its_minimum_of_events_only():
    assert ask(slo(SERVED, 0.999, claim="run", minimum_events=100)).can_pass
    assert not ask(slo(SERVED, 0.999, claim="run", minimum_events=100), steady=0.5).can_pass


def test_scaling_up_takes_a_step_and_time_after_it():
    scales = slo(ScaleUpTime(service="api"), 0.95, op="lt", value=30.0, window="run")
    assert not ask(scales).can_pass
    assert "no rising step" in ask(scales).reason

    def after(at: float, to: float = 90.0) -> Decidability:
        load = scenario().load
        return ask(scales, load=load.model_copy(update={"arrivals": Step(kind="step", rate=10.0, to=to, at=at)}))

    assert not after(20.0, to=5.0).can_pass
    assert (after(20.0).can_pass, after(20.0).can_fail) == (True, True)
    assert (after(50.0).can_pass, after(50.0).can_fail) == (True, False)  # too short to see that it does not


def test_59_clean_kills_are_needed_for_95_percent_of_the_time():
    recovery = slo(RecoveryTime(), 0.95, op="lte", value=300.0, window="fault", claim="system")
    found = ask(recovery, faults=3)
    assert (found.repeats, found.can_pass) == (59, False)
    assert "59 clean faults" in found.reason
    assert ask(recovery, faults=59).can_pass
    of_the_run = ask(slo(RecoveryTime(), 0.95, op="lte", value=300.0, window="fault"), faults=3)
    assert of_the_run.can_pass and "it takes 59 clean faults" in of_the_run.reason


@pytest.mark.parametrize(("correlation", "able"), [("1s", False), ("0s", True)])
def test_events_that_nothing_tells_apart_cannot_speak_of_the_platform(correlation, able):
    for indicator in (CounterRatio(good="ok", total="all"), GaugeShare(query="busy")):
        assert ask(slo(indicator, 0.9, claim="system", correlation=correlation)).can_pass is able
    assert ask(slo(CounterRatio(good="ok", total="all", per_arrival=1.0), 0.9, claim="system")).can_pass


def test_plan_and_run_refuse_a_claim_that_the_run_is_too_short_for(tmp_path):
    from harness.run.prepare import Choices, prepare

    text = (ROOT / "scenarios/certify-soak.yaml").read_text().replace("steady: 40m", "steady: 5m")
    file = tmp_path / "short.yaml"
    file.write_text(text.replace("../", f"{ROOT}/"))
    with pytest.raises(BadInput) as refused:
        prepare(file, Choices())
    told = str(refused.value)
    assert "slos/soak/unified-api.yaml:" in told
    assert "fix: judge at least" in told and "harness/claim: run" in told
    prepare(ROOT / "scenarios/certify-soak.yaml", Choices())


def test_plan_tells_it_to_people_and_to_programs(monkeypatch):
    monkeypatch.chdir(ROOT)
    told = CliRunner().invoke(command, ["certify-full", "--json"])
    objectives = {one["slo"]: one for one in json.loads(told.output)["objectives"]}
    latency, recovery = objectives["unified-api-latency-p99"], objectives["kill-weaviate-recovery"]
    assert (latency["claim"], latency["can_pass"], latency["can_fail"]) == ("system", True, True)
    assert latency["effective"] > 299 and 0 < latency["shortest_s"] < 180
    assert (recovery["claim"], recovery["events"], recovery["repeats"]) == ("run", 3, 59)
    text = CliRunner().invoke(command, ["certify-full"]).output
    assert "unified-api-latency-p99: P99 < 300 ms [system]" in text and "it takes 59 clean faults" in text


def test_every_objective_of_the_shipped_scenarios_can_be_decided():
    from harness.run.prepare import Choices, prepare

    for name in ("certify-quick", "certify-full", "certify-soak", "canary-local", "upgrade-local"):
        drawn = prepare(ROOT / f"scenarios/{name}.yaml", Choices(gate=False)).plan
        assert drawn.objectives
        assert [one for one in drawn.objectives if not (one.can_pass and one.can_fail)] == [], name
        assert name != "certify-full" or any(one.claim == "system" for one in drawn.objectives)


def test_an_objective_about_an_experiment_that_the_run_has_not_is_not_asked():
    other = slo(RecoveryTime(), 0.95, op="lte", value=300.0, window="fault", experiment="gpu-loss")
    with pytest.raises(ValueError, match="not enough values"):
        ask(other, faults=1)
