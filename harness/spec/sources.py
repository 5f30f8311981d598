"""Where an SLO's numbers come from: the source of a metric and its fields → an indicator for the judge."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NoReturn

from pydantic import Field, model_validator

from harness.model import openslo
from harness.model import slo as model
from harness.model.base import Frozen
from harness.spec.budgets import not_executed
from harness.spec.foreach import refuse_unknown
from harness.spec.yaml import KeyPath, Located, parse

Path_ = tuple[str | int, ...]
Need = Callable[[Located[Any], KeyPath, str, str], Located[Any]]


class _Prometheus(Frozen):
    """`query` names series; `expression` is PromQL that Prometheus evaluates itself."""

    query: str = ""
    expression: str = ""
    per: str = ""
    unit: str = ""
    equals: openslo.Finite | None = None
    after: openslo.Finite | None = None
    per_arrival: openslo.Finite | None = Field(default=None, gt=0, alias="perArrival")
    max_rate: openslo.Finite | None = Field(default=None, gt=0, alias="maxRate")

    @model_validator(mode="after")
    def _one_question(self) -> _Prometheus:
        if bool(self.query) == bool(self.expression):
            raise ValueError("needs exactly one of query (series) and expression (PromQL that Prometheus evaluates)")
        if self.expression and self.model_fields_set - {"expression"}:
            raise ValueError("nothing else belongs beside expression: it is recorded as Prometheus answers it")
        return self


class _Check(Frozen):
    checks: tuple[str, ...] = ()


class _Across(Frozen):
    measure: Literal["detection-time", "recovery-time", "changes", "failed-changes", "changes-per-day"]


class _Nothing(Frozen):
    pass


SPECS: dict[str, type[Frozen]] = {
    "RequestRecord": model.RequestFilter,
    "Beacon": model.RequestFilter,
    "Prometheus": _Prometheus,
    "Check": _Check,
    "Coverage": model.MonitoringCoverage,
    "Recovery": model.RecoveryTime,
    "Ledger": model.DataLossMeasure,
    "Alert": model.AlertTime,
    "Deployment": _Nothing,
    "Primaries": model.WritablePrimaries,
    "ScaleUp": model.ScaleUpTime,
    "Shift": model.TrafficShift,
    "Across": _Across,
}
SAME_WORD = 0.75  # a word as like one of these is a slip of the pen; less like, as Redshift to Shift, another source
RATIO_SOURCES = ("RequestRecord", "Beacon", "Prometheus", "Check", "Coverage")
COUNTS_OF_RUNS = ("changes", "failed-changes")
RATIOS = (model.RequestRatio, model.CounterRatio, model.ComputedRatio, model.CheckRatio, model.MonitoringCoverage)
ONCE = (model.ComputedRatio, model.IncreasePer, model.WritablePrimaries, model.ScaleUpTime, model.TrafficShift)
FAULT_INDICATORS = (model.RecoveryTime, model.ReactionTime, model.AlertTime)


def is_ratio(indicator: model.Indicator) -> bool:
    """Whether the objective is a share of good events, without op and value."""
    return isinstance(indicator, (*RATIOS, model.Composite)) or indicator == model.AcrossRuns(measure="change-failures")


def sources(path: Path_, spec: openslo.SLISpec) -> list[tuple[Path_, openslo.MetricSource]]:
    found: list[tuple[Path_, openslo.MetricSource]] = []
    if spec.threshold_metric:
        found.append(((*path, "thresholdMetric", "metricSource"), spec.threshold_metric.metric_source))
    if spec.ratio_metric:
        for role in ("good", "bad", "total", "raw"):
            metric = getattr(spec.ratio_metric, role)
            if metric:
                found.append(((*path, "ratioMetric", role, "metricSource"), metric.metric_source))
    return found


def indicator_of(
    owner: Located[Any], path: Path_, sli: openslo.SLISpec, need: Need
) -> tuple[str, model.SimpleIndicator]:
    parts: dict[str, tuple[Path_, str, Any]] = {}
    for where, source in sources(path, sli):
        parts[str(where[-2])] = (where, *_source(owner, where, source, need))
    if "thresholdMetric" in parts:
        where, kind, spec = parts["thresholdMetric"]
        return kind, _threshold(owner, where, kind, spec)
    where, kind, total = parts.get("total") or parts["raw"]
    if "raw" in parts:
        return kind, _raw(owner, where, kind, total, sli.ratio_metric)
    role = "good" if "good" in parts else "bad"
    other_where, other_kind, part = parts[role]
    if other_kind != kind:
        raise owner.error(other_where, f"{role} comes from {other_kind}, total from {kind}", "use one source for both")
    return kind, _ratio(owner, where, kind, role, part, total, sli.ratio_metric)


def _source(owner: Located[Any], path: Path_, source: openslo.MetricSource, need: Need) -> tuple[str, Any]:
    kind = source.type
    if source.metric_source_ref:
        found = need(owner, (*path, "metricSourceRef"), "DataSource", source.metric_source_ref)
        if kind and kind != found.value.spec.type:
            raise owner.error((*path, "type"), f"{kind}, but the DataSource is {found.value.spec.type}", "remove type")
        kind = found.value.spec.type
    if kind not in SPECS:
        close = difflib.get_close_matches(kind, SPECS, n=1, cutoff=SAME_WORD)
        fix = f"did you mean {close[0]}?" if close else f"one of: {', '.join(SPECS)}"
        mistake = owner.error if close else partial(not_executed, owner)
        raise mistake((*path, "type"), f"a source of type {kind!r} is not executed here", fix)
    refuse_unknown(owner.node, (*path, "spec"), source.spec)
    return kind, parse(owner.node.below((*path, "spec"), source.spec), SPECS[kind]).value


def _ratio(
    owner: Located[Any], where: Path_, kind: str, role: str, part: Any, total: Any, metric: openslo.RatioMetric | None
) -> model.SimpleIndicator:
    if kind in ("RequestRecord", "Beacon"):
        table = "requests" if kind == "RequestRecord" else "beacon"
        return model.RequestRatio.model_validate({"table": table, "total": total, role: part})
    if kind == "Prometheus":
        if metric is not None and not metric.counter:
            raise not_executed(
                owner, where[:-2], "ratios of gauges are not executed here", "use a thresholdMetric with op, value"
            )
        for query, name in ((part.query, role), (total.query, "total")):
            _selector(owner, (*where[:-2], name, "metricSource", "spec", "query"), query)
        return model.CounterRatio.model_validate(
            {"total": total.query, role: part.query, "per_arrival": total.per_arrival, "max_rate": total.max_rate}
        )
    if kind == "Across":
        if (role, part.measure, total.measure) != ("bad", "failed-changes", "changes"):
            raise owner.error(
                where[:-2], "of runs only failed changes are counted", "bad: failed-changes, total: changes"
            )
        return model.AcrossRuns(measure="change-failures")
    if kind == "Check":
        return model.CheckRatio(checks=total.checks)
    if kind == "Coverage":
        return model.MonitoringCoverage(label=total.label)
    raise owner.error((*where, "type"), f"{kind} measures a value, not a ratio", "put it under thresholdMetric")


def _raw(
    owner: Located[Any], where: Path_, kind: str, spec: Any, metric: openslo.RatioMetric | None
) -> model.ComputedRatio:
    """A ratio that Prometheus computes: it is recorded as it was answered, and marked so."""
    if kind != "Prometheus":
        raise not_executed(
            owner, (*where, "type"), f"a raw ratio of {kind} is not executed here", "give good and total"
        )
    failure = metric is not None and metric.raw_type == "failure"
    return model.ComputedRatio(query=spec.expression or spec.query, failure=failure)


def _threshold(owner: Located[Any], where: Path_, kind: str, spec: Any) -> model.SimpleIndicator:
    if kind == "Prometheus":
        if spec.expression:
            return model.GaugeShare(query=spec.expression, computed=True)
        for key in ("query", "per"):
            if getattr(spec, key):
                _selector(owner, (*where, "spec", key), getattr(spec, key))
        if spec.per:
            return model.IncreasePer(query=spec.query, per=spec.per, unit=spec.unit or "ratio")
        if spec.equals is not None:
            return model.ReactionTime(query=spec.query, equals=spec.equals, after=spec.after)
        return model.GaugeShare(query=spec.query)
    if kind == "Deployment":
        return model.DeploymentTime()
    if kind in RATIO_SOURCES:
        raise owner.error((*where, "type"), f"{kind} counts a ratio", "put it under ratioMetric with good and total")
    if kind == "Across":
        if spec.measure in COUNTS_OF_RUNS:
            fix = "put failed-changes as bad and changes as total under ratioMetric"
            raise owner.error((*where, "spec", "measure"), f"{spec.measure} is counted, not measured", fix)
        return model.AcrossRuns(measure=spec.measure)
    indicator: model.SimpleIndicator = spec
    return indicator


def _selector(owner: Located[Any], path: KeyPath, query: str) -> None:
    from harness.model.promql import parse_selector

    try:
        parse_selector(query)
    except ValueError as error:
        _refuse(owner, path, str(error))


def _refuse(owner: Located[Any], path: KeyPath, cause: str) -> NoReturn:
    raise not_executed(
        owner,
        path,
        cause,
        'name series only, as in sophia_requests_total{service="unified-api"}: increases and sums are computed here, '
        "from raw samples",
    )
