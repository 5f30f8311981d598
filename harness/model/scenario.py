"""The top document: what to run, against what, judged by what."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from harness.model.base import Duration, Frozen
from harness.model.platform import Metadata


class Constant(Frozen):
    """Arrivals at equal distances."""

    kind: Literal["constant"] = Field(description="which schedule")
    rate: float = Field(gt=0, description="arrivals per second")


class Poisson(Frozen):
    """Independent arrivals: exponential distances, seeded."""

    kind: Literal["poisson"] = Field(description="which schedule")
    rate: float = Field(gt=0, description="mean arrivals per second")


class Ramp(Frozen):
    """A rate that grows linearly, then stays."""

    kind: Literal["ramp"] = Field(description="which schedule")
    rate: float = Field(gt=0, description="arrivals per second at the start")
    to: float = Field(gt=0, description="arrivals per second after `over`")
    over: Duration = Field(description="time from the first rate to the second")


class Step(Frozen):
    """A rate that jumps at a time and stays."""

    kind: Literal["step"] = Field(description="which schedule")
    rate: float = Field(gt=0, description="arrivals per second before the step")
    to: float = Field(gt=0, description="arrivals per second from the step on")
    at: Duration = Field(description="time of the step, from the start of the load")


Arrivals = Annotated[Constant | Poisson | Ramp | Step, Field(discriminator="kind")]


class Load(Frozen):
    """An open workload: a schedule of arrivals, the journeys they are drawn from, and the connection policy."""

    locustfile: str = Field(description="the journeys; a path from the scenario's folder")
    arrivals: Arrivals = Field(description="the schedule: constant, poisson, ramp or step")
    mix: dict[str, float] = Field(min_length=1, description="journey → weight")
    warm_up: Duration = Field(default=5.0, description="load that is shown and not judged")
    timeout: Duration = Field(default=5.0, description="a request without a whole answer by then has failed")
    max_in_flight: int = Field(default=1000, ge=1, description="arrivals beyond it are dropped, and counted")
    connections: Literal["kept", "new"] = Field(default="kept", description="kept alive, or a new one per request")
    drain: Duration = Field(default=6.0, description="time for requests in flight when the load ends")


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


class Beacon(Frozen):
    """A light probe on its own, through the same edge, a new connection each time: it times recovery."""

    path: str = Field(default="/", description="what is asked for; its answer names level and region")
    every: Duration = Field(default=0.02, gt=0, description="time between two probes")
    timeout: Duration = Field(default=2.0, gt=0, description="a probe without an answer by then has failed")


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


class _CountingTrigger(Frozen):
    """Takes a bad release off whatever else is said: its condition in `consecutive` windows of the canary's responses.

    A window with fewer than `minimum` responses says nothing; nothing is promoted while it could have been a hit.
    """

    window: Duration = Field(gt=0, description="length of one window")
    consecutive: int = Field(ge=1, description="windows in a row that must be bad")
    minimum: int = Field(default=1, ge=1, description="responses below which a window says nothing")


class ErrorTrigger(_CountingTrigger):
    """The share of failed responses is above a limit."""

    kind: Literal["errors"] = Field(description="which trigger")
    above: float = Field(ge=0, lt=1, description="share of failed responses")


class LatencyTrigger(_CountingTrigger):
    """The quantile of the latency is above a limit, counted: more than 1 − quantile of the responses are slower."""

    kind: Literal["latency"] = Field(description="which trigger")
    quantile: float = Field(default=0.95, gt=0, lt=1, description="0.95: P95")
    above: Duration = Field(description="the limit of the quantile")


class AccuracyTrigger(_CountingTrigger):
    """The share of right answers among those whose content was checked is below a limit."""

    kind: Literal["accuracy"] = Field(description="which trigger")
    below: float = Field(gt=0, le=1, description="share of right answers")
    journey: str = Field(default="", description="only this journey's answers; empty: all")


class HealthTrigger(Frozen):
    """An instance of the canary fails so many health checks in a row."""

    kind: Literal["health"] = Field(description="which trigger")
    consecutive: int = Field(ge=1, description="failed checks in a row")
    path: str = Field(default="/health", description="what is asked of the instance")
    port: str = Field(default="http", description="name of the instance's port")
    every: Duration = Field(default=1.0, gt=0, description="time between two checks")
    timeout: Duration = Field(default=1.0, gt=0, description="a check without an answer by then has failed")


Trigger = Annotated[ErrorTrigger | LatencyTrigger | AccuracyTrigger | HealthTrigger, Field(discriminator="kind")]


class _Criterion(Frozen):
    """The canary is good enough while its share of bad events stays below ratio · the baseline's share + plus."""

    ratio: float = Field(default=1.0, ge=0, description="relative margin; 0 makes `plus` an absolute limit")
    plus: float = Field(default=0.0, ge=0, lt=1, description="absolute margin, as a share of the events")

    @model_validator(mode="after")
    def _somewhere(self) -> _Criterion:
        if self.ratio == 0 and self.plus == 0:
            raise ValueError(
                "ratio 0 and plus 0: not one bad event would be allowed, and none can be shown not to come"
            )
        return self


