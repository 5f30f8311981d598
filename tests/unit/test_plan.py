from harness.model.plan import PlannedFault
from harness.model.scenario import Scenario
from harness.plan import EXPERIMENT_OVERHEAD_S, gaps, plan

SCENARIO = Scenario.model_validate(
    {
        "apiVersion": "harness/v1",
        "kind": "Scenario",
        "metadata": {"name": "s"},
        "spec": {
            "target": {"platform": "p.yaml"},
            "load": {
                "locustfile": "l.py",
                "arrivals": {"kind": "constant", "rate": 10},
                "mix": {"chat": 1},
                "warm_up": "5s",
            },
            "steady": "20s",
            "quiet": "3s",
            "experiments": [{"file": "a.yaml", "repeat": 3, "gap": "2s"}, {"file": "b.yaml", "gap": "1s"}],
            "slos": ["x"],
        },
    }
)


def fault(gap: float) -> PlannedFault:
    return PlannedFault(
        experiment="a#1",
        title="t",
        file="a.yaml",
        kinds=("process_kill",),
        selection=("x",),
        blast_radius=1,
        gap_s=gap,
        within_s=60,
    )


def test_gaps_are_seeded_and_within_their_bounds() -> None:
    first = gaps(SCENARIO.spec.experiments, seed=7)
    assert first == gaps(SCENARIO.spec.experiments, seed=7)
    assert first != gaps(SCENARIO.spec.experiments, seed=8)
    assert [(one.file, n) for one, n, _ in first] == [("a.yaml", 1), ("a.yaml", 2), ("a.yaml", 3), ("b.yaml", 1)]
    assert all(one.gap <= gap <= 2 * one.gap for one, _, gap in first)


def test_the_timeline_adds_up() -> None:
    drawn = plan(SCENARIO, "1.0.0", 7, (fault(1.5), fault(2.5)), 10.0)
    stages = [step.stage for step in drawn.steps]
    assert stages == ["warm-up", "steady", "steady", "fault", "steady", "fault", "quiet"]
    for before, after in zip(drawn.steps, drawn.steps[1:], strict=False):
        assert before.ends_s == after.starts_s
    shortest, longest = drawn.steps[-1].ends_s
    assert shortest == 5 + 20 + 1.5 + 2 + 2.5 + 2 + 3
    assert longest == shortest + 2 * (60 + EXPERIMENT_OVERHEAD_S - 2)
    assert drawn.load_s > longest
    assert drawn.arrivals == int(10 * shortest)


def test_the_plan_is_a_pure_function() -> None:
    assert plan(SCENARIO, "r", 1, (fault(1),), 5) == plan(SCENARIO, "r", 1, (fault(1),), 5)
