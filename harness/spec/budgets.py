"""How an SLO's error budget counts: slices, time windows and burn-rate alerts of OpenSLO v1, resolved."""

from __future__ import annotations

import difflib
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, available_timezones

from harness.errors import NotExecuted
from harness.model import openslo
from harness.model import slo as model
from harness.model.annotations import ConditionAnnotations
from harness.model.slo import BudgetWindow, BurnRateAlert
from harness.spec.yaml import KeyPath, Located, Node, parse

if TYPE_CHECKING:
    from collections.abc import Callable

SLICED = (model.RequestRatio, model.CounterRatio, model.GaugeShare)


def slices(
    document: Located[Any], path: KeyPath, entry: openslo.ObjectiveSpec, method: str, indicator: model.Indicator
) -> tuple[float | None, float | None]:
    """(timeSliceTarget, seconds of timeSliceWindow) as the budgeting method needs them; refuses what it does not."""
    target, window = entry.time_slice_target, entry.time_slice_window
    if method != "Timeslices" and target is not None:
        raise document.error((*path, "timeSliceTarget"), f"means nothing to {method}", "remove it, or use Timeslices")
    if method == "Occurrences":
        if window is not None:
            raise document.error((*path, "timeSliceWindow"), "means nothing to Occurrences", "remove it")
        return None, None
    if not isinstance(indicator, SLICED):
        raise not_executed(
            document, path, f"{method} is executed for counted requests, counters and gauges only", "use Occurrences"
        )
    if method == "Timeslices" and target is None:
        raise document.error(path, "Timeslices needs timeSliceTarget", "add timeSliceTarget: 0.99, for example")
    if window is None:
        raise document.error(path, f"{method} needs timeSliceWindow", "add timeSliceWindow: 1m, for example")
    if isinstance(window, float):
        return target, window * 60.0
    if window[-1] not in "mhdw":
        raise not_executed(
            document, (*path, "timeSliceWindow"), f"slices of {window} are not of one length", "give m, h, d or w"
        )
    return target, openslo.shorthand_seconds(window)


def time_window(document: Located[Any], windows: tuple[openslo.TimeWindow, ...]) -> BudgetWindow | None:
    """The window of the budget; refuses times and zones that do not exist."""
    if not windows:
        return None
    window, path = windows[0], ("spec", "timeWindow", 0, "calendar")
    if window.calendar is None:
        return BudgetWindow(duration=window.duration)
    start, zone = window.calendar.start_time, window.calendar.time_zone
    try:
        datetime.fromisoformat(start)
    except ValueError:
        raise document.error((*path, "startTime"), f"{start!r} is no time", "as in 2026-01-31 12:30:00") from None
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        close = difflib.get_close_matches(zone, available_timezones(), n=1)
        fix = f"did you mean {close[0]}?" if close else "a name of the IANA data base, as in Europe/Berlin or UTC"
        raise document.error((*path, "timeZone"), f"no time zone {zone!r}", fix) from None
    return BudgetWindow(duration=window.duration, start_time=start, time_zone=zone)


def alerts(
    document: Located[Any],
    policies: tuple[openslo.AlertPolicyRef | openslo.AlertPolicy, ...],
    need: Callable[[Located[Any], KeyPath, str, str], Located[Any]],
) -> tuple[BurnRateAlert, ...]:
    """The burn-rate alerts of an SLO, references followed by `need`."""
    found = []
    for index, policy in enumerate(policies):
        owner = document
        path: tuple[str | int, ...] = ("spec", "alertPolicies", index)
        if isinstance(policy, openslo.AlertPolicyRef):
            owner = need(document, (*path, "alertPolicyRef"), "AlertPolicy", policy.alert_policy_ref)
            policy, path = owner.value, ()
        condition, path = policy.spec.conditions[0], (*path, "spec", "conditions", 0)
        if isinstance(condition, openslo.ConditionRef):
            owner = need(owner, (*path, "conditionRef"), "AlertCondition", condition.condition_ref)
            condition, path = owner.value, ()
        found.append(_alert(owner, path, policy, condition))
    return tuple(found)


def _alert(
    owner: Located[Any], path: KeyPath, policy: openslo.AlertPolicy, condition: openslo.AlertCondition
) -> BurnRateAlert:
    notes, told = condition_notes(owner.node, path, condition), condition.spec.condition
    if told.threshold < 0:
        raise owner.error((*path, "spec", "condition", "threshold"), "a burn rate is never below 0", "give 1 or more")
    return BurnRateAlert(
        name=condition.metadata.name,
        policy=policy.metadata.name,
        severity=condition.spec.severity,
        op=told.op,
        threshold=told.threshold,
        over_s=openslo.shorthand_seconds(told.lookback_window),
        also_over_s=notes.also_over,
        after_s=openslo.shorthand_seconds(told.alert_after),
        when_breaching=policy.spec.alert_when_breaching,
        when_resolved=policy.spec.alert_when_resolved,
        when_no_data=policy.spec.alert_when_no_data,
    )


def condition_notes(node: Node, path: KeyPath, condition: openslo.AlertCondition) -> ConditionAnnotations:
    """The annotations of a condition that are ours, checked."""
    place = (*path, "metadata", "annotations")
    ours = {key: text for key, text in condition.metadata.annotations.items() if key.startswith(openslo.PREFIX)}
    return parse(node.below(place, ours), ConditionAnnotations).value


def not_executed(owner: Located[Any], path: KeyPath, cause: str, fix: str) -> NotExecuted:
    """OpenSLO allows it, nothing here carries it out."""
    return NotExecuted(cause, file=owner.file, line=owner.line(path), key=owner.node.key(path), fix=fix)
