"""Scale-up response under a load step."""

from __future__ import annotations

from harness.judge.question import Question
from harness.judge.scaling import scale_up
from harness.model.judgement import ObjectiveResult
from harness.model.slo import ScaleUpTime


def scale_up_time(ask: Question, indicator: ScaleUpTime) -> ObjectiveResult:
    return ask.values([scale_up(ask.facts, indicator)], "load step", "s")
