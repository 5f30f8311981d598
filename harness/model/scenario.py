"""The top document: what to run, against what, judged by what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from harness.model.base import Duration, Frozen
from harness.model.load import Beacon, Load
from harness.model.on_cluster import OnCluster
from harness.model.platform import Metadata
from harness.model.rollout import Rollout


class Validity(Frozen):
    """When the load was not what was declared, or the cluster's control plane was away, the verdict is capped at
    INCONCLUSIVE."""

    late_p99: Duration = Field(default=0.05, description="start lateness in a second that still counts as on time")
    late_seconds: float = Field(default=0.05, ge=0, le=1, description="share of seconds that may be late")
    dropped: float = Field(default=0.0, ge=0, le=1, description="share of arrivals that may be dropped")
    cpu: float = Field(default=0.85, gt=0, le=1, description="share of a core above which the generator is saturated")
    api_silent: Duration = Field(
        default=8.0, description="on Kubernetes: time that its API server may leave the harness without an answer"
    )


class Guard(Frozen):
    """Ends the run early: when the user-visible error share over `over` is above `errors`, outside what is expected."""

    name: str = Field(description="what the report calls it")
    errors: float = Field(gt=0, le=1, description="share of failed requests above which the run ends")
    over: Duration = Field(default=10.0, gt=0, description="the last so many seconds count")
    windows: tuple[Literal["steady", "fault"], ...] = Field(default=("steady",), description="where the guard looks")


class ExperimentRef(Frozen):
    """One experiment file and how often it is run."""

    file: str = Field(description="the experiment; a path from the scenario's folder")
    repeat: int = Field(default=1, ge=1, description="how often it is run")
    gap: Duration = Field(default=2.0, description="quiet time before each injection, drawn from [gap, 2·gap] by seed")
    within: Duration = Field(default=120.0, description="time after the fault within which all must be healed")
    blast_radius: int = Field(default=1, ge=1, description="instances that the fault may touch")
    set: dict[str, str | int | float] = Field(
        default={}, description="values of the experiment's `configuration`, instead of its own and the environment's"
    )


class ReadBack(Frozen):
    """How acknowledged writes are read again from each region's own endpoint.

    GET `path`?`parameter`=k1,k2,… answers `{"memories": [{"key", "text", "version", "count"}]}` with what is there.
    """

    path: str = Field(description="path at each region's endpoint")
    parameter: str = Field(default="keys", description="query parameter that takes the keys, with commas")
    batch: int = Field(default=200, ge=1, description="keys per request")
    within: Duration = Field(
        default=15.0, description="time that a replica has to catch up before a write counts as lost"
    )


class AttributionRule(Frozen):
    """How failures of the users' requests and probes are attributed to faults."""

    propagation: Duration = Field(
        default=5.0, description="a failure that begins so long after a fault's window may still be its effect"
    )
    listed: int = Field(default=20, ge=0, description="stretches of failures that are listed, the longest first")


class TargetRef(Frozen):
    """Which target, and which platform on it. `state` attaches to a platform that is already up."""

    kind: Literal["local", "kubernetes"] = Field(default="local", description="where the platform runs")
    platform: str = Field(description="the platform file; a path from the scenario's folder")
    release: str = Field(default="", description="the release to deploy; empty: the platform's first")
    state: str = Field(default="", description="a platform that is up (`harness status`) instead of a new one")
    kubernetes: OnCluster | None = Field(default=None, description="for `kind: kubernetes`: where and what")

    @model_validator(mode="after")
    def _cluster_is_told(self) -> TargetRef:
        if (self.kind == "kubernetes") != (self.kubernetes is not None):
            raise ValueError("`kind: kubernetes` and the section `kubernetes` go together")
        return self


class ScenarioSpec(Frozen):
    """Everything that decides what a run does."""

    target: TargetRef = Field(description="where and what")
    seed: int = Field(default=1, description="decides every random choice")
    load: Load = Field(description="what users do meanwhile")
    beacon: Beacon = Field(default=Beacon(), description="the probe that times recovery")
    validity: Validity = Field(default=Validity(), description="when the load does not count as declared")
    upgrade_from: str = Field(
        default="", description="release to deploy first; the one under test then replaces it under load"
    )
    steady: Duration = Field(default=30.0, description="undisturbed time after the warm-up")
    experiments: tuple[ExperimentRef, ...] = Field(default=(), description="what is broken, in this order")
    rollout: Rollout | None = Field(default=None, description="a canary, for `harness gate`")
    read_back: ReadBack | None = Field(default=None, description="how acknowledged writes are read again")
    quiet: Duration = Field(default=3.0, description="time without fault before the final read-back")
    guards: tuple[Guard, ...] = Field(default=(), description="what ends the run early")
    slos: tuple[str, ...] = Field(min_length=1, description="OpenSLO files or folders")
    waivers: str = Field(default="", description="a file of waivers: misses that somebody answers for")
    certificate_key: str = Field(
        default="", description="public key: run only a release whose certificate (`--certificate`) it signed"
    )
    claim: Literal["run", "system"] = Field(default="run", description="what steady-state objectives claim")
    correlation: Duration = Field(
        default=1.0, description="requests further apart fail independently of each other; within it anything may be"
    )
    false_fail: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="chance that a platform that meets every objective FAILs, over all claims about it (Bonferroni)",
    )
    sustained: Duration = Field(default=2.0, description="a recovery counts once service stayed good for so long")
    attribution: AttributionRule = Field(default=AttributionRule(), description="which failures are a fault's")


class Scenario(Frozen):
    """A scenario document (`kind: Scenario`)."""

    api_version: Literal["harness/v1"] = Field(alias="apiVersion", description="version of this format")
    kind: Literal["Scenario"] = Field(description="what this document is")
    metadata: Metadata = Field(description="what it is called")
    spec: ScenarioSpec = Field(description="what it says")
