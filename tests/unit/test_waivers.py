"""Waivers: a FAIL that somebody answers for is told in plain sight, and stays a FAIL."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BadInput
from harness.judge.waive import waive
from harness.model.judgement import Finding, Judgement, ObjectiveResult, Verdict
from harness.model.waiver import Waiver
from harness.render.console import result as console
from harness.render.html import html
from harness.render.junit import junit
from harness.render.markdown import summary
from harness.run.verdict import exit_code
from harness.spec.waivers import load_waivers
from harness.testing.sample_run import sample

ENDED = int(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp() * 1e9)


def objective(slo: str, verdict: Verdict, experiment: str = "", title: str = "") -> ObjectiveResult:
    return ObjectiveResult(
        slo=slo, service="s", title=slo, objective=title, window="fault" if experiment else "steady",
        experiment=experiment, source="requests", verdict=verdict, reason="it was so",
    )  # fmt: skip


def judged(*objectives: ObjectiveResult, findings: tuple[Finding, ...] = ()) -> Judgement:
    verdict = max((one.verdict for one in objectives), key=lambda one: one.rank)
    return Judgement(
        run_id="r",
        rules={},
        verdict=verdict,
        sentence=f"{verdict}: as it is.",
        objectives=objectives,
        findings=findings,
    )


def waiver(objective: str = "slow", until: str = "2026-12-31", **more: str) -> Waiver:
    return Waiver(objective=objective, who="Rosa", why="known", until=until, **more)


FAIL, PASS, OPEN = Verdict.FAIL, Verdict.PASS, Verdict.INCONCLUSIVE


def test_a_waived_miss_is_a_miss_in_plain_sight() -> None:
    before = judged(objective("slow", FAIL), objective("fine", PASS))
    after = waive(before, [waiver()], ENDED)
    assert after.waived
    assert after.verdict is FAIL
    assert exit_code(after.verdict) == 10
    assert after.objectives[0].verdict is FAIL
    assert after.objectives[0].reason.startswith("waived by Rosa until 2026-12-31 (known)")
    assert "it was so" in after.objectives[0].reason
    assert after.sentence.startswith("FAIL: waived (1 waiver). ")
    assert after.waivers[0].state == "used"
    assert after.objectives[1] == before.objectives[1]


@pytest.mark.parametrize(
    ("before", "given"),
    [
        (judged(objective("slow", FAIL), objective("other", FAIL)), waiver()),
        (judged(objective("slow", FAIL), objective("other", OPEN)), waiver()),
        (judged(objective("slow", FAIL), findings=(Finding(name="f", cap=OPEN, reason="x"),)), waiver()),
        (judged(objective("slow", FAIL), findings=(Finding(name="f", cap=FAIL, reason="x"),)), waiver()),
        (judged(objective("slow", OPEN)), waiver()),
        (judged(objective("slow", PASS)), waiver()),
        (judged(objective("slow", FAIL)), waiver(until="2026-11-24")),
        (judged(objective("slow", FAIL)), waiver("slo")),
        (judged(objective("slow", FAIL, title="P95")), waiver("slow/P99")),
        (judged(objective("slow", FAIL, "kill-weaviate#2")), waiver(experiment="gpu-loss")),
    ],
)
def test_what_a_waiver_does_not_cover(before: Judgement, given: Waiver) -> None:
    after = waive(before, [given], ENDED)
    assert not after.waived
    assert after.verdict is before.verdict
    assert "waived (" not in after.sentence or "not all waived" in after.sentence


def test_it_counts_on_its_last_day_and_for_its_own_objective_and_fault() -> None:
    assert waive(judged(objective("slow", FAIL)), [waiver(until="2026-11-25")], ENDED).waived
    assert waive(judged(objective("slow", FAIL, title="P99")), [waiver("slow/P99")], ENDED).waived
    faults = objective("slow", FAIL, "kill-weaviate#2")
    assert waive(judged(faults), [waiver(experiment="kill-weaviate")], ENDED).waived


def test_expired_and_unused_ones_are_told() -> None:
    after = waive(judged(objective("slow", FAIL)), [waiver(until="2026-01-01"), waiver("fast")], ENDED)
    assert [one.state for one in after.waivers] == ["expired", "unused"]
    told = [one.reason for one in after.findings]
    assert "expired on 2026-01-01" in told[0]
    assert "covers nothing" in told[1]
    assert all(one.cap is PASS for one in after.findings)


@given(
    st.lists(st.sampled_from(list(Verdict)), min_size=1, max_size=5),
    st.lists(st.tuples(st.sampled_from("01234"), st.dates().map(str)), max_size=5),
    st.sampled_from([(), (Finding(name="f", cap=OPEN, reason="x"),)]),
)
def test_no_waiver_ever_changes_a_verdict(
    verdicts: list[Verdict], given_: list[tuple[str, str]], findings: tuple[Finding, ...]
) -> None:
    before = judged(*(objective(str(index), one) for index, one in enumerate(verdicts)), findings=findings)
    after = waive(before, [waiver(name, until) for name, until in given_], ENDED)
    assert after.verdict is before.verdict
    assert [one.verdict for one in after.objectives] == verdicts
    assert not after.sentence.startswith("PASS: waived")
    if after.waived:
        assert FAIL in verdicts
        assert OPEN not in verdicts


def test_every_form_of_the_report_shows_it() -> None:
    evidence, judgement = sample("fail")
    decided = tuple(one for one in judgement.objectives if one.verdict is not OPEN)
    judgement = judgement.model_copy(update={"objectives": decided})
    missed = [one.slo for one in judgement.objectives if one.verdict is FAIL]
    mark = "<b>Rosa</b>"
    given_ = [Waiver(objective=name, who=mark, why="known", until="2027-01-31") for name in missed]
    after = waive(judgement, given_, ENDED)
    assert after.waived
    page = html(evidence, after).decode()
    assert mark not in page
    assert "&lt;b&gt;Rosa&lt;/b&gt;" in page
    for text in (page, junit(after, evidence).decode(), summary(after, evidence), console(after)):
        assert "2027-01-31" in text
        assert "waived" in text.lower()
        assert "Rosa" in text
    assert mark not in junit(after, evidence).decode()
    assert mark not in summary(after, evidence)
    assert "FAIL (waived)" in summary(after, evidence)
    assert 'type="fail"' in junit(after, evidence).decode()


GOOD = """\
apiVersion: harness/v1
kind: Waivers
metadata: {name: release 2.4}
spec:
  waivers:
    - objective: slow
      who: Rosa
      why: known
      until: 2026-12-31
"""


def test_a_file_of_waivers(tmp_path: Path) -> None:
    file = tmp_path / "waivers.yaml"
    file.write_text(GOOD)
    assert load_waivers(file, {"slow"}) == (waiver(),)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("until: 2026-12-31", "until: tomorrow", 9, "is not a date"),
        ("until: 2026-12-31", "until: 2026-02-30", 9, "is not a date"),
        ("      who: Rosa\n", "", 6, "'who' is missing"),
        ("why: known", "why: '  '", 8, ""),
        ("why: known", "because: known", 8, "unknown key 'because'"),
        ("objective: slow", "objective: slo", 6, "no SLO 'slo'"),
        ("until: 2026-12-31\n", "until: 2026-12-31\n    - {objective: slow, who: A, why: b, until: 2026-12-31}\n", 10,
         "waived twice"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    file = tmp_path / "waivers.yaml"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(BadInput) as refused:
        load_waivers(file, {"slow"})
    assert f"waivers.yaml:{line}" in str(refused.value)
    assert message in str(refused.value)
    assert "fix:" in str(refused.value)
