"""The report: one HTML file that needs nothing else, for a release manager, a board, a printer and a screen reader."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib import resources

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.judgement import Judgement, Verdict
from harness.render import sureness, words
from harness.render.faults import Fault, faults
from harness.render.page import TONES, Note, Page, Tile, badge
from harness.render.sections import alerts, attribution, over_time, reading, record, resilience, result
from harness.render.story import all_of, first, took


def html(evidence: Evidence, judgement: Judgement, root: str = "") -> bytes:
    """UTF-8. The same evidence and judgement give the same bytes; nothing in it is fetched from anywhere.

    `root`: of the run's seal, "" when it is not sealed.
    """
    environment, style = _assets()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = _page(evidence, judgement, root)
    text = environment.get_template("report").render(
        page=page,
        tone=TONES[judgement.verdict],
        style=Markup(style),  # noqa: S704 (our own file)
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'",
    )
    return words.clean(text).encode()


@cache
def _assets() -> tuple[Environment, str]:
    folder = resources.files("harness.render") / "assets"
    template, style = ((folder / name).read_text(encoding="utf-8") for name in ("report.html.j2", "report.css"))
    environment = Environment(
        loader=DictLoader({"report": template}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment, "\n".join(line.strip() for line in style.splitlines() if line.strip())


def _page(evidence: Evidence, judgement: Judgement, root: str) -> Page:
    found = faults(evidence, judgement)
    gate = result.decisions(evidence)
    release = _release(evidence, judgement)
    parts = (
        result.waivers(judgement),
        reading.reading(),
        result.objectives(evidence, judgement),
        result.findings(judgement),
        gate,
        over_time.over_time(evidence, found),
        resilience.recoveries(evidence, judgement, found),
        attribution.attribution(evidence, judgement, found),
        resilience.data_loss(evidence, judgement),
        alerts.alerts(evidence, found),
        record.deployment(evidence),
        record.trust(evidence),
        record.facts(evidence, judgement),
        record.reproduce(evidence, judgement, root),
        record.journal(evidence),
        record.glossary(),
    )
    return Page(
        title=words.line(f"{words.word(judgement)}: {release}, {judgement.run_id}"),
        heading=release,
        verdict=judgement.verdict,
        chip=badge(TONES[judgement.verdict], words.word(judgement)),
        sentence=words.why(judgement),
        meaning=_meaning(judgement),
        origin=_origin(evidence, judgement),
        tiles=_tiles(evidence, judgement, found),
        notes=tuple(_notes(evidence, judgement)),
        sections=tuple(part for part in parts if part),
        footer=f"Run {judgement.run_id}. The HTML file also holds the tables behind the drawings and all events.",
    )


def _release(evidence: Evidence, judgement: Judgement) -> str:
    """What the verdict is on."""
    rollout, opened = evidence.scenario.rollout, first(evidence.events, e.RunOpened)
    if rollout:
        return f"release {rollout.canary} of {rollout.service} as canary on {rollout.baseline}"
    return f"release {opened.release}" if opened and opened.release else f"run {judgement.run_id}"


def _meaning(judgement: Judgement) -> str:
    told = f"{words.tally(judgement.objectives)}. {judgement.verdict} means: {words.MEANING[judgement.verdict]}."
    return f"{told} {sureness.overall(judgement)}".strip()


def _origin(evidence: Evidence, judgement: Judgement) -> str:
    opened = first(evidence.events, e.RunOpened)
    if not opened:
        return f"Run {judgement.run_id}"
    parts = (
        f"{opened.scenario} ({opened.profile})" if opened.profile else opened.scenario,
        words.moment(opened.wall_ns),
        f"{opened.user} on {opened.host}",
        took(evidence),
    )
    return words.line(" · ".join(parts))


def _notes(evidence: Evidence, judgement: Judgement) -> Iterator[Note]:
    """What must be known beside the verdict, the gravest first."""
    if judgement.what_if:
        paths = tuple((words.line(path), "") for path in judgement.what_if)
        text = "These objectives were asked instead of the run's own. It is no verdict on the release:"
        yield Note("what-if", "What if", text, paths, "open")
    if used := [it for it in judgement.waivers if it.state == "used"]:
        items = tuple(
            (words.line(it.objective), f"{it.who}, until {it.until}: {words.sentence(it.why)}") for it in used
        )
        text = "Missed all the same, and somebody answers for it for a time. The verdict stays what it is."
        yield Note("waived", "Waived", text, items, "fail")
    if judgement.verdict is Verdict.INCONCLUSIVE and (items := result.settling(evidence, judgement)):
        yield Note(
            "settle", "What would settle it", items=tuple((f"{name}:", text) for name, text in items), tone="open"
        )
    if evidence.problems:
        items = tuple(("", words.line(text)) for text in evidence.problems)
        yield Note("missing", "Missing from the evidence", items=items, tone="open")
    stand_ins = all_of(evidence.events, e.StandIn)
    items = tuple((it.service, f"was a stand-in: {it.text}") for it in stand_ins)
    yield Note("real", "What was real", _real(len(stand_ins)), items)


def _real(stand_ins: int) -> str:
    if not stand_ins:
        return "Every part of the platform was the real one: no stand-in was used."
    whose = "one's" if stand_ins == 1 else "ones'"
    return (
        f"The platform ran for real except for {words.count(stand_ins, 'stand-in')}, so this report says nothing of "
        f"the real {whose} own behaviour:"
    )


def _tiles(evidence: Evidence, judgement: Judgement, found: tuple[Fault, ...]) -> tuple[Tile, ...]:
    met = sum(item.verdict is Verdict.PASS for item in judgement.objectives)
    tiles = [Tile(f"{met} of {len(judgement.objectives)}", "objectives met", TONES[judgement.verdict])]
    if found:
        recovered = sum(bool(it.recovery and it.recovery.recovered) for it in found)
        tiles.append(
            Tile(f"{recovered} of {len(found)}", "faults recovered from", "pass" if recovered == len(found) else "fail")
        )
        full = [
            it.recovery.full_service_s.high
            for it in found
            if it.recovery and it.recovery.full_service_s and it.recovery.full_service_s.high
        ]
        if full:
            tiles.append(Tile(words.duration(max(full)), "longest way back to full service"))
    if judgement.data_loss:
        bad = sum(it.lost + it.stale + it.duplicated + it.resurrected + it.diverged for it in judgement.data_loss)
        tiles.append(Tile(str(bad), "acknowledged memories lost or wrong", "fail" if bad else "pass"))
    decided = all_of(evidence.events, e.Decided)
    if decided and decided[-1].state:
        tiles.append(Tile(decided[-1].state, "the canary, in the end"))
    back = all_of(evidence.events, e.RolledBack)
    if back:
        tiles.append(
            Tile(
                words.duration(back[-1].seconds),
                "rollback" + (" seen" if back[-1].seen else " not seen"),
                "" if back[-1].seen else "fail",
            )
        )
    if deployed := first(evidence.events, e.Deployed):
        tiles.append(Tile(words.duration(deployed.seconds), "deployment"))
    if evidence.requests is not None:
        tiles.append(Tile(f"{evidence.requests.num_rows:,}".replace(",", words.NARROW), "requests measured"))
    return tuple(tiles)
