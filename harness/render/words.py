"""Numbers, times and verdicts as people read them. Shared by every form of the report."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from harness.judge.again import Compared
from harness.model.judgement import Interval, Judgement, ObjectiveResult, Verdict

NARROW, SPACE = "\u202f", "\u00a0"  # no-break: a number must not be torn from its unit at the end of a line
SIGNS = {">=": "≥", "<=": "≤", ">": ">", "<": "<"}
LEVELS = {0: "unknown", 1: "full service", 2: "on the CPU", 3: "from the cache", 4: "static answers"}
MEANING = {
    Verdict.PASS: "every objective was measured and met",
    Verdict.INCONCLUSIVE: "not shown to be good, not shown to be bad: the evidence was too thin or not trustworthy",
    Verdict.FAIL: "at least one objective was measured and missed",
}
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]|[\ud800-\udfff]"
)
_NAME = re.compile(r"\S*[-#_/{0-9]")
_BLANKS = re.compile(r"[ \t\n]+")


def clean(text: str) -> str:
    """Without control characters, which a terminal would obey, XML forbids, and which could reorder a line."""
    return _CONTROL.sub("\ufffd", text)


def plain(text: str) -> str:
    """With ordinary spaces, for terminals and logs, where people search."""
    return text.replace(NARROW, " ").replace(SPACE, " ")


def line(text: str, limit: int = 0) -> str:
    """Clean, on one line, cut to `limit` characters when that is not 0."""
    flat = _BLANKS.sub(" ", clean(text)).strip(" ")
    return flat if not limit or len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def capital(text: str) -> str:
    """With a capital, unless it begins with a name such as kill-weaviate#1."""
    return text if _NAME.match(text) else text[:1].upper() + text[1:]


def sentence(text: str, limit: int = 400) -> str:
    """Somebody's words as a sentence: a capital, a full stop, and no more than `limit` characters."""
    text = capital(line(text, limit))
    return text if text.endswith((".", "!", "?", "…")) or not text else f"{text}."


def duration(seconds: float, significant: int = 3) -> str:
    """0.0204 → "20.4 ms", 5.9 → "5.9 s", 125 → "2 min 5 s", 7300 → "2 h 2 min"."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 0:
        return f"−{duration(-seconds, significant)}"
    if seconds == 0:
        return f"0{SPACE}s"
    if seconds < 0.9995:
        return f"{_significant(seconds * 1000, significant)}{SPACE}ms"
    if seconds < 99.95 or significant > 3:
        return f"{_significant(seconds, significant)}{SPACE}s"
    if seconds < 3599.5:
        return _two(round(seconds), 60, "min", "s")
    return _two(round(seconds / 60), 60, "h", "min")


def amount(value: float | None, unit: str, *, beside: float | None = None) -> str:
    """A value in its unit, with the digits of `beside`, and more when the two differ but would look alike."""
    if value is None or not math.isfinite(value):
        return "—"
    decimals = _decimals(value, unit) if beside is None else _decimals(beside, unit)
    if unit != "ratio":
        decimals = max(decimals, _decimals(value, unit))
    for extra in range(6):
        text = _amount(value, unit, decimals + extra)
        alike = beside is not None and value != beside and text == _amount(beside, unit, decimals + extra)
        rounded = unit == "ratio" and not _exact(value) and float(text.rstrip(f"%{NARROW}")) in (0.0, 100.0)
        if not (alike or rounded):
            break
    return text


def interval(result: ObjectiveResult) -> str:
    """The interval of a result, "—" when nothing was measured."""
    return span(result.interval, result.unit, beside=result.target)


def span(value: Interval | None, unit: str = "s", *, beside: float | None = None) -> str:
    """[earliest, latest] in words: "1.34 s to 1.38 s", "at least 3 s", "—"."""
    if value is None or (value.low is None and value.high is None):
        return "—"
    low, high = amount(value.low, unit, beside=beside), amount(value.high, unit, beside=beside)
    if value.high is None:
        return f"at least {low}"
    if value.low is None:
        return f"at most {high}"
    if low == high:
        return low
    number, _, measure = low.rpartition(SPACE)
    shared = SPACE not in number and high.count(SPACE) == 1 and high.endswith(f"{SPACE}{measure}")
    return f"{number if shared else low} to {high}"


def back(span_: Interval | None) -> str:
    """When something came back, in words; an open end means that it was not seen to."""
    if span_ is not None and span_.high is None and span_.low is not None:
        return f"not within {duration(span_.low)}"
    return span(span_)


def requirement(result: ObjectiveResult) -> str:
    """The target with its sign: "≥ 99.9 %"."""
    if result.target is None:
        return "—"
    if result.unit == "bool":
        return amount(result.target, "bool")
    exact = {"ratio": f"{result.target * 100:.10g}{NARROW}%", "usd": f"${result.target:.10g}"}
    value = exact.get(result.unit) or amount(result.target, result.unit)
    return f"{SIGNS.get(result.comparison, result.comparison)} {value}"


def label(result: ObjectiveResult) -> str:
    """What an objective is called: the SLO's title and the objective's own."""
    return line(f"{result.title}: {result.objective}" if result.objective else result.title)


def why(judgement: Judgement) -> str:
    """The judge's sentence without the verdict that it may begin with."""
    return capital(line(judgement.sentence.removeprefix(f"{judgement.verdict}:")))


