"""OpenSLO v1 files → `Slo` values that the judge can evaluate. Each mistake names file, line, cause and fix.

`read` accepts everything that OpenSLO v1 defines; `load_slos` also refuses what the judge cannot execute (a source
that it does not know, a budgeting method that it does not compute), so that nothing is ever silently left out.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import Field, model_validator

from harness.errors import BadInput, BadInputs
from harness.model import slo as model
from harness.model.base import Frozen, format_duration, parse_duration
from harness.model.slo import PREFIX, Annotations, Objective, Slo
from harness.spec.yaml import KeyPath, Located, Node, parse, read_documents

T = TypeVar("T", bound=Frozen)
Path_ = tuple[str | int, ...]
REFERENCE = "see docs/reference/slos.md"


# ---- what the sources' `spec` may hold ------------------------------------------------------------------------------


class _Prometheus(Frozen):
    """`query` names series; `expression` is PromQL that Prometheus evaluates itself."""

    query: str = ""
    expression: str = ""
    per: str = ""
    unit: str = ""
    equals: float | None = None
    after: float | None = None
    per_arrival: float | None = Field(default=None, gt=0, alias="perArrival")
    max_rate: float | None = Field(default=None, gt=0, alias="maxRate")

    @model_validator(mode="after")
    def _one_question(self) -> _Prometheus:
        if bool(self.query) == bool(self.expression):
            raise ValueError("needs exactly one of query (series) and expression (PromQL that Prometheus evaluates)")
        if self.expression and self.model_fields_set - {"expression"}:
            raise ValueError("nothing else belongs beside expression: it is recorded as Prometheus answers it")
        return self


class _Check(Frozen):
    checks: tuple[str, ...] = ()


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
}
RATIO_SOURCES = ("RequestRecord", "Beacon", "Prometheus", "Check", "Coverage")
RATIOS = (model.RequestRatio, model.CounterRatio, model.ComputedRatio, model.CheckRatio, model.MonitoringCoverage)
ONCE = (model.ComputedRatio, model.IncreasePer, model.WritablePrimaries)
FAULT_INDICATORS = (model.RecoveryTime, model.ReactionTime, model.AlertTime)


# ---- reading --------------------------------------------------------------------------------------------------------


def yaml_files(paths: Iterable[Path]) -> list[Path]:
    """The files themselves, and the YAML files directly in the folders (sub-folders hold other sets of objectives)."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml") and file.is_file())
            if not inside:
                raise BadInput("holds no YAML file", file=path, fix="name the folder with the OpenSLO files")
            found.extend(inside)
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def read(file: Path) -> list[Located[Any]]:
    """All OpenSLO documents of a file. Raises BadInputs with every mistake in it."""
    documents: list[Located[Any]] = []
    mistakes: list[BadInput] = []
    for node in read_documents(file):
        for part in _parts(node):
            with _Collect(mistakes):
                documents.append(_document(part))
    if mistakes:
        raise BadInputs(mistakes)
    return documents


def _parts(node: Node) -> list[Node]:
    """A list of documents is as good as several."""
    if isinstance(node.data, list) and node.data and all(isinstance(item, dict) for item in node.data):
        return [_below(node, (index,), item) for index, item in enumerate(node.data)]
    return [node]


def _document(node: Node) -> Located[Any]:
    if not isinstance(node.data, dict):
        raise node.error((), "not an OpenSLO document", "begin with apiVersion, kind, metadata and spec")
    kind = node.data.get("kind")
    if not isinstance(kind, str) or kind not in model.KINDS:
        close = difflib.get_close_matches(str(kind), model.KINDS, n=1)
        raise node.error(
            ("kind",),
            f"unknown kind {kind!r}",
            f"did you mean {close[0]}?" if close else f"one of: {', '.join(model.KINDS)}",
        )
    found: Located[Any] = parse(node, model.KINDS[kind])
    _check_annotations(node, kind)
    return found


