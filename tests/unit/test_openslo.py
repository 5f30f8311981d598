"""OpenSLO files: what loads, what is refused where, and what it means in words."""
# ruff: noqa: E501 — tables of mistakes read best unbroken

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import BadInput, BadInputs
from harness.model import openslo
from harness.model import slo as model
from harness.model.promql import parse_selector
from harness.spec.openslo import experiments_named, load_slos, read
from harness.spec.words import explain

ROOT = Path(__file__).parents[2]

GOOD = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: api-availability
  displayName: Availability
  annotations:
    harness/window: steady
spec:
  service: api
  indicator:
    metadata: {name: served}
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: RequestRecord
            spec: {outcome: served}
        total:
          metricSource:
            type: RequestRecord
            spec: {}
  budgetingMethod: Occurrences
  objectives:
    - displayName: three nines
      target: 0.999
"""


@pytest.fixture
def load(tmp_path):
    def inner(*texts: str):
        for number, text in enumerate(texts):
            (tmp_path / f"{number}.yaml").write_text(text)
        return load_slos([tmp_path])

    return inner


@pytest.fixture
def refused(load):
    """The only mistake of a text, as (line, key, cause, fix)."""

    def inner(*texts: str) -> tuple[int | None, str, str, str]:
        with pytest.raises(BadInputs) as caught:
            load(*texts)
        assert len(caught.value.mistakes) == 1, str(caught.value)
        mistake = caught.value.mistakes[0]
        assert mistake.file is not None and Path(mistake.file).suffix == ".yaml"
        assert mistake.fix, "every mistake says how to mend it"
        return mistake.line, mistake.key, mistake.cause, mistake.fix

    return inner


def test_a_good_file(load):
    (slo,) = load(GOOD)
    assert slo.indicator == model.RequestRatio(
        table="requests", total=model.RequestFilter(), good=model.RequestFilter(outcome="served")
    )
    assert slo.objectives == (model.Objective(title="three nines", target=0.999),)
    assert slo.origin.endswith("0.yaml:4")
    assert slo.annotations.confidence == 0.95


def replaced(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        (replaced("openslo/v1", "openslo/v2"), 1, "openslo/v1"),
        (replaced("kind: SLO", "kind: SLOO"), 2, "unknown kind 'SLOO'"),
        (replaced("name: api-availability", "name: api availability"), 4, "pattern"),
        (replaced("harness/window: steady", "harness/windw: steady"), 7, "unknown key 'harness/windw'"),
        (replaced("harness/window: steady", "harness/window: sometimes"), 7, "'steady', 'fault' or 'run'"),
        (replaced("harness/window: steady", "harness/minimum-events: 100"), 7, 'write "100" in quotes'),
        (replaced("harness/window: steady", 'harness/minimum-events: "many"'), 7, "'many' is not a whole number"),
        (replaced("harness/window: steady", 'harness/confidence: "1.5"'), 7, "less than"),
        (replaced("harness/window: steady", "harness/recovery-time: 5"), 7, "quotes"),
        (replaced("harness/window: steady", 'harness/recovery-time: "5"'), 7, "is not a duration"),
        (replaced("harness/window: steady", 'harness/target: "most"'), 7, "is not a share"),
        (replaced("harness/window: steady", 'harness/target: "99%"'), 7, "below the objective's own target"),
        (replaced("harness/window: steady", 'harness/levels: "a"'), 7, "degradation levels"),
        (replaced("harness/window: steady", "harness/phase: ready"), 6, "harness/experiment"),
        (replaced("harness/window: steady", "harness/phase: begun"), 7, "'detected', 'failed-over' or 'ready'"),
        (replaced("harness/window: steady", 'harness/levels: "1,3"'), 6, "harness/experiment"),
        (replaced("harness/window: steady", "harness/experiment: kill-weaviate"), 6, "harness/window: fault"),
        (replaced("spec: {outcome: served}", "spec: {outcom: served}"), 18, "unknown key 'outcom'"),
        (replaced("outcome: served", "fasterThan: 150"), 18, "is not a duration"),
        (replaced("outcome: served", "outcome: fine"), 18, "'any', 'served' or 'error'"),
        (replaced("type: RequestRecord\n            spec: {outcome", "type: RequestRecrd\n            spec: {outcome"), 17, "RequestRecrd"),
        (replaced("type: RequestRecord\n            spec: {outcome", "type: Any\n            spec: {outcome"), 17, "type 'Any' is not executed"),
        (replaced("type: RequestRecord\n            spec: {outcome", "type: Beacon\n            spec: {outcome"), 16, "good comes from Beacon"),
        (replaced("        good:", "        better:"), 15, "unknown key 'better'"),
        (replaced("budgetingMethod: Occurrences", "budgetingMethod: Timeslices"), 25, "Timeslices needs timeSliceTarget"),
        (replaced("budgetingMethod: Occurrences", "budgetingMethod: RatioTimeslices"), 25, "RatioTimeslices needs timeSliceWindow"),
        (replaced("  budgetingMethod: Occurrences\n", ""), 8, "does not say how its budget counts"),
        (replaced("target: 0.999", "target: 0.999\n      timeSliceTarget: 0.9"), 27, "means nothing to Occurrences"),
        (replaced("target: 0.999", "target: 0.999\n      timeSliceWindow: 1m"), 27, "means nothing to Occurrences"),
        (replaced("target: 0.999", "target: 0.999\n      op: gt"), 27, "thresholdMetric"),
        (replaced("budgetingMethod: Occurrences", "budgetingMethod: Sometimes"), 23, "Sometimes"),
        (replaced("target: 0.999", "target: 1"), 26, "less than 1"),
        (replaced("target: 0.999", "target: 99.9"), 26, "less than 1"),
        (replaced("target: 0.999", "target: 0"), 26, "asks for nothing"),
        (replaced("target: 0.999", "targt: 0.999"), 26, "unknown key 'targt'"),
        (replaced("target: 0.999", "target: 0.999\n      targetPercent: 99.9"), 25, "exactly one of target and targetPercent"),
        (replaced("target: 0.999", "target: 0.999\n      value: 3"), 27, "thresholdMetric"),
        (replaced("  service: api\n", "  service: api\n  service: api\n"), 10, "second time"),
        ("", 1, "empty"),
        ("- just\n- words\n", 1, "not an OpenSLO document"),
        ("kind: [SLO]\n", 1, "unknown kind"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_line(refused, text, line, cause):
    found, _key, told, _fix = refused(text)
    assert cause in told
    assert found == line


def test_several_mistakes_are_told_at_once(load):
    text = replaced("harness/window: steady", "harness/windw: x")
    with pytest.raises(BadInputs) as caught:
        load(text, GOOD.replace("service: api", "servce: api").replace("target: 0.999", "target: 2"))
    told = [(mistake.line, mistake.cause) for mistake in caught.value.mistakes]
    assert (7, "unknown key 'harness/windw'") in told
    assert (9, "unknown key 'servce'") in told
    assert any(line == 26 for line, _ in told)


def test_a_close_key_is_suggested(refused):
    assert refused(replaced("harness/window", "harness/windw"))[3] == "did you mean 'harness/window'?"
    assert refused(replaced("type: RequestRecord\n            spec: {outcome", "type: RequestRecrd\n            spec: {outcome"))[3] == "did you mean RequestRecord?"  # fmt: skip


def test_a_name_stands_once(refused):
    line, _, cause, _ = refused(GOOD, GOOD)
    assert line == 4
    assert "a second SLO called 'api-availability'; the first: " in cause


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        load_slos([tmp_path / "nothing.yaml"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no YAML file"):
        load_slos([tmp_path / "empty"])


def test_a_folder_does_not_take_its_sub_folders(tmp_path):
    (tmp_path / "canary").mkdir()
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "canary" / "b.yaml").write_text(GOOD)
    assert len(load_slos([tmp_path])) == 1


# ---- references -----------------------------------------------------------------------------------------------------

SERVICE = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: api}\nspec: {description: x}\n"
SOURCE = "apiVersion: openslo/v1\nkind: DataSource\nmetadata: {name: record}\nspec: {type: RequestRecord}\n"
SLI = """\
apiVersion: openslo/v1
kind: SLI
metadata: {name: served}
spec:
  ratioMetric:
    good: {metricSource: {metricSourceRef: record, spec: {outcome: served}}}
    total: {metricSource: {metricSourceRef: record}}
