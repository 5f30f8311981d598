"""The HTML report: self-contained, escaped, honest with thin evidence, and readable without eyes, colour or a mouse."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any, Literal, get_origin

import pytest

from harness.model import events as e
from harness.model.base import Frozen
from harness.model.evidence import Evidence
from harness.model.judgement import Finding, Interval, Judgement, Recovery, Verdict, Waived
from harness.render.html import html
from harness.testing.sample_run import KINDS, Kind, sample

HOSTILE = "\"'><script>alert(1)</script><img src=http://evil.test/x onerror=alert(1)>{{ 7*7 }}]]>\x1b[31m\u202e&"


class _Tree(HTMLParser):
    """Start tags with their attributes, in order, and the text within each kind of tag."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        for tag in set(self.open[-3:]):
            self.text.setdefault(tag, []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def _tree(kind: Kind = "pass") -> _Tree:
    return _Tree(html(*sample(kind)).decode())


def _empty() -> tuple[Evidence, Judgement]:
    """A run of which nothing is left."""
    evidence, _ = sample("pass")
    nothing: dict[str, Any] = dict.fromkeys(
        ("requests", "beacon", "generator", "ledger", "readback", "samples", "primaries")
    )
    judgement = Judgement(run_id="r", rules="1", verdict=Verdict.INCONCLUSIVE, sentence="", objectives=())
    return dataclasses.replace(evidence, events=(), metrics=(), problems=("the folder is empty",), **nothing), judgement


def _hostile(value: Any) -> Any:
    """The same value with every free text in it replaced by a hostile one."""
    if isinstance(value, Verdict):
        return value
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, tuple | list):
        return type(value)(_hostile(item) for item in value)
    if isinstance(value, dict):
        return {f"{HOSTILE}{key}": _hostile(item) for key, item in value.items()}
    if isinstance(value, Frozen):
        fixed = {"event", "unit", "comparison"}
        free = [name for name, it in type(value).model_fields.items() if get_origin(it.annotation) is not Literal]
        changed = {name: _hostile(getattr(value, name)) for name in free if name not in fixed}
        return value.model_copy(update=changed)
    return value