def _check_annotations(node: Node, kind: str) -> None:
    path: Path_ = ("metadata", "annotations")
    ours = {key: value for key, value in _at(node, path, {}).items() if key.startswith(PREFIX)}
    if kind == "SLO":
        parse(_below(node, path, ours), Annotations)
    elif ours:
        key = next(iter(ours))
        raise node.error((*path, key), f"only an SLO may have {PREFIX} annotations", f"move {key} to the SLO")


def _at(node: Node, path: KeyPath, default: Any = None) -> Any:
    data = node.data
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return default
    return default if data is None else data


def _below(node: Node, path: Path_, data: Any) -> Node:
    """A part of a document as a node of its own, so that mistakes in it keep their lines."""
    lines = {key[len(path) :]: line for key, line in node.lines.items() if key[: len(path)] == path}
    return replace(node, data=data, lines=lines, first_line=node.line(path))


class _Collect:
    """Keeps mistakes instead of stopping at the first."""

    def __init__(self, mistakes: list[BadInput]) -> None:
        self._mistakes = mistakes

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, BadInputs):
            self._mistakes.extend(error.mistakes)
        elif isinstance(error, BadInput):
            self._mistakes.append(error)
        return isinstance(error, BadInput)


# ---- references -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Catalogue:
    """All documents by kind and name; a reference is looked for in the given files, then in their folders."""

    given: dict[tuple[str, str], Located[Any]]
    around: Callable[[], dict[tuple[str, str], Located[Any]]]

    def get(self, kind: str, name: str) -> Located[Any] | None:
        return self.given.get((kind, name)) or self.around().get((kind, name))

    def names(self, kind: str) -> list[str]:
        return sorted({name for known, name in {**self.around(), **self.given} if known == kind})

    def need(self, user: Located[Any], path: KeyPath, kind: str, name: str) -> Located[Any]:
        found = self.get(kind, name)
        if found is None:
            known = self.names(kind)
            close = difflib.get_close_matches(name, known, n=1)
            fix = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"
            raise user.error(path, f"no {kind} is called {name!r}", fix)
        return found


def _catalogue(documents: Sequence[Located[Any]], mistakes: list[BadInput]) -> _Catalogue:
    given: dict[tuple[str, str], Located[Any]] = {}
    for document in documents:
        key = (document.value.kind, document.value.metadata.name)
        if key in given:
            first = given[key]
            place = f"{first.file}:{first.line(('metadata', 'name'))}"
            mistakes.append(
                document.error(
                    ("metadata", "name"), f"a second {key[0]} called {key[1]!r}; the first: {place}", "rename"
                )
            )
        given.setdefault(key, document)
    files = {document.file for document in documents}
    cache: list[dict[tuple[str, str], Located[Any]]] = []

    def around() -> dict[tuple[str, str], Located[Any]]:
        if not cache:
            cache.append({})
            for folder in sorted({file.parent for file in files}):
                for file in sorted(folder.glob("*.y*ml")):
                    if file not in files:
                        with _Collect([]):  # that file's own mistakes are told when it is read for itself
                            cache[0].update({(d.value.kind, d.value.metadata.name): d for d in read(file)})
        return cache[0]

    return _Catalogue(given, around)


# ---- resolving ------------------------------------------------------------------------------------------------------


def load_slos(paths: Sequence[Path]) -> tuple[Slo, ...]:
    """All SLOs of these files and folders, resolved. Raises BadInputs with every mistake found."""
    mistakes: list[BadInput] = []
    documents: list[Located[Any]] = []
    for file in yaml_files([Path(path) for path in paths]):
        with _Collect(mistakes):
            documents.extend(read(file))
    catalogue = _catalogue(documents, mistakes)
    found: list[Slo] = []
    for document in documents:
        with _Collect(mistakes):
            _check_references(document, catalogue)
            if isinstance(document.value, model.SLO):
                found.append(_resolve(document, catalogue))
    with _Collect(mistakes):
        _check_promises(found)
        _check_same(found)
        _check_phases(found)
    if mistakes:
        raise BadInputs(list({str(mistake): mistake for mistake in mistakes}.values()))
    return tuple(found)


