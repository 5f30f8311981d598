"""A judgement beside an earlier one on the same run: every difference, and the rules that changed in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel

from harness.judge.rules import changed
from harness.model.base import Frozen
from harness.model.judgement import Interval, Judgement, ObjectiveResult, Verdict

Kind = Literal["verdict", "counts", "bounds", "words"]
RUN = "the run"
NOT_COMPARED = ("rules", "waivers", "what_if", "objectives", "findings", "recoveries", "data_loss")


class Difference(Frozen):
    """One field of one result that was told otherwise before. `words`: the reasons read otherwise, nothing else.

    `rules`: those that changed since and bear on it; none of a verdict, count or bound is a mistake.
    """

    where: str
    field: str
    kind: Kind
    then: str
    now: str
    rules: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.where}: {self.field} {self.then} → {self.now}"


class Compared(Frozen):
    """What an earlier judgement said otherwise, and which rules changed since; `unreadable`: why that is not known."""

    differences: tuple[Difference, ...] = ()
    rules_changed: tuple[str, ...] = ()
    unreadable: str = ""

    @property
    def same(self) -> bool:
        """Verdicts, counts and bounds are the same; words may read otherwise."""
        return not self.unreadable and all(one.kind == "words" for one in self.differences)

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        """Differences on which no rule bears that changed."""
        return tuple(one for one in self.differences if one.kind != "words" and not one.rules)


def compare(then: Judgement, now: Judgement) -> Compared:
    """Fields that the earlier judgement did not have yet are not compared."""
    told = changed(then.rules)
    names = tuple(dict.fromkeys(text.partition(" ")[0] for text in told))
    found = [*_fields(RUN, then, now)]
    for name in ("objectives", "findings", "recoveries", "data_loss"):
        found += _items(_keyed(getattr(then, name)), _keyed(getattr(now, name)))
    sources = {_name(item): item.source for item in (*then.objectives, *now.objectives)}
    differences = tuple(
        one.model_copy(update={"rules": tuple(rule for rule in names if _bears(rule, one, sources))}) for one in found
    )
    return Compared(differences=differences, rules_changed=told)


MEASURED = {"requests", "counters", "reactions", "deployment", "recovery", "loss"}
BY_SOURCE = {
    "RequestRecord": {"requests"},
    "Beacon": {"requests"},
    "Prometheus": {"counters", "reactions"},
    "Alert": {"reactions"},
    "Primaries": {"reactions"},
    "Ledger": {"loss"},
    "Recovery": {"recovery"},
    "Deployment": {"deployment"},
    "Check": {"deployment"},
    "Coverage": {"deployment"},
}
BY_PART = {"recovery": {"recovery"}, "dataloss": {"loss"}}
BESIDE = {"validity", "attribution"}  # findings, nothing else
BY_KIND: dict[str, tuple[Kind, ...]] = {"bounds": ("bounds", "verdict"), "decide": ("bounds", "verdict")}


def _bears(rule: str, difference: Difference, sources: Mapping[str, str]) -> bool:
    """Whether a change of this rule may have made the difference; of a rule that we do not know, yes.

    A rule that measures bears on what it measures, one about bounds on no count, and all of them on the run's verdict.
    """
    if difference.where == RUN:
        return True
    part = difference.where.partition(" ")[0]
    if rule in BESIDE:
        return difference.where not in sources and part == "finding"
    if rule in BY_KIND:
        return difference.kind in BY_KIND[rule]
    if rule not in MEASURED:
        return True
    if difference.where in sources:
        return rule in BY_SOURCE.get(sources[difference.where], MEASURED)
    return rule in BY_PART.get(part, MEASURED)


def _keyed(items: tuple[Any, ...]) -> dict[str, Any]:
    """By what names an item; of equal names the later ones are numbered."""
    found: dict[str, Any] = {}
    for item in items:
        name, number = _name(item), 1
        while (key := name if number == 1 else f"{name} ({number})") in found:
            number += 1
        found[key] = item
    return found


def _name(item: Any) -> str:
    if isinstance(item, ObjectiveResult):
        about = f" {item.experiment}" if item.experiment else ""
        return " ".join(part for part in (item.slo, item.objective, f"[{item.window}{about}]") if part)
    parts = [getattr(item, name, "") for name in ("name", "experiment", "fault", "after", "region")]
    return f"{type(item).__name__.lower()} {' '.join(part for part in parts if part)}"


def _items(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys([*then, *now]):
        if name in then and name in now:
            yield from _fields(name, then[name], now[name])
        else:
            was, is_ = ("told", "not told") if name in then else ("not told", "told")
            yield Difference(where=name, field="result", kind="verdict", then=was, now=is_)


def _fields(where: str, then: BaseModel, now: BaseModel) -> Iterator[Difference]:
    for name in sorted(then.model_fields_set - set(NOT_COMPARED)):
        was, is_ = getattr(then, name), getattr(now, name)
        if was != is_:
            yield Difference(where=where, field=name, kind=_kind(was, is_), then=_text(was), now=_text(is_))


def _kind(was: Any, is_: Any) -> Kind:
    for value in (was, is_):
        if isinstance(value, Verdict):
            return "verdict"
        if isinstance(value, Interval | float):
            return "bounds"
        if isinstance(value, int):
            return "counts"
    return "words"


def _text(value: Any) -> str:
    if isinstance(value, Interval):
        low, high = ("open" if end is None else f"{end:.12g}" for end in (value.low, value.high))
        return f"[{low}, {high}]"
    if isinstance(value, tuple):
        return " · ".join(map(str, value)) or "nothing"
    return f"{value:.12g}" if isinstance(value, float) else str(value) or "nothing"
