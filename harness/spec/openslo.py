"""OpenSLO v1 files → `Slo` values that the judge can evaluate. Each mistake names file, line, cause and fix.

`read` accepts everything that OpenSLO v1 defines; `load_slos` also refuses what the judge cannot execute (a source
that it does not know, a budgeting method that it does not compute), so that nothing is ever silently left out.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import BadInput, BadInputs
from harness.model import openslo
from harness.model import slo as model
from harness.model.annotations import Annotations, ConditionAnnotations
from harness.model.base import parse_duration
from harness.model.openslo import PREFIX
from harness.model.slo import Objective, Slo
from harness.spec import budgets
from harness.spec.budgets import not_executed
from harness.spec.foreach import instances, with_values
from harness.spec.sources import FAULT_INDICATORS, ONCE, indicator_of, is_ratio, sources
from harness.spec.words import listed
from harness.spec.yaml import KeyPath, Located, Node, parse, read_documents

Path_ = tuple[str | int, ...]


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
                documents.extend([_document(one) for one in instances(part)])
    if mistakes:
        raise BadInputs(mistakes)
    return documents


def _parts(node: Node) -> list[Node]:
    """A list of documents is as good as several."""
    if isinstance(node.data, list) and node.data and all(isinstance(item, dict) for item in node.data):
        return [node.below((index,), item) for index, item in enumerate(node.data)]
    return [node]


def _document(node: Node) -> Located[Any]:
    if not isinstance(node.data, dict):
        raise node.error((), "not an OpenSLO document", "begin with apiVersion, kind, metadata and spec")
    kind = node.data.get("kind")
    if not isinstance(kind, str) or kind not in openslo.KINDS:
        close = difflib.get_close_matches(str(kind), openslo.KINDS, n=1)
        raise node.error(
            ("kind",),
            f"unknown kind {kind!r}",
            f"did you mean {close[0]}?" if close else f"one of: {', '.join(openslo.KINDS)}",
        )
    found: Located[Any] = parse(node, openslo.KINDS[kind])
    _check_annotations(node, kind)
    return found


def _check_annotations(node: Node, kind: str) -> None:
    path: Path_ = ("metadata", "annotations")
    ours = {key: value for key, value in _at(node, path, {}).items() if key.startswith(PREFIX)}
    if kind == "SLO":
        parse(node.below(path, ours), Annotations)
    elif kind == "AlertCondition":
        parse(node.below(path, ours), ConditionAnnotations)
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
            if isinstance(document.value, openslo.SLO):
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
    policies: list[tuple[Path_, openslo.AlertPolicy]] = []
    if isinstance(value, openslo.SLO):
        if catalogue.names("Service"):
            catalogue.need(document, ("spec", "service"), "Service", value.spec.service)
        for index, policy in enumerate(value.spec.alert_policies):
            path: Path_ = ("spec", "alertPolicies", index)
            if isinstance(policy, openslo.AlertPolicyRef):
                catalogue.need(document, (*path, "alertPolicyRef"), "AlertPolicy", policy.alert_policy_ref)
            else:
                policies.append((path, policy))
    elif isinstance(value, openslo.AlertPolicy):
        policies.append(((), value))
    elif isinstance(value, openslo.SLI):
        for path, source in sources(("spec",), value.spec):
            if source.metric_source_ref:
                catalogue.need(document, (*path, "metricSourceRef"), "DataSource", source.metric_source_ref)
    for path, policy in policies:
        for index, condition in enumerate(policy.spec.conditions):
            if isinstance(condition, openslo.ConditionRef):
                where = (*path, "spec", "conditions", index, "conditionRef")
                catalogue.need(document, where, "AlertCondition", condition.condition_ref)
        for index, target in enumerate(policy.spec.notification_targets):
            if isinstance(target, openslo.TargetRef):
                where = (*path, "spec", "notificationTargets", index, "targetRef")
                catalogue.need(document, where, "AlertNotificationTarget", target.target_ref)


def experiments_named(slos: Iterable[Slo]) -> dict[str, list[tuple[str, int]]]:
    """The experiments that objectives speak of, each with the (file, line) of every SLO that names it.

    A name is an experiment's file without its ending: by `harness/experiment` and `excusedBefore`.
    """
    found: dict[str, list[tuple[str, int]]] = {}
    for slo in slos:
        if slo.annotations.not_judged:
            continue
        losses = [one for one in model.simple(slo.indicator) if isinstance(one, model.DataLossMeasure)]
        excused = [name for one in losses for name in one.excused_before]
        file, _, line = slo.origin.rpartition(":")
        for name in dict.fromkeys([slo.annotations.experiment, *excused]):
            if name:
                found.setdefault(name, []).append((file, int(line)))
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
                f"{slo.name} promises levels {listed(promised)} during {experiment}, "
                f"but {other.name} ({other.origin}) promises {listed(other.annotations.levels)}",
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


def _resolve(document: Located[openslo.SLO], catalogue: _Catalogue) -> Slo:
    value, spec = document.value, document.value.spec
    notes = parse(
        document.node.below(
            ("metadata", "annotations"),
            {key: text for key, text in value.metadata.annotations.items() if key.startswith(PREFIX)},
        ),
        Annotations,
    ).value
    if spec.budgeting_method is None:
        raise not_executed(
            document, ("spec",), "does not say how its budget counts", "add budgetingMethod: Occurrences, for example"
        )
    found = [
        _objective_of(document, ("spec", "objectives", index), entry, notes, catalogue)
        for index, entry in enumerate(spec.objectives)
    ]
    combined = any(entry.has_indicator or entry.composite_weight is not None for entry in spec.objectives)
    indicator: model.Indicator = found[0].indicator
    objectives = tuple(part.objective for part in found)
    if combined:
        indicator, objectives = model.Composite(parts=tuple(found)), (_combined(found, notes),)
    alerts = budgets.alerts(document, spec.alert_policies, catalogue.need)
    if alerts and not isinstance(indicator, budgets.SLICED):
        raise not_executed(
            document,
            ("spec", "alertPolicies"),
            "burn rates are worked out for counted requests, counters and gauges only",
            "remove the policy, or count events",
        )
    return Slo(
        name=value.metadata.name,
        title=value.metadata.display_name or value.metadata.name,
        description=spec.description,
        service=spec.service,
        origin=f"{document.file}:{document.line(('metadata', 'name'))}",
        source=" and ".join(dict.fromkeys(part.source for part in found)),
        annotations=notes,
        indicator=indicator,
        objectives=objectives,
        method=spec.budgeting_method,
        time_window=budgets.time_window(document, spec.time_window),
        alerts=alerts,
    )


def _combined(parts: Sequence[model.Part], notes: Annotations) -> Objective:
    """What must hold of a composite SLO: the weighted mean of the targets, unless an annotation gives one."""
    weight = sum(part.weight for part in parts)
    mean = sum(part.weight * part.objective.target for part in parts) / weight
    target = notes.target or round(mean, 12)
    return Objective(title=f"weighted mean of {len(parts)} objectives", target=target)


def _objective_of(
    document: Located[openslo.SLO], path: Path_, entry: openslo.ObjectiveSpec, notes: Annotations, catalogue: _Catalogue
) -> model.Part:
    """One objective with its indicator: its own, or the SLO's."""
    spec = document.value.spec
    holder, place = (entry, path) if entry.has_indicator else (spec, ("spec",))
    if entry.has_indicator or entry.composite_weight is not None:
        notes = notes.model_copy(update={"target": None})  # of all of them together
    owner: Located[Any] = document
    if holder.indicator is not None:
        sli, where = holder.indicator.spec, (*place, "indicator", "spec")
    else:
        owner = catalogue.need(document, (*place, "indicatorRef"), "SLI", holder.indicator_ref)
        if notes.for_each:
            values = {name: chosen[0] for name, chosen in notes.for_each.items()}
            owner = parse(with_values(owner.node, values), openslo.SLI)
        sli, where = owner.value.spec, ("spec",)
    source, indicator = indicator_of(owner, where, sli, catalogue.need)
    _check_notes(document, source, indicator, notes)
    objective = _objective(document, path, entry, indicator, notes)
    target, seconds = budgets.slices(document, path, entry, spec.budgeting_method or "Occurrences", indicator)
    return model.Part(
        source=source,
        indicator=indicator,
        objective=objective.model_copy(update={"slice_target": target, "slice_s": seconds}),
        weight=entry.composite_weight or 1.0,
    )


def _check_notes(document: Located[Any], source: str, indicator: model.Indicator, notes: Annotations) -> None:
    """Annotations that do not go with what is measured."""
    if isinstance(indicator, FAULT_INDICATORS) and notes.window != "fault":
        raise document.error(
            ("metadata", "annotations"),
            f"{source} measures from a fault on",
            "add the annotation harness/window: fault, and harness/experiment to choose one",
        )
    method = document.value.spec.budgeting_method
    if notes.claim == "system" and (isinstance(indicator, ONCE) or method != "Occurrences"):
        gives = f"{source} gives one value in a run" if method == "Occurrences" else "slices hang together"
        raise document.error(
            ("metadata", "annotations", "harness/claim"),
            f"{gives}, from which nothing can be inferred",
            "claim the run",
        )


def _objective(
    document: Located[Any], path: Path_, entry: openslo.ObjectiveSpec, indicator: model.Indicator, notes: Annotations
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
    if is_ratio(indicator):
        for key in ("value", "op"):
            if getattr(entry, key) is not None:
                raise not_executed(
                    document, (*path, key), "belongs to a thresholdMetric", "remove it; a ratio has a target"
                )
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