def _check_references(document: Located[Any], catalogue: _Catalogue) -> None:
    value = document.value
    policies: list[tuple[Path_, model.AlertPolicy]] = []
    if isinstance(value, model.SLO):
        if catalogue.names("Service"):
            catalogue.need(document, ("spec", "service"), "Service", value.spec.service)
        for index, policy in enumerate(value.spec.alert_policies):
            path: Path_ = ("spec", "alertPolicies", index)
            if isinstance(policy, model.AlertPolicyRef):
                catalogue.need(document, (*path, "alertPolicyRef"), "AlertPolicy", policy.alert_policy_ref)
            else:
                policies.append((path, policy))
    elif isinstance(value, model.AlertPolicy):
        policies.append(((), value))
    elif isinstance(value, model.SLI):
        for path, source in _sources(("spec",), value.spec):
            if source.metric_source_ref:
                catalogue.need(document, (*path, "metricSourceRef"), "DataSource", source.metric_source_ref)
    for path, policy in policies:
        for index, condition in enumerate(policy.spec.conditions):
            if isinstance(condition, model.ConditionRef):
                where = (*path, "spec", "conditions", index, "conditionRef")
                catalogue.need(document, where, "AlertCondition", condition.condition_ref)
        for index, target in enumerate(policy.spec.notification_targets):
            if isinstance(target, model.TargetRef):
                where = (*path, "spec", "notificationTargets", index, "targetRef")
                catalogue.need(document, where, "AlertNotificationTarget", target.target_ref)


def experiments_named(slos: Iterable[Slo]) -> dict[str, list[tuple[str, int]]]:
    """The experiments that objectives speak of, each with the (file, line) of every SLO that names it.

    A name is an experiment's file without its ending: by `harness/experiment` and `excusedBefore`.
    """
    found: dict[str, list[tuple[str, int]]] = {}
    for slo in slos:
        excused = slo.indicator.excused_before if isinstance(slo.indicator, model.DataLossMeasure) else {}
        file, _, line = slo.origin.rpartition(":")
        for name in dict.fromkeys([slo.annotations.experiment, *excused]):
            if name:
                found.setdefault(name, []).append((file, int(line)))
    return found


def _sources(path: Path_, spec: model.SLISpec) -> list[tuple[Path_, model.MetricSource]]:
    found: list[tuple[Path_, model.MetricSource]] = []
    if spec.threshold_metric:
        found.append(((*path, "thresholdMetric", "metricSource"), spec.threshold_metric.metric_source))
    if spec.ratio_metric:
        for role in ("good", "bad", "total", "raw"):
            metric = getattr(spec.ratio_metric, role)
            if metric:
                found.append(((*path, "ratioMetric", role, "metricSource"), metric.metric_source))
    return found


def _check_same(slos: Sequence[Slo]) -> None:
    """`harness/same-as` must name an SLO that counts requests in the same window, in the same role."""
    by_name = {slo.name: slo for slo in slos}
    for slo in slos:
        wanted, here = slo.annotations.same_as, slo.indicator
        if not wanted:
            continue
        other = by_name.get(wanted)
        there = other.indicator if other else None
        if other is None or there is None:
            cause, fix = f"no SLO is called {wanted!r}", f"known: {', '.join(sorted(by_name))}"
        elif not isinstance(here, model.CounterRatio):
            cause, fix = "only a ratio of Prometheus counters can be compared", "put it at the platform's own count"
        elif not isinstance(there, model.RequestRatio) or there.table != "requests":
            cause, fix = f"{wanted} does not count the load's requests", "name an SLO on the RequestRecord"
        elif (slo.annotations.window, slo.annotations.experiment) != (
            other.annotations.window,
            other.annotations.experiment,
        ):
            cause, fix = f"{wanted} is judged over another window", "give both the same window and experiment"
        elif bool(here.good) != (there.good is not None):
            cause, fix = f"one of {slo.name} and {wanted} counts good events, the other bad ones", "count the same"
        else:
            continue
        file, _, line = slo.origin.rpartition(":")
        raise BadInput(cause, file=file, line=int(line), key="metadata.annotations.harness/same-as", fix=fix)


