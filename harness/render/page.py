"""What a page is made of. The template knows these shapes and nothing of runs."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from harness.model.judgement import Verdict
from harness.render import svg

Cell = str | Markup
WIDE, NARROW = 980.0, 370.0  # of drawings, in units of which text takes 12: for screens and paper, and for phones


@dataclass(frozen=True)
class Group:
    """Rows under a heading of their own; the first cell of a row is its header."""

    title: str
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Table:
    """`fold`: shown closed, under these words. `numeric`: columns that are set to the right."""

    caption: str
    head: tuple[str, ...]
    groups: tuple[Group, ...]
    numeric: frozenset[int] = frozenset()
    fold: str = ""
    class_: str = ""


@dataclass(frozen=True)
class Figure:
    """One drawing in two widths, with what it says in sentences."""

    wide: Markup
    narrow: Markup
    notes: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Part:
    """A stretch of a section; what is empty is not shown."""

    heading: Cell = ""
    paragraphs: tuple[Cell, ...] = ()
    figures: tuple[Figure, ...] = ()
    facts: tuple[tuple[Cell, Cell], ...] = ()
    tables: tuple[Table, ...] = ()
    code: str = ""


@dataclass(frozen=True)
class Section:
    anchor: str
    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Tile:
    """A number that everybody asks for."""

    value: str
    label: str
    tone: str = ""


@dataclass(frozen=True)
class Note:
    """What must be read with the verdict. `items`: what it is about, in bold, and what is said of it."""

    anchor: str
    title: str
    text: str = ""
    items: tuple[tuple[str, str], ...] = ()
    tone: str = ""


@dataclass(frozen=True)
class Page:
    title: str
    heading: str
    verdict: Verdict
    chip: Markup
    sentence: str
    meaning: str
    origin: str
    notes: tuple[Note, ...]
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    footer: str = ""


def table(
    caption: str,
    head: tuple[str, ...],
    rows: list[tuple[Cell, ...]],
    *,
    numeric: tuple[int, ...] = (),
    fold: str = "",
    class_: str = "",
) -> Table:
    """A table without groups."""
    return Table(caption, head, (Group("", tuple(rows)),), frozenset(numeric), fold, class_)


TONES = {Verdict.PASS: "pass", Verdict.INCONCLUSIVE: "open", Verdict.FAIL: "fail"}


def chip(verdict: Verdict) -> Markup:
    """A verdict as sign and word."""
    return badge(TONES[verdict], str(verdict))


def badge(tone: str, word: str) -> Markup:
    """A word with a sign of its own shape: tick, cross or question mark; never colour alone."""
    marks = {
        "pass": svg.tag("path", d="M3.5 8.5l3 3 6-7", class_="stroke"),
        "fail": svg.tag("path", d="M4 4l8 8M12 4l-8 8", class_="stroke"),
        "open": svg.tag("path", d="M5.2 5.6a2.8 2.8 0 1 1 4.4 2.5c-1 .7-1.6 1.1-1.6 2.2M8 13v.2", class_="stroke"),
    }
    sign = svg.tag("svg", marks[tone], viewBox="0 0 16 16", class_="sign", aria_hidden="true")
    return Markup('<span class="chip {}">{}{}</span>').format(tone, sign, word)


def told(ok: bool, good: str, bad: str) -> Markup:
    """Whether something held, as sign and word."""
    return badge("pass" if ok else "fail", good if ok else bad)


def code(text: str) -> Markup:
    return Markup("<code>{}</code>").format(text)


def joined(parts: list[Cell]) -> Markup:
    """Parts with blanks between them, each escaped unless it is markup."""
    return Markup(" ").join(parts)