class ErrorCriterion(_Criterion):
    """Responses that failed: no answer, an error status, or wrong content."""

    kind: Literal["errors"] = Field(description="which criterion")


class SlowCriterion(_Criterion):
    """Responses slower than a threshold."""

    kind: Literal["slow"] = Field(description="which criterion")
    above: Duration = Field(gt=0, description="latency from which a response is slow")


class ContentCriterion(_Criterion):
    """Answers with wrong content or from a degraded service, among the answers that tell."""

    kind: Literal["content"] = Field(description="which criterion")


class ShiftCriterion(_Criterion):
    """Latency as a whole: responses slower than the baseline's own quantiles, whatever they are."""

    kind: Literal["shift"] = Field(description="which criterion")
    quantiles: tuple[float, ...] = Field(
        default=(0.5, 0.9, 0.99),
        min_length=1,
        description="of the baseline's latency before the step; each is compared",
    )


Criterion = Annotated[ErrorCriterion | SlowCriterion | ContentCriterion | ShiftCriterion, Field(discriminator="kind")]


class Comparison(Frozen):
    """Canary against baseline, block by block of the same time; looked at after each: docs/concepts/sequential.md."""

    criteria: tuple[Criterion, ...] = Field(min_length=1, description="what is compared, each with its margin")
    alpha: float = Field(
        default=0.01, gt=0, lt=1, description="chance that a rollout takes off a canary within every margin"
    )
    beta: float = Field(
        default=0.05, gt=0, lt=1, description="chance that a step calls a canary good enough that is beyond a margin"
    )
    block: Duration = Field(default=1.0, gt=0, description="both releases are compared within stretches of this length")
    assume: Literal["independent", "together", "constant"] = Field(
        default="independent",
        description="within a block requests fail independently, or may fail together; constant: rates never change",
    )
    required: bool = Field(
        default=False, description="a step that has not shown the canary good enough by its end is inconclusive"
    )


class Hold(Frozen):
    """How long a step may be held before the rollout is halted and the traffic goes back."""

    times: int = Field(
        default=2, ge=0, description="bakes of one step that may be inconclusive, drift or lose evidence"
    )
    silence: Duration = Field(default=3.0, gt=0, description="the record is lost when it is older than this")
    patience: Duration = Field(default=30.0, gt=0, description="time that lost evidence has to come back")


class RolloutStep(Frozen):
    """A share of the traffic and how long it is watched. The last step may be 100 % without a bake: the promotion."""

    share: float = Field(gt=0, le=1, description="the canary's share of the responses")
    bake: Duration = Field(default=0.0, description="how long the share is watched before it is judged")
    minimum: Duration | None = Field(
        default=None,
        gt=0,
        description="a bake may end after this when the canary is shown to be good enough; unset: never",
    )