def _check_promises(slos: Sequence[Slo]) -> None:
    """Which levels a fault's users are promised must be said in one way only."""
    first: dict[str, Slo] = {}
    for slo in slos:
        promised, experiment = slo.annotations.levels, slo.annotations.experiment
        if not promised:
            continue
        other = first.setdefault(experiment, slo)
        if set(other.annotations.levels) != set(promised):
            file, _, line = slo.origin.rpartition(":")
            raise BadInput(
                f"{slo.name} promises levels {_listed(promised)} during {experiment}, "
                f"but {other.name} ({other.origin}) promises {_listed(other.annotations.levels)}",
                file=file,
                line=int(line),
                key="metadata.annotations.harness/levels",
                fix="say it once",
            )


def _check_phases(slos: Sequence[Slo]) -> None:
    """Only what is a time after a fault can tell a step of its recovery."""
    for slo in slos:
        if slo.annotations.phase and not isinstance(
            slo.indicator, model.AlertTime | model.ReactionTime | model.RecoveryTime
        ):
            file, _, line = slo.origin.rpartition(":")
            raise BadInput(
                f"{slo.name} is no time after a fault, so it cannot tell when a recovery was {slo.annotations.phase}",
                file=file,
                line=int(line),
                key="metadata.annotations.harness/phase",
                fix="only objectives on alerts, reactions and recoveries have a phase",
            )


def _resolve(document: Located[model.SLO], catalogue: _Catalogue) -> Slo:
    value, spec = document.value, document.value.spec
    notes = parse(
        _below(
            document.node,
            ("metadata", "annotations"),
            {key: text for key, text in value.metadata.annotations.items() if key.startswith(PREFIX)},
        ),
        Annotations,
    ).value
    if spec.budgeting_method != "Occurrences":
        raise document.error(
            ("spec", "budgetingMethod"),
            f"{spec.budgeting_method} is not executed here",
            "use Occurrences: good events divided by all events",
        )
    owner: Located[Any] = document
    path: Path_ = ("spec", "indicator", "spec")
    if spec.indicator is not None:
        sli = spec.indicator.spec
    else:
        owner = catalogue.need(document, ("spec", "indicatorRef"), "SLI", spec.indicator_ref)
        path, sli = ("spec",), owner.value.spec
    source, indicator = _indicator(owner, path, sli, catalogue)
    if isinstance(indicator, FAULT_INDICATORS) and notes.window != "fault":
        raise document.error(
            ("metadata", "annotations"),
            f"{source} measures from a fault on",
            "add the annotation harness/window: fault, and harness/experiment to choose one",
        )
    if isinstance(indicator, ONCE) and notes.claim == "system":
        raise document.error(
            ("metadata", "annotations", "harness/claim"),
            f"{source} gives one value in a run, from which nothing can be inferred",
            "claim the run",
        )
    return Slo(
        name=value.metadata.name,
        title=value.metadata.display_name or value.metadata.name,
        description=spec.description,
        service=spec.service,
        origin=f"{document.file}:{document.line(('metadata', 'name'))}",
        source=source,
        annotations=notes,
        indicator=indicator,
        objectives=tuple(
            _objective(document, ("spec", "objectives", index), entry, indicator, notes)
            for index, entry in enumerate(spec.objectives)
        ),
    )