# ---- one file, nothing fetched ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_fetched(kind: Kind) -> None:
    tree = _tree(kind)
    assert not {"script", "iframe", "object", "embed", "base", "form", "audio", "video", "img"} & {
        tag for tag, _ in tree.tags
    }
    for _, attributes in tree.tags:
        for name in ("src", "href", "action", "data", "poster", "xlink:href", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    assert "@import" not in "".join(tree.text["style"])
    assert set(re.findall(r"url\(([^)]*)\)", "".join(tree.text["style"]))) == {"#hatch"}


def test_the_policy_allows_our_style_sheet_and_nothing_else() -> None:
    text = html(*sample("pass")).decode()
    tree = _Tree(text)
    policy = next(item["content"] for item in tree.all("meta") if "http-equiv" in item)
    style = re.search(r"<style>(.*?)</style>", text, flags=re.S)
    assert style and policy
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy.split("; ")[:3] == ["default-src 'none'", f"style-src 'sha256-{digest}'", "img-src data:"]


def test_the_same_evidence_gives_the_same_bytes() -> None:
    assert html(*sample("pass")) == html(*sample("pass"))


def test_a_five_minute_run_at_50_per_second_stays_below_300_kib() -> None:
    import pyarrow as pa

    evidence, judgement = sample("pass")
    table = evidence.requests
    assert table is not None
    shifted = []
    for part in range(5):  # the 90 s at 40/s, stretched to 60 s and repeated: 300 s at 60/s
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        for name in ("intended_ns", "finished_ns"):
            columns[name] = columns[name] * 2 // 3 + part * 60_000_000_000
        shifted.append(pa.table(columns))
    report = html(dataclasses.replace(evidence, requests=pa.concat_tables(shifted)), judgement)
    assert len(report) < 300 * 1024


# ---- escaping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_text_in_any_field_stays_text(kind: Kind) -> None:
    evidence, judgement = sample(kind)
    evil = dataclasses.replace(
        evidence,
        run_id=HOSTILE,
        events=_hostile(evidence.events),
        metrics=tuple(
            dataclasses.replace(it, query=HOSTILE, error=HOSTILE, warnings=(HOSTILE,)) for it in evidence.metrics
        ),
        problems=(HOSTILE,),
    )
    text = html(evil, _hostile(judgement)).decode()
    assert text.count("alert(1)") > 30, "the hostile text is in the report"
    tree = _Tree(text)
    assert not {"script", "img"} & {tag for tag, _ in tree.tags}
    assert not any(name.startswith("on") for _, attributes in tree.tags for name in attributes)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "{{ 7*7 }}" in text, "templates are not evaluated"


def test_the_hostile_text_would_be_found_if_it_were_not_escaped() -> None:
    assert {"script", "img"} <= {tag for tag, _ in _Tree(f"<p>{HOSTILE}</p>").tags}


# ---- what it says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_verdict_reason_and_stand_ins_come_before_all_else(kind: Kind) -> None:
    evidence, judgement = sample(kind)
    text = html(evidence, judgement).decode()
    head = text[: text.index('id="glance"')]
    assert f"</svg>{judgement.verdict}</span>" in head
    assert judgement.sentence.split(": ", 1)[1][1:30] in head
    for stand_in in (event for event in evidence.events if isinstance(event, e.StandIn)):
        assert stand_in.service in head


def test_without_a_stand_in_it_says_so() -> None:
    evidence, judgement = sample("pass")
    real = tuple(event for event in evidence.events if not isinstance(event, e.StandIn))
    assert "no stand-in was used" in html(dataclasses.replace(evidence, events=real), judgement).decode()


def test_what_failed_stands_before_what_passed() -> None:
    rows = re.findall(r'<span class="chip (\w+)">', html(*sample("fail")).decode().split('id="objectives"')[1])
    assert rows[:3] == ["fail", "open", "pass"]


def test_a_run_without_evidence_makes_a_report_that_says_so() -> None:
    text = html(*_empty()).decode()
    _Tree(text)
    for said in ("the folder is empty", "No objective was judged", "There is no request record", "INCONCLUSIVE"):
        assert said in text


def test_a_fault_that_is_not_recovered_from_is_never_shown_as_recovered() -> None:
    evidence, judgement = sample("pass")
    lost = judgement.recoveries[0].model_copy(
        update={"served_s": Interval(low=50.0), "full_service_s": Interval(low=50.0), "recovered": False}
    )
    text = html(evidence, judgement.model_copy(update={"recoveries": (lost,)})).decode()
    assert "Users failed, and were not seen to be served again" in text
    assert "0 of 1" in text
    assert "users failed from there on" in text
    assert "full service from there on" not in text


def test_a_fault_that_nobody_noticed() -> None:
    evidence, judgement = sample("pass")
    seen = judgement.recoveries[0]
    quiet = Recovery(
        experiment=seen.experiment, fault=seen.fault, landed_ns=seen.landed_ns, recovered=True, visible=False
    )
    text = html(evidence, judgement.model_copy(update={"recoveries": (quiet,)})).decode()
    assert "Users noticed nothing of it." in text
    assert "never" not in re.sub(r"<[^>]*>", "", text.split('id="recovery"')[1].split("<section")[0]).lower()


def test_a_fault_that_was_never_seen_to_land_is_told() -> None:
    evidence, judgement = sample("pass")
    events = tuple(
        it.model_copy(update={"landed": False}) if isinstance(it, e.FaultLanded) else it for it in evidence.events
    )
    text = html(dataclasses.replace(evidence, events=events), judgement.model_copy(update={"recoveries": ()})).decode()
    assert "Never seen to land" in text


def test_findings_and_problems_are_told() -> None:
    evidence, judgement = sample("inconclusive")
    text = html(evidence, judgement).decode()
    assert "Prometheus answered nothing after 51 s" in text
    assert "prometheus ended by signal 9, which nobody asked for" in text


def test_a_very_long_text_does_not_swell_the_report() -> None:
    evidence, judgement = sample("pass")
    long = Finding(name="n", cap=Verdict.INCONCLUSIVE, reason="x" * 100_000, detail=("y" * 100_000,) * 100)
    before, after = (len(html(evidence, judgement.model_copy(update={"findings": f}))) for f in ((), (long,)))
    assert after - before < 10_000


# ---- for everybody ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_structure_for_a_screen_reader(kind: Kind) -> None:
    tree = _tree(kind)
    assert tree.all("html")[0]["lang"] == "en"
    assert [tag for tag, _ in tree.tags if tag in ("header", "main", "nav", "footer")] == [
        "header",
        "main",
        "nav",
        "footer",
    ]
    levels = [int(tag[1]) for tag, _ in tree.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), "no level is skipped"
    ids = [attributes["id"] for _, attributes in tree.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in tree.tags:
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids
    for link in tree.all("a"):
        assert (link["href"] or "").lstrip("#") in ids


@pytest.mark.parametrize("kind", KINDS)
def test_tables_have_captions_and_headers(kind: Kind) -> None:
    tree = _tree(kind)
    tables = len(tree.all("table"))
    assert tables == len(tree.all("caption")) > 4
    assert all(header.get("scope") in ("col", "row", "rowgroup") for header in tree.all("th"))
    assert tree.all("td")
    assert all(cell.get("data-label") for cell in tree.all("td")), "a phone shows the column's name beside each value"


@pytest.mark.parametrize("kind", KINDS)
def test_drawings_have_names_or_are_hidden_and_each_has_its_words(kind: Kind) -> None:
    text = html(*sample(kind)).decode()
    tree = _Tree(text)
    for drawing in tree.all("svg"):
        assert drawing.get("aria-hidden") == "true" or (drawing.get("role") == "img" and drawing.get("aria-label"))
    for figure in re.findall(r"<figure>.*?</figure>", text, flags=re.S):
        assert len(re.findall(r"<figcaption><p>.{20,}", figure)) == 1
    drawn = {"pass": 3, "fail": 3, "inconclusive": 2, "rollback": 3}  # steps of a recovery; a gate's evidence
    assert text.count("<figure>") == drawn[kind]
    assert "<summary>The timeline as a table</summary>" in text


@pytest.mark.parametrize("kind", KINDS)
def test_every_objective_that_was_measured_is_drawn_and_the_drawing_told_in_words(kind: Kind) -> None:
    told = [it["aria-label"] or "" for it in _tree(kind).all("svg") if it.get("class") == "plot"]
    measured = [it for it in sample(kind)[1].objectives if it.measured is not None]
    assert len(told) == len(measured) + 3  # and the three examples of how to read them
    assert all("The limit is" in text and " side" in text for text in told)


def test_an_old_judgement_has_its_recovery_as_before() -> None:
    """One of version 0.1.0 has no steps: nothing is said of them."""
    evidence, judgement = sample("pass")
    old = judgement.model_copy(
        update={"recoveries": tuple(it.model_copy(update={"phases": ()}) for it in judgement.recoveries)}
    )
    assert "Steps to full service" in html(evidence, judgement).decode()
    text = html(evidence, old).decode()
    assert "Steps to full service" not in text
    assert "First failure" in text


def test_what_would_settle_it_stands_at_the_top_of_an_inconclusive_report_only() -> None:
    for kind in KINDS:
        text = html(*sample(kind)).decode()
        assert ('id="settle"' in text) == (sample(kind)[1].verdict is Verdict.INCONCLUSIVE)
    head = html(*sample("inconclusive")).decode().split('id="glance"')[0]
    assert "Consensus of the swarm" in head.split('id="settle"')[1]


def test_a_waiver_stands_at_the_top() -> None:
    evidence, judgement = sample("fail")
    waiver = Waived(objective="unified-api-latency", who="rosa", why="known", until="2026-12-31", state="used")
    text = html(evidence, judgement.model_copy(update={"waivers": (waiver,), "waived": True})).decode()
    assert "FAIL (waived)" in text
    assert "rosa, until 2026-12-31: Known." in text.split('id="glance"')[0]


def test_verdicts_do_not_rest_on_colour_alone() -> None:
    text = html(*sample("fail")).decode()
    shapes = dict(re.findall(r'<span class="chip (\w+)"><svg[^>]*><path d="([^"]+)"', text))
    assert len(set(shapes.values())) == 3, "three signs of different shape"
    assert all(word in text for word in ("FAIL</span>", "PASS</span>", "INCONCLUSIVE</span>"))


def test_dark_mode_print_and_phones_are_styled() -> None:
    style = "".join(_tree().text["style"])
    for query in ("prefers-color-scheme: dark", "@media print", "max-width: 720px", "prefers-reduced-motion"):
        assert query in style


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        digits = colour.lstrip("#")
        digits = "".join(sign * 2 for sign in digits) if len(digits) == 3 else digits
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_text_has_the_contrast_that_wcag_aa_asks_for() -> None:
    style = "".join(_tree().text["style"])
    palettes = re.findall(r":root \{(.*?)\}", style, flags=re.S)
    assert len(palettes) == 3  # light, dark, print
    light: dict[str, str] = {}
    for palette in palettes:
        colours = light | dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", palette))
        light = light or colours
        for text in ("ink", "soft", "pass", "fail", "open", "link"):
            for ground in ("paper", "ground"):
                assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for tone in ("pass", "fail", "open"):
            assert _contrast(colours[tone], colours[f"{tone}-wash"]) >= 4.5, tone


def test_a_gates_evidence_is_worked_out_again_as_it_was_told() -> None:
    """The last point of each line is what the journal says of the bake's end."""
    from harness.render import comparison

    evidence, _ = sample("rollback")
    told = comparison.story(evidence)
    assert told is not None
    seen = [it for it in evidence.events if isinstance(it, e.Compared)]
    ends = [track.points[-1][1] for track in told.tracks if track.null == "not-worse"]
    assert ends == pytest.approx([one.harm for it in seen for one in it.criteria], abs=1e-5)
    text = html(evidence, sample("rollback")[1]).decode()
    assert "shown to be worse" in text
    assert "600 to 1 takes the canary off" in text.replace("\u202f", " ")


def test_alerts_are_told_even_when_only_prometheus_samples_have_them() -> None:
    """Without samples nobody knows whether one fired, and the page says so instead of "no alert"."""
    evidence, judgement = sample("inconclusive")
    text = html(evidence, judgement).decode()
    assert "Whether an alert fired is not known" in text
    assert "No alert was seen" not in text


def test_old_judgements_have_no_section_on_what_they_do_not_tell() -> None:
    evidence, judgement = sample("pass")
    assert 'id="attribution"' in html(evidence, judgement).decode()
    bare = judgement.model_copy(update={"attribution": None, "correction": None})
    assert 'id="attribution"' not in html(evidence, bare).decode()