def word(judgement: Judgement) -> str:
    """The verdict; a FAIL of which all is waived says so."""
    return f"{judgement.verdict} (waived)" if judgement.waived else str(judgement.verdict)


def compared(found: Compared) -> list[str]:
    """What the sealed judgement said otherwise, a line each, and which rules changed since."""
    if found.unreadable:
        return [f"Not compared with the sealed judgement: {found.unreadable}"]
    told = [f"  {one}" for one in found.differences if one.kind != "words"]
    reads = sum(one.kind == "words" for one in found.differences)
    also = f"; {count(reads, 'reason')} read{'s' if reads == 1 else ''} otherwise" if reads else ""
    if found.same:
        later = (
            f" Rules changed since, without effect here: {'; '.join(found.rules_changed)}."
            if found.rules_changed
            else ""
        )
        return [f"The same as the sealed judgement: verdicts, counts and bounds{also}.{later}"]
    lines = [f"The sealed judgement said otherwise in {count(len(told), 'place')}{also}:", *told]
    lines += ["Rules changed since:", *(f"  {text}" for text in found.rules_changed)] if found.rules_changed else []
    if found.unexplained:
        lines.append(
            f"No rule changed that explains {count(len(found.unexplained), 'difference')}: either the evidence is not "
            "as it was sealed, or this is a mistake in the harness"
        )
    return lines


def rules(judgement: Judgement) -> str:
    """The rules by name and number: "bounds 1, windows 2"; one number where a judgement of 0.1.0 has no names."""
    return ", ".join(f"{name} {number}".removeprefix("* ") for name, number in judgement.rules.items())


def deciding(result: ObjectiveResult) -> Interval:
    """What the verdict rests on: what happened for a claim about the run, its bounds for one about the platform."""
    known = result.observed.low is not None or result.observed.high is not None
    return result.observed if result.claim == "run" and known else result.interval


def window(result: ObjectiveResult, titles: dict[str, str] | None = None) -> str:
    """Over which part of the run a result was judged."""
    if result.window == "fault":
        name = (titles or {}).get(result.experiment, result.experiment)
        return f"fault: {name}" if name else "faults"
    return {"steady": "steady state", "run": "whole run"}[result.window]


def moment(wall_ns: int) -> str:
    """Wall time in UTC, to the second."""
    return datetime.fromtimestamp(wall_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def count(number: int, noun: str, plural: str = "") -> str:
    """1 → "1 objective", 2 → "2 objectives"."""
    return f"{grouped(number)} {noun if number == 1 else plural or noun + 's'}"


def grouped(number: int) -> str:
    """12345 → "12 345"."""
    return f"{number:,}".replace(",", NARROW)


def tally(results: tuple[ObjectiveResult, ...]) -> str:
    """ "11 of 12 objectives met, 1 missed"."""
    met, open_, missed = (
        sum(item.verdict is verdict for item in results)
        for verdict in (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)
    )
    parts = [f"{met} of {count(len(results), 'objective')} met"]
    parts += [f"{missed} missed"] if missed else []
    parts += [f"{open_} undecided"] if open_ else []
    return ", ".join(parts)


def failures_first(results: tuple[ObjectiveResult, ...]) -> list[tuple[str, list[ObjectiveResult]]]:
    """Results by service: the service with the worst verdict first, and the worst result first within each."""
    services: dict[str, list[ObjectiveResult]] = {}
    for item in results:
        services.setdefault(item.service, []).append(item)
    groups = [(name, sorted(items, key=lambda item: -item.verdict.rank)) for name, items in services.items()]
    return sorted(groups, key=lambda group: -group[1][0].verdict.rank)


def _amount(value: float, unit: str, decimals: int) -> str:
    if unit == "s":
        return duration(value, 3 + decimals)
    if unit == "bool":
        return "yes" if value else "no"
    if unit == "usd":
        return f"${value:.{decimals}f}"
    if unit == "ratio":
        return f"{value * 100:.{0 if _exact(value) else decimals}f}{NARROW}%"
    text = f"{value:,.0f}".replace(",", NARROW) if value == int(value) else f"{value:.{decimals}f}"
    return text if unit in ("count", "") else f"{text} {unit}"


def _exact(value: float) -> bool:
    """A ratio of 0 or 1, up to rounding."""
    return abs(value) < 1e-9 or abs(1 - value) < 1e-9


def _decimals(value: float, unit: str) -> int:
    """Decimals that show two significant digits: of the distance to 0 or 100 % for a ratio."""
    if unit == "s":
        return 0
    if unit == "ratio":
        edge = min(abs(value), abs(1 - value)) * 100
        return max(1, _digits(edge)) if edge > 1e-7 else 1
    return _digits(value)


def _digits(value: float) -> int:
    return max(0, min(9, 1 - math.floor(math.log10(abs(value))))) if value else 0


def _significant(value: float, digits: int) -> str:
    text = f"{value:.{max(0, min(9, digits - 1 - math.floor(math.log10(value))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _two(whole: int, base: int, large: str, small: str) -> str:
    big, rest = divmod(whole, base)
    return f"{big}{SPACE}{large}{SPACE}{rest}{SPACE}{small}" if rest else f"{big}{SPACE}{large}"