def _objective(
    document: Located[Any], path: Path_, entry: model.ObjectiveSpec, indicator: model.Indicator, notes: Annotations
) -> Objective:
    op, value = entry.op, entry.value
    declared, annotation = _declared(indicator, notes)
    if declared is not None:
        if value is not None and abs(value - declared) > 1e-9:
            raise document.error(
                (*path, "value"), f"{value:g} does not agree with {annotation}, which is {declared:g}", "say the same"
            )
        op, value = op or "lte", declared
    target = notes.target or entry.share
    if target < entry.share:
        raise document.error(
            ("metadata", "annotations", "harness/target"), "is below the objective's own target", "remove one of them"
        )
    if not target:
        raise document.error((*path, "target"), "a target of 0 asks for nothing", "give the least share of good events")
    if isinstance(indicator, RATIOS):
        if value is not None:
            raise document.error((*path, "value"), "belongs to a thresholdMetric", "remove it; a ratio has a target")
        op = None
    elif op is None or value is None:
        raise document.error(path, "a thresholdMetric needs op and value", "add op: lte and value: 300, for example")
    return Objective(title=entry.display_name, target=target, op=op, value=value)


def _declared(indicator: model.Indicator, notes: Annotations) -> tuple[float | None, str]:
    """The value that an annotation gives with its unit."""
    if (
        isinstance(indicator, model.RecoveryTime | model.ReactionTime | model.AlertTime)
        and notes.recovery_time is not None
    ):
        return notes.recovery_time, "harness/recovery-time"
    if isinstance(indicator, model.DataLossMeasure) and notes.data_loss:
        if indicator.measure == "seconds" and notes.data_loss != "0":
            return parse_duration(notes.data_loss), "harness/data-loss"
        if notes.data_loss == "0":
            return 0.0, "harness/data-loss"
    return None, ""


def _indicator(
    owner: Located[Any], path: Path_, sli: model.SLISpec, catalogue: _Catalogue
) -> tuple[str, model.Indicator]:
    parts: dict[str, tuple[Path_, str, Any]] = {}
    for where, source in _sources(path, sli):
        parts[str(where[-2])] = (where, *_source(owner, where, source, catalogue))
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


def _source(owner: Located[Any], path: Path_, source: model.MetricSource, catalogue: _Catalogue) -> tuple[str, Any]:
    kind = source.type
    if source.metric_source_ref:
        found = catalogue.need(owner, (*path, "metricSourceRef"), "DataSource", source.metric_source_ref)
        if kind and kind != found.value.spec.type:
            raise owner.error((*path, "type"), f"{kind}, but the DataSource is {found.value.spec.type}", "remove type")
        kind = found.value.spec.type
    if kind not in SPECS:
        close = difflib.get_close_matches(kind, SPECS, n=1)
        fix = f"did you mean {close[0]}?" if close else f"one of: {', '.join(SPECS)}"
        raise owner.error((*path, "type"), f"a source of type {kind!r} is not executed here", fix)
    return kind, parse(_below(owner.node, (*path, "spec"), source.spec), SPECS[kind]).value


def _ratio(
    owner: Located[Any], where: Path_, kind: str, role: str, part: Any, total: Any, metric: model.RatioMetric | None
) -> model.Indicator:
    if kind in ("RequestRecord", "Beacon"):
        table = "requests" if kind == "RequestRecord" else "beacon"
        return model.RequestRatio.model_validate({"table": table, "total": total, role: part})
    if kind == "Prometheus":
        if metric is not None and not metric.counter:
            raise owner.error(
                where[:-2], "ratios of gauges are not executed here", "use a thresholdMetric with op, value"
            )
        for query, name in ((part.query, role), (total.query, "total")):
            _selector(owner, (*where[:-2], name, "metricSource", "spec", "query"), query)
        return model.CounterRatio.model_validate(
            {"total": total.query, role: part.query, "per_arrival": total.per_arrival, "max_rate": total.max_rate}
        )
    if kind == "Check":
        return model.CheckRatio(checks=total.checks)
    if kind == "Coverage":
        return model.MonitoringCoverage(label=total.label)
    raise owner.error((*where, "type"), f"{kind} measures a value, not a ratio", "put it under thresholdMetric")


