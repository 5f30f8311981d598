"""Two runs beside each other: what got better or worse by more than noise.

A ratio changed when the intervals of the two runs, each of exact one-sided bounds at the objective's confidence, do not
overlap. That is cautious: for independent events and two runs that are really alike it happens with a chance of at most
2 (1 - confidence), and what the bounds know of correlated events counts here too, which a test on the bare counts would
not. A time or another measured value changed when its [earliest, latest] do not overlap: then the two runs differed,
which another pair of runs need not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from harness.model.base import Frozen
from harness.model.judgement import Interval, Judgement, ObjectiveResult, Verdict

Word = Literal["worse", "better", "no change seen", "not known", "only before", "only after"]
ORDER: tuple[Word, ...] = ("worse", "better", "only before", "only after", "not known", "no change seen")


class Change(Frozen):
    """One objective, recovery or count of both runs. `unit` is the intervals'."""

    what: str
    unit: str
    before: Interval = Interval()
    after: Interval = Interval()
    verdicts: tuple[Verdict, Verdict] | None = None
    word: Word
    note: str = ""


def beside(before: Judgement, after: Judgement) -> tuple[Change, ...]:
    """Every objective, recovery and data loss of either run, what got worse first."""
    found = [
        *_objectives(before.objectives, after.objectives),
        *_times(before, after),
        *_losses(before, after),
    ]
    return tuple(sorted(found, key=lambda change: ORDER.index(change.word)))


def _objectives(before: Iterable[ObjectiveResult], after: Iterable[ObjectiveResult]) -> Iterator[Change]:
    then, now = ({_key(item): item for item in items} for items in (before, after))
    for key in dict.fromkeys([*then, *now]):
        if key not in now or key not in then:
            only = then.get(key) or now[key]
            word: Word = "only before" if key in then else "only after"
            yield Change(what=_name(only), unit=only.unit, word=word, note=f"{only.verdict}")
            continue
        a, b = then[key], now[key]
        asked = ("target", "comparison", "claim", "confidence")
        differs = [name for name in asked if getattr(a, name) != getattr(b, name)]
        yield Change(
            what=_name(b),
            unit=b.unit,
            before=a.interval,
            after=b.interval,
            verdicts=(a.verdict, b.verdict),
            word=changed(a.interval, b.interval, higher_is_better=b.comparison in (">=", ">")),
            note=f"not asked alike: {', '.join(differs)}" if differs else "",
        )


def _times(before: Judgement, after: Judgement) -> Iterator[Change]:
    """Recoveries by experiment and fault; what was not visible took no time."""
    then, now = ({(one.experiment, one.fault): one for one in judgement.recoveries} for judgement in (before, after))
    for key in dict.fromkeys([*then, *now]):
        for name, label in (("served_s", "served again"), ("full_service_s", "full service")):
            what = f"recovery of {key[0]}: {label}"
            if key not in then or key not in now:
                yield Change(what=what, unit="s", word="only before" if key in then else "only after")
                continue
            a, b = (
                getattr(one, name) or (Interval() if one.visible else Interval(low=0.0, high=0.0))
                for one in (then[key], now[key])
            )
            yield Change(what=what, unit="s", before=a, after=b, word=changed(a, b, higher_is_better=False))


def _losses(before: Judgement, after: Judgement) -> Iterator[Change]:
    then, now = ({(one.after, one.region): one for one in judgement.data_loss} for judgement in (before, after))
    for key in (key for key in then if key in now):
        a, b = (
            Interval(low=float(one.lost), high=float(one.lost + one.indeterminate)) for one in (then[key], now[key])
        )
        what = f"writes lost in {key[1]}, read back {'at the end' if key[0] == 'end' else f'after {key[0]}'}"
        yield Change(what=what, unit="count", before=a, after=b, word=changed(a, b, higher_is_better=False))


def changed(before: Interval, after: Interval, higher_is_better: bool) -> Word:
    """What two intervals say; a value with an open end may be anything beyond it."""
    if (before.low is None and before.high is None) or (after.low is None and after.high is None):
        return "not known"
    rose = before.high is not None and after.low is not None and after.low > before.high
    fell = before.low is not None and after.high is not None and after.high < before.low
    if not rose and not fell:
        return "no change seen"
    return "better" if rose == higher_is_better else "worse"


def _key(item: ObjectiveResult) -> tuple[str, ...]:
    return item.service, item.slo, item.objective, item.window, item.experiment


def _name(item: ObjectiveResult) -> str:
    about = f" {item.experiment}" if item.experiment else ""
    return " ".join(part for part in (item.slo, item.objective, f"[{item.window}{about}]") if part)
