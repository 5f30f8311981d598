"""One judge for each kind of indicator: a new kind is a model in harness.model.slo, a file here, a line in `JUDGES`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.judge.indicators.counters import counter_ratio, increase_per
from harness.judge.indicators.deployment import check_ratio, deployment_time, monitoring_coverage
from harness.judge.indicators.loss import data_loss
from harness.judge.indicators.reactions import (
    alert_time,
    computed_ratio,
    gauge_share,
    reaction_time,
    writable_primaries,
)
from harness.judge.indicators.recovery import recovery_time
from harness.judge.indicators.requests import requests
from harness.judge.indicators.scaling import scale_up_time
from harness.judge.indicators.shifting import traffic_shift
from harness.judge.question import Question
from harness.model import slo as model
from harness.model.judgement import ObjectiveResult

JUDGES: dict[type, Callable[[Question, Any], ObjectiveResult]] = {
    model.RequestRatio: requests,
    model.CounterRatio: counter_ratio,
    model.GaugeShare: gauge_share,
    model.ComputedRatio: computed_ratio,
    model.IncreasePer: increase_per,
    model.CheckRatio: check_ratio,
    model.MonitoringCoverage: monitoring_coverage,
    model.RecoveryTime: recovery_time,
    model.ReactionTime: reaction_time,
    model.DataLossMeasure: data_loss,
    model.AlertTime: alert_time,
    model.DeploymentTime: deployment_time,
    model.WritablePrimaries: writable_primaries,
    model.ScaleUpTime: scale_up_time,
    model.TrafficShift: traffic_shift,
}