def _raw(
    owner: Located[Any], where: Path_, kind: str, spec: Any, metric: model.RatioMetric | None
) -> model.ComputedRatio:
    """A ratio that Prometheus computes: it is recorded as it was answered, and marked so."""
    if kind != "Prometheus":
        raise owner.error((*where, "type"), f"a raw ratio of {kind} is not executed here", "give good and total")
    failure = metric is not None and metric.raw_type == "failure"
    return model.ComputedRatio(query=spec.expression or spec.query, failure=failure)


def _threshold(owner: Located[Any], where: Path_, kind: str, spec: Any) -> model.Indicator:
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
    indicator: model.Indicator = spec
    return indicator


def _selector(owner: Located[Any], path: KeyPath, query: str) -> None:
    from harness.model.promql import parse_selector

    try:
        parse_selector(query)
    except ValueError as error:
        _refuse(owner, path, str(error))


def _refuse(owner: Located[Any], path: KeyPath, cause: str) -> NoReturn:
    raise owner.error(
        path,
        cause,
        'name series only, as in sophia_requests_total{service="unified-api"}: increases and sums are computed here, '
        "from raw samples",
    )


# ---- in plain words -------------------------------------------------------------------------------------------------

BOUNDS = {"lte": "at most", "lt": "less than", "gte": "at least", "gt": "more than"}