"""
BY_REFERENCE = GOOD[: GOOD.index("  indicator:")] + "  indicatorRef: served\n" + GOOD[GOOD.index("  budgetingMethod") :]


def test_references_give_the_same_as_inline(load):
    (inline,) = load(GOOD)
    found = load("---\n".join([BY_REFERENCE, SLI, SOURCE, SERVICE]))
    assert found[0].indicator == inline.indicator


def test_a_reference_is_found_in_the_other_files_of_the_folder(tmp_path):
    for name, text in {"slo": BY_REFERENCE, "sli": SLI, "source": SOURCE, "service": SERVICE}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    assert len(load_slos([tmp_path / "slo.yaml"])) == 1


@pytest.mark.parametrize(
    ("texts", "key", "cause"),
    [
        ((BY_REFERENCE,), "spec.indicatorRef", "no SLI is called 'served'"),
        ((BY_REFERENCE, SLI), "spec.ratioMetric.good.metricSource.metricSourceRef", "no DataSource is called 'record'"),
        ((GOOD, SERVICE.replace("name: api", "name: apl")), "spec.service", "no Service is called 'api'"),
    ],
)
def test_dangling_references(load, texts, key, cause):
    with pytest.raises(BadInputs) as caught:
        load(*texts)
    assert any(mistake.key == key and cause in mistake.cause for mistake in caught.value.mistakes)


def test_a_source_must_agree_with_its_reference(refused):
    wrong = SLI.replace("metricSourceRef: record, spec", "metricSourceRef: record, type: Beacon, spec")
    assert "Beacon, but the DataSource is RequestRecord" in refused(BY_REFERENCE, wrong, SOURCE)[2]


CONDITION = """\
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: fast-burn}
spec: {severity: page, condition: {kind: burnrate, threshold: 14, lookbackWindow: 1h, alertAfter: 5m}}
"""
TARGET = """\
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: on-call}
spec: {target: email}
"""
POLICY = """\
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: page}
spec:
  alertWhenBreaching: true
  conditions: [{conditionRef: fast-burn}]
  notificationTargets: [{targetRef: on-call}]