class Rollout(Frozen):
    """The canary's steps and the rules by which it goes on or back."""

    service: str = Field(description="the service that gets a new release")
    region: str = Field(default="", description="region of the canary's instances")
    baseline: str = Field(description="the stable release")
    canary: str = Field(description="the new release")
    instances: int = Field(default=1, ge=0, description="of the canary; 0 where the actuator makes them")
    actuator: str = Field(default="haproxy", description="the means of splitting traffic")
    settings: dict[str, JsonValue] = Field(default={}, description="what the actuator needs; see its reference page")
    steps: tuple[RolloutStep, ...] = Field(min_length=1, description="shares, rising")
    share_tolerance: float = Field(default=0.05, gt=0, lt=1, description="a seen share may be off by so much")
    share_minimum: int = Field(default=40, ge=1, description="responses needed to see a share")
    shift_within: Duration = Field(default=10.0, description="time until a set share must be seen")
    rollback_within: Duration = Field(default=30.0, description="time from its cause until a rollback must be seen")
    sustained: Duration = Field(default=2.0, gt=0, description="time without the other release until it counts as gone")
    hold: Hold = Field(default=Hold(), description="how long a step may be held")
    triggers: tuple[Trigger, ...] = Field(default=(), description="what takes the canary off at once")
    compare: Comparison | None = Field(default=None, description="the canary against the baseline, all the time")

    @property
    def judged(self) -> tuple[RolloutStep, ...]:
        """The steps with a bake; 100 % without one is the promotion itself."""
        return tuple(step for step in self.steps if step.bake > 0)

    @property
    def seconds(self) -> tuple[float, float]:
        """(the shortest a promotion can take, the longest a rollout can go on), without starting the instances."""
        bakes = sum(step.bake for step in self.judged)
        least = sum(step.bake if step.minimum is None else min(step.minimum, step.bake) for step in self.judged)
        shifts = len(self.judged) + 1
        held = (self.hold.times + 1) * (bakes + shifts * (self.shift_within + self.hold.patience + self.hold.silence))
        return least + self.sustained, held + self.rollback_within + self.sustained

    @model_validator(mode="after")
    def _ordered(self) -> Rollout:
        if self.baseline == self.canary:
            raise ValueError("baseline and canary are the same release: their responses could not be told apart")
        if not self.judged:
            raise ValueError("no step has a bake, so nothing would be judged")
        for before, after in pairwise(self.steps):
            if after.share <= before.share:
                raise ValueError("the shares of the steps must rise")
        for step in self.steps:
            if step.bake == 0 and step.share < 1:
                raise ValueError(f"the step with share {step.share:g} has no bake; only 100 % may go without")
            if step.minimum is not None and self.compare is None:
                raise ValueError(
                    "a step has a minimum, but nothing is compared (`compare`) that could end its bake early"
                )
        return self


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


class ReachedAt(Frozen):
    """Where the platform is met from outside of the cluster: by Ingress, LoadBalancer, NodePort, whatever has a URL."""

    edge: str = Field(pattern=r"^https?://", description="the users' way in")
    prometheus: str = Field(default="", pattern=r"^(https?://|$)", description="its Prometheus; empty: it has none")
    alertmanager: str = Field(default="", pattern=r"^(https?://|$)", description="its Alertmanager; empty: it has none")
    databases: dict[str, str] = Field(
        default={}, description="region → URL of its database; `${secret.name}` stands for a secret of the platform"
    )
    regions: dict[str, str] = Field(default={}, description="region → URL of its own entry, for the read-back")
    services: dict[str, Annotated[str, Field(pattern=r"^[^/\s:]+:\d+$")]] = Field(
        default={},
        description="service, or service@region → host:port at which programs of gates reach it; unset: forwarded",
    )


class HelmChart(Frozen):
    """A chart, rendered here by `helm template` and applied like any manifests; it makes no Helm release."""

    chart: str = Field(description="the chart's folder or archive; a path from the scenario's folder")
    values: tuple[str, ...] = Field(default=(), description="files of values; paths from the scenario's folder")
    set: dict[str, str] = Field(default={}, description="single values, as in `global.imageTag: 1.0.0`")


class KindCluster(Frozen):
    """A cluster that the run makes with kind, and deletes again."""

    config: str = Field(default="", description="kind's own configuration file; a path from the scenario's folder")
    image: str = Field(default="", description="the node image; empty: kind's default")
    archives: tuple[str, ...] = Field(
        default=(), description="image archives that are loaded onto the nodes; paths from the scenario's folder"
    )
    addons: tuple[str, ...] = Field(
        default=(), description="manifests that the cluster needs first, a device plugin say; paths as above"
    )
    within: Duration = Field(default=600.0, gt=0, description="time that making it, and each loading, may take")


class K3sNode(Frozen):
    """One machine of such a cluster."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", description="the node's name")
    via: tuple[str, ...] = Field(
        default=(), description="a remote shell as root, as in [ssh, root@10.0.0.2]; empty: this machine"
    )
    region: str = Field(default="", description="its label topology.kubernetes.io/region")
    gpu: str = Field(default="", description="its GPUs, as in GH200: labels gpu-type and nvidia.com/gpu.present")


class K3sCluster(Frozen):
    """A cluster that the run makes with K3s on machines that have none, and uninstalls: a server and its agents."""

    binary: str = Field(description="the k3s program; a path from the scenario's folder")
    installer: str = Field(description="K3s' own install script; a path from the scenario's folder")
    address: str = Field(pattern=r"^https://", description="where agents and this machine reach the server")
    server: K3sNode = Field(description="the machine of the server; it runs pods too")
    agents: tuple[K3sNode, ...] = Field(default=(), description="the other machines")
    archives: tuple[str, ...] = Field(
        default=(), description="image archives that are loaded onto every node; paths from the scenario's folder"
    )
    within: Duration = Field(default=600.0, gt=0, description="time that each step may take")


class NodePower(Frozen):
    """How a machine of the cluster is switched off and on: programs that take the node's name as their last word."""

    off: tuple[str, ...] = Field(
        min_length=1, description="a program and its first words; one with a slash is a path from the scenario's folder"
    )
    on: tuple[str, ...] = Field(min_length=1, description="the same; it must do no harm to a node that runs")
    state: tuple[str, ...] = Field(
        default=(),
        description="a program that prints `on` or `off`; without it nobody knows that what ran there has ended",
    )
    within: Duration = Field(default=60.0, gt=0, description="time that each may take")