def explain(slo: Slo) -> str:
    """What the SLO counts, where from, over which window, and what must hold: a few plain sentences."""
    notes = slo.annotations
    goals = "; ".join(goal(slo.indicator, objective) for objective in slo.objectives)
    sentences = [
        f"{slo.title} ({slo.service}): {what(slo.indicator)}; {window(slo)}.",
        f"Must hold: {goals}.",
        f"Meanwhile answers at level {_listed(notes.levels)} count as served." if notes.levels else "",
        f"Fewer than {notes.minimum_events} events decide nothing." if notes.minimum_events > 1 else "",
        "It speaks of this run only." if notes.claim == "run" else "",
        f"It speaks of the platform, {percent(notes.confidence)} sure." if notes.claim == "system" else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def percent(share: float) -> str:
    """0.999 → "99.9 %"."""
    return f"{float(f'{share * 100:.10g}'):g} %"


def _listed(items: Iterable[object]) -> str:
    return " or ".join(str(item) for item in items)


def window(slo: Slo) -> str:
    """Over which stretch the SLO is judged, in words."""
    notes = slo.annotations
    if notes.window == "fault":
        return f"judged from each fault of {notes.experiment or 'any experiment'} on"
    return {
        "steady": "judged outside of fault windows, after the warm-up",
        "run": "judged over the whole run after the warm-up",
    }[notes.window]


def goal(indicator: model.Indicator, objective: Objective) -> str:
    """What must hold, in words."""
    title = f" ({objective.title})" if objective.title else ""
    if objective.op is None or objective.value is None:
        return f"{'all' if objective.target == 1 else f'at least {percent(objective.target)}'}{title}"
    if isinstance(indicator, model.DataLossMeasure) and indicator.measure == "writes":
        share = "not one" if objective.target == 1 else f"at most {percent(1 - objective.target)}"
        return f"{share} of the acknowledged writes{title}"
    bound = f"{BOUNDS[objective.op]} {_valued(indicator, objective.value)}"
    if isinstance(indicator, model.GaugeShare):
        return f"{bound} in at least {percent(objective.target)} of the time{title}"
    if isinstance(indicator, FAULT_INDICATORS) and objective.target < 1:
        return f"{bound} for at least {percent(objective.target)} of the faults{title}"
    return f"{bound}{title}"


def _valued(indicator: model.Indicator, value: float) -> str:
    if isinstance(indicator, model.IncreasePer):
        return f"{value:g} {indicator.unit}"
    if isinstance(indicator, model.GaugeShare | model.WritablePrimaries):
        return f"{value:g}"
    return format_duration(value)


def what(indicator: model.Indicator) -> str:
    """What is counted and where from, in words."""
    match indicator:
        case model.RequestRatio():
            return _requests(indicator)
        case model.CounterRatio():
            part = f"as good {indicator.good}" if indicator.good else f"as bad {indicator.bad}"
            return f"of the increase of {indicator.total}, as Prometheus scraped it, counts {part}"
        case model.GaugeShare(computed=computed):
            how = "as Prometheus evaluates it every second" if computed else "as Prometheus scrapes it"
            return f"looks at {indicator.query} all the time, {how}"
        case model.ComputedRatio():
            part = "bad" if indicator.failure else "good"
            return f"takes the ratio of {part} events as Prometheus computed it: {indicator.query}"
        case model.IncreasePer():
            return f"divides the increase of {indicator.query} by that of {indicator.per}, as Prometheus scraped them"
        case model.CheckRatio():
            return (
                f"counts what the platform's checks ({', '.join(indicator.checks) or 'all'}) looked at and found right"
            )
        case model.MonitoringCoverage():
            return f"of the services that were deployed, counts those that Prometheus scraped (by {indicator.label})"
        case model.RecoveryTime():
            by = f" by {_listed(indicator.regions)}" if indicator.regions else ""
            level = "at full service" if indicator.until == "full-service" else "served at a promised level"
            return f"times by beacon and request record how long users were not {level}{by}, until it stayed so"
        case model.ReactionTime():
            first = f"first at {indicator.after:g}, then " if indicator.after is not None else ""
            return f"times from the fault until Prometheus saw {indicator.query} {first}at {indicator.equals:g}"
        case model.DataLossMeasure():
            where = f"in {' and '.join(indicator.regions)}"
            excused = "".join(
                f", but for what was acknowledged within {format_duration(time)} before {name}"
                for name, time in indicator.excused_before.items()
            )
            if indicator.measure == "seconds":
                return f"reads every acknowledged write back {where}: how long before the fault was the oldest lost one"
            return (
                f"reads every acknowledged write back {where} and counts what is {_listed(indicator.states)}{excused}"
            )
        case model.AlertTime():
            labels = ", ".join(f'{name}="{value}"' for name, value in indicator.labels.items())
            narrowed = f" with {labels}" if labels else ""
            if indicator.until == "resolved":
                alert = f"the alert {indicator.name} ({indicator.severity})"
                return f"times from when the fault was seen gone until {alert}{narrowed} had resolved"
            return f"times from the fault until the alert {indicator.name} fired at {indicator.severity}{narrowed}"
        case model.DeploymentTime():
            return "times the deployment of all services"
        case model.WritablePrimaries():
            return (
                f"counts how many databases were writable at the same time, by asking those of "
                f"{' and '.join(indicator.regions)} all the time"
            )


def _requests(ratio: model.RequestRatio) -> str:
    source = "the load's own record" if ratio.table == "requests" else "the beacon's probes"
    subject = f"the requests that {_filter(ratio.total)}" if _filter(ratio.total) else "all requests"
    part = ratio.good or ratio.bad or model.RequestFilter()
    same = {name: getattr(model.RequestFilter(), name) for name in part.model_fields_set}
    # What total and part have in common is said once.
    rest = part.model_copy(
        update={name: empty for name, empty in same.items() if getattr(part, name) == getattr(ratio.total, name)}
    )
    return (
        f"of {subject} in {source}, counts{'' if ratio.good else ' as bad'} those that {_filter(rest) or 'there are'}"
    )


def _filter(chosen: model.RequestFilter) -> str:
    words = [
        (f"were {_listed(chosen.journeys)}", bool(chosen.journeys)),
        ("were served" if chosen.outcome == "served" else "failed", chosen.outcome != "any"),
        (f"took less than {format_duration(chosen.faster_than or 0.0)}", chosen.faster_than is not None),
        (f"had {chosen.content} content", chosen.content != "any"),
        (f"were at level {_listed(chosen.levels)}", bool(chosen.levels)),
        (f"came from {_listed(chosen.regions)}", bool(chosen.regions)),
        (f"were answered by release {_listed(chosen.releases)}", bool(chosen.releases)),
    ]
    return " and ".join(text for text, holds in words if holds)