"""
ALERTING = GOOD + "  alertPolicies:\n    - alertPolicyRef: page\n"


def test_all_seven_kinds_load(load, tmp_path):
    assert len(load("---\n".join([ALERTING, SERVICE, SOURCE, SLI, CONDITION, TARGET, POLICY]))) == 1
    assert [type(d.value) for d in read(tmp_path / "0.yaml")] == [
        openslo.SLO,
        openslo.Service,
        openslo.DataSource,
        openslo.SLI,
        openslo.AlertCondition,
        openslo.AlertNotificationTarget,
        openslo.AlertPolicy,
    ]


@pytest.mark.parametrize(
    ("texts", "cause"),
    [
        ((ALERTING,), "no AlertPolicy is called 'page'"),
        ((ALERTING, POLICY, TARGET), "no AlertCondition is called 'fast-burn'"),
        ((ALERTING, POLICY, CONDITION), "no AlertNotificationTarget is called 'on-call'"),
    ],
)
def test_dangling_alerts(refused, texts, cause):
    assert cause in refused(*texts)[2]


def test_inline_conditions_and_targets(tmp_path):
    inline = POLICY.replace(
        "[{conditionRef: fast-burn}]",
        "[{kind: AlertCondition, metadata: {name: a}, spec: {severity: page, "
        "condition: {kind: burnrate, op: gt, threshold: 2, lookbackWindow: 1h}}}]",
    ).replace("[{targetRef: on-call}]", "[{kind: AlertNotificationTarget, metadata: {name: b}, spec: {target: slack}}]")
    (tmp_path / "a.yaml").write_text(inline)
    assert read(tmp_path / "a.yaml")[0].value.spec.conditions[0].spec.condition.op == "gt"


def test_a_list_of_documents_is_as_good_as_several(load):
    listed = "".join("- " + text.replace("\n", "\n  ").rstrip() + "\n" for text in (SERVICE, GOOD))
    assert len(load(listed)) == 1


def test_what_openslo_allows_but_nobody_executes_here_is_read_and_refused(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(
        GOOD.replace("type: RequestRecord", "type: Datadog").replace("Occurrences", "RatioTimeslices")
        + "      timeSliceWindow: 1m\n  timeWindow:\n    - duration: 1M\n      calendar: "
        "{startTime: 2026-01-01 12:00:00, timeZone: Europe/Berlin}\n"
    )
    assert len(read(file)) == 1
    with pytest.raises(BadInputs, match="a source of type 'Datadog' is not executed"):
        load_slos([file])


# ---- thresholds -----------------------------------------------------------------------------------------------------


def threshold(source: str, objective: str, *annotations: str) -> str:
    notes = "".join(f"    {line}\n" for line in annotations)
    return f"""\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: one
  annotations:
    harness/window: fault
{notes}spec:
  service: api
  indicator: {{spec: {{thresholdMetric: {{metricSource: {source}}}}}}}
  budgetingMethod: Occurrences
  objectives:
    - {{{objective}}}
