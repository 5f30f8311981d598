from __future__ import annotations

import pytest

from harness.model.judgement import Finding, ObjectiveResult, Verdict
from harness.render.markdown import LIMIT, summary
from harness.testing.sample_run import KINDS, Kind, sample

EVIDENCE, JUDGEMENT = sample("inconclusive")


@pytest.mark.parametrize("kind", KINDS)
def test_the_verdict_and_why_are_in_the_first_lines(kind: Kind) -> None:
    evidence, judgement = sample(kind)
    lines = summary(judgement, evidence).splitlines()
    assert str(judgement.verdict) in lines[0]
    assert lines[2].startswith("**")
    assert len("\n".join(lines)) < 6000


def test_what_was_not_met_is_not_folded_away() -> None:
    text = summary(JUDGEMENT, EVIDENCE)
    assert text.index("Consensus of the swarm") < text.index("<details>") < text.index("Deployment of all services")


def test_it_is_cut_below_what_github_takes() -> None:
    many = Finding(name="x" * 200, cap=Verdict.FAIL, reason="ä" * 290)
    judgement = JUDGEMENT.model_copy(update={"findings": (many,) * 3000})
    text = summary(judgement, EVIDENCE)
    assert len(text.encode()) <= LIMIT < 1024 * 1024
    assert text.endswith("_Cut here: the whole is in report.html._\n")
    assert "INCONCLUSIVE" in text.splitlines()[0]


@pytest.mark.parametrize("limit", [100, 400, 1500, 2600])
def test_a_cut_never_leaves_details_open(limit: int) -> None:
    text = summary(JUDGEMENT, EVIDENCE, limit=limit)
    assert len(text.encode()) <= limit
    assert text.count("<details>") == text.count("</details>")


@pytest.mark.parametrize(
    "hostile",
    [
        "</details><script>",
        "a|b",
        "[click](http://evil.test)",
        "@everyone",
        "`x`",
        "**b**",
        "line\n\n# heading",
        "$x$",
        "http://evil.test",
    ],
)
def test_hostile_text_stays_text(hostile: str) -> None:
    item = ObjectiveResult(
        slo="s", service=hostile, title=hostile, window="run", source="x", reason=hostile, verdict=Verdict.FAIL
    )
    judgement = JUDGEMENT.model_copy(update={"objectives": (item,), "findings": (), "sentence": hostile})
    text = summary(judgement, EVIDENCE)
    assert hostile not in text
    row = next(line for line in text.splitlines() if "❌ FAIL |" in line)
    assert row.replace("\\|", "").count("|") == 8