class RegionCluster(Frozen):
    """A cluster of its own for one region: what is there is the region's, and nothing else's."""

    kubeconfig: str = Field(default="", description="a path from the scenario's folder; empty: that of the others")
    context: str = Field(min_length=1, description="the context in it")
    namespace: str = Field(
        default="",
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$",
        description="of the platform there; empty: as in the first cluster",
    )
    kustomize: str = Field(default="", description="a Kustomize folder; a path from the scenario's folder")
    manifests: str = Field(default="", description="a file or folder of plain manifests, instead of `kustomize`")
    helm: HelmChart | None = Field(default=None, description="a Helm chart, instead of `kustomize`")
    agent_image: str = Field(default="", description="as below; empty: that of the first cluster")
    nodes: NodePower | None = Field(default=None, description="for the fault `node_loss` there")
    test: bool = Field(default=False, description="the cluster is there to be broken; else a run needs `--yes`")

    @model_validator(mode="after")
    def _one_source(self) -> RegionCluster:
        _check_source(self)
        return self


class OnCluster(Frozen):
    """Which cluster, which part of it, what is applied there, and how the platform is reached."""

    provider: Literal["context", "kind", "k3s"] = Field(
        default="context",
        description="where the cluster comes from: it is there (`context`), or the run makes it (`kind`, `k3s`)",
    )
    kubeconfig: str = Field(
        default="", description="a path from the scenario's folder; empty: `$KUBECONFIG`, else `~/.kube/config`"
    )
    context: str = Field(default="", description="the context in it; it must be named")
    kind: KindCluster | None = Field(default=None, description="for `provider: kind`, instead of a context")
    k3s: K3sCluster | None = Field(default=None, description="for `provider: k3s`, instead of a context")
    namespace: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description="of the platform; made and removed by the run, unless it is there already",
    )
    kustomize: str = Field(default="", description="a Kustomize folder; a path from the scenario's folder")
    manifests: str = Field(default="", description="a file or folder of plain manifests, instead of `kustomize`")
    helm: HelmChart | None = Field(default=None, description="a Helm chart, instead of `kustomize`")
    clusters: dict[str, RegionCluster] = Field(
        default={}, description="region → a cluster of its own; all else is on the one that is named here"
    )
    endpoints: ReachedAt = Field(description="how the platform is reached from here")
    agent_image: str = Field(
        default="", description="an image with Python, for the pods by which faults act on nodes; empty: no such fault"
    )
    nodes: NodePower | None = Field(
        default=None, description="for the fault `node_loss`; a cluster of kind needs none, its nodes are containers"
    )
    architectures: tuple[str, ...] = Field(
        default=(),
        description="what the images are built for, as in `[amd64, arm64]`; nodes that are neither are found by the "
        "preflight. Empty: it is known of a kind cluster's archives only",
    )
    rollout_within: Duration = Field(default=300.0, gt=0, description="time that a phase's pods have to become ready")
    down_within: Duration = Field(default=180.0, gt=0, description="time that everything has to be gone again")
    test: bool = Field(default=False, description="the cluster is there to be broken; else a run needs `--yes`")

    @model_validator(mode="after")
    def _one_source(self) -> OnCluster:
        _check_source(self)
        return self

    @model_validator(mode="after")
    def _one_cluster(self) -> OnCluster:
        for name, section in (("kind", self.kind), ("k3s", self.k3s)):
            if (section is not None) != (self.provider == name):
                raise ValueError(f"`provider: {name}` and the section `{name}` go together")
        if self.provider == "context" and not self.context:
            raise ValueError("a cluster that is there needs its context")
        if self.clusters and self.provider != "context":
            raise ValueError("regions have clusters of their own only where the clusters are there already")
        names = [self.context, *(each.context for each in self.clusters.values())]
        if len(set(names)) < len(names):
            raise ValueError("two clusters have contexts of one name: they could not be told apart")
        return self


def _check_source(given: OnCluster | RegionCluster) -> None:
    if [bool(given.kustomize), bool(given.manifests), given.helm is not None].count(True) != 1:
        raise ValueError("needs one of kustomize, manifests and helm")


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