"""


RECOVERY = "{type: Recovery, spec: {until: full-service}}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (RECOVERY, model.RecoveryTime()),
        ("{type: Recovery, spec: {until: served, regions: [lax]}}", model.RecoveryTime(until="served", regions=("lax",))),
        ("{type: Alert, spec: {name: Down, severity: P1}}", model.AlertTime(name="Down", severity="P1")),
        ("{type: Ledger, spec: {measure: seconds, regions: [a]}}", model.DataLossMeasure(measure="seconds", regions=("a",))),
        ("{type: Deployment}", model.DeploymentTime()),
        ("{type: ScaleUp, spec: {service: api, region: a}}", model.ScaleUpTime(service="api", region="a")),
        ("{type: Shift, spec: {to: a, over: 2s}}", model.TrafficShift(to="a", over=2.0)),
        ("{type: Primaries, spec: {regions: [a, b]}}", model.WritablePrimaries(regions=("a", "b"))),
        (
            "{type: Alert, spec: {name: Down, severity: P1, labels: {region: a}}}",
            model.AlertTime(name="Down", severity="P1", labels={"region": "a"}),
        ),
        ("{type: Prometheus, spec: {query: x}}", model.GaugeShare(query="x")),
        ("{type: Prometheus, spec: {query: x, equals: 2}}", model.ReactionTime(query="x", equals=2.0)),
        ("{type: Prometheus, spec: {query: x, per: y, unit: usd}}", model.IncreasePer(query="x", per="y", unit="usd")),
    ],
)  # fmt: skip
def test_indicators_of_thresholds(load, source, expected):
    (slo,) = load(threshold(source, "op: lte, value: 300, target: 0.95"))
    assert slo.indicator == expected


def test_a_recovery_time_can_be_said_with_its_unit(load):
    (slo,) = load(threshold(RECOVERY, "target: 0.95", "harness/recovery-time: 5m"))
    assert (slo.objectives[0].op, slo.objectives[0].value) == ("lte", 300.0)
    (loss,) = load(
        threshold("{type: Ledger, spec: {measure: seconds, regions: [a]}}", "target: 0.9", "harness/data-loss: 5m")
    )
    assert loss.objectives[0].value == 300.0


def test_a_hundred_percent_is_an_annotation(load):
    (slo,) = load(threshold(RECOVERY, "op: lte, value: 300, target: 0.99999", "harness/target: 100%"))
    assert slo.objectives[0].target == 1.0


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (threshold(RECOVERY, "target: 0.95"), "needs op and value"),
        (threshold(RECOVERY, "op: lte, value: 60, target: 0.95", "harness/recovery-time: 5m"), "does not agree"),
        (threshold("{type: RequestRecord}", "op: lte, value: 1, target: 0.9"), "counts a ratio"),
        (threshold("{type: Prometheus, spec: {query: 'rate(x[1m])'}}", "op: lte, value: 1, target: 0.9"), "not a series selector"),
        (threshold("{type: Prometheus, spec: {query: 'x{a=~\"(\"}'}}", "op: lte, value: 1, target: 0.9"), "not a regular expression"),
        (
            threshold("{type: Primaries, spec: {regions: [a]}}", "op: lte, value: 1, target: 0.9", "harness/claim: system"),
            "one value in a run",
        ),
        (threshold("{type: Primaries}", "op: lte, value: 1, target: 0.9"), "'regions' is missing"),
        (threshold("{type: Ledger}", "op: lte, value: 1, target: 0.9"), "'regions' is missing"),
        (threshold("{type: Alert, spec: {name: Down}}", "op: lte, value: 1, target: 0.9"), "'severity' is missing"),
        (threshold(RECOVERY, "op: lte, value: 1, target: 0.9").replace("window: fault", "window: steady"), "from a fault on"),
        (GOOD.replace("type: RequestRecord", "type: Recovery").replace("{outcome: served}", "{}"), "not a ratio"),
        (GOOD.replace("type: RequestRecord", "type: Prometheus").replace("{outcome: served}", "{query: 'sum(a)'}").replace("spec: {}", "spec: {query: a}"), "not a series selector"),
    ],
)  # fmt: skip
def test_thresholds_that_make_no_sense(refused, text, cause):
    assert cause in refused(text)[2]


def test_levels_are_promised_in_one_way(refused):
    def promising(name: str, levels: str) -> str:
        notes = f'harness/window: fault\n    harness/experiment: kill\n    harness/levels: "{levels}"'
        return GOOD.replace("harness/window: steady", notes).replace("api-availability", name)

    assert "promises levels 1 or 2 during kill, but a (" in refused(promising("a", "1,3"), promising("b", "1,2"))[2]


def test_only_a_time_after_a_fault_has_a_phase(refused):
    notes = "harness/window: fault\n    harness/experiment: kill\n    harness/phase: ready"
    assert "no time after a fault" in refused(GOOD.replace("harness/window: steady", notes))[2]


# ---- the repository's own -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["slos", "slos/canary"])
def test_the_repositorys_own_objectives_load_and_explain_themselves(folder):
    slos = load_slos([ROOT / folder])
    assert slos
    for slo in slos:
        assert explain(slo).startswith(slo.title)
        assert explain(slo).endswith(".")


def test_words(load):
    (slo,) = load(GOOD.replace("harness/window: steady", 'harness/window: steady\n    harness/minimum-events: "100"'))
    assert explain(slo) == (
        "Availability (api): of all requests in the load's own record, counts those that were served; "
        "judged outside of fault windows, after the warm-up. "
        "Must hold: at least 99.9 % (three nines). Fewer than 100 events decide nothing."
    )


# ---- selectors ------------------------------------------------------------------------------------------------------


def test_selectors_match_like_prometheus():
    labels = {"__name__": "http_total", "code": "200", "path": 'a"b'}
    assert parse_selector("http_total").matches(labels)
    assert parse_selector('http_total{code="200",}').matches(labels)
    assert parse_selector('http_total{code=~"2..|4..", missing=""}').matches(labels)
    assert parse_selector(r'http_total{path="a\"b"}').matches(labels)
    assert not parse_selector('http_total{code!="200"}').matches(labels)
    assert not parse_selector('http_total{code!~"2.."}').matches(labels)
    assert not parse_selector('http_total{code=~"20"}').matches(labels)  # anchored
    assert not parse_selector("other").matches(labels)


@pytest.mark.parametrize("text", ["", "a b", "a{", 'a{b="c"', "a[5m]", "a + b", "sum(a)", "a{b=c}", '{a="b"}', 'a{b="c" d="e"}'])  # fmt: skip
def test_other_expressions_are_no_selectors(text):
    with pytest.raises(ValueError, match="not a series selector"):
        parse_selector(text)


def test_experiments_are_told_with_every_place_that_names_them(load, tmp_path):
    excused = "{type: Ledger, spec: {regions: [a], excusedBefore: {region-lost: 5m, kill: 1s}}}"
    slos = load(
        threshold(RECOVERY, "op: lte, value: 300, target: 0.95", "harness/experiment: kill"),
        threshold(excused, "op: lte, value: 0, target: 0.95").replace("name: one", "name: two"),
        threshold(RECOVERY, "op: lte, value: 300, target: 0.95").replace("name: one", "name: three"),
    )
    first, second = str(tmp_path / "0.yaml"), str(tmp_path / "1.yaml")
    assert experiments_named(slos) == {"kill": [(first, 4), (second, 4)], "region-lost": [(second, 4)]}
