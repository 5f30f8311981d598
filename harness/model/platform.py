"""A platform as data: services, phases, gates, checks. Nothing about a particular platform is coded."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from harness.errors import BadInput
from harness.model.base import Duration, Frozen

Strategy = Literal["parallel", "sequential", "rolling", "blue-green", "canary"]


class Metadata(Frozen):
    """What a document is called."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", description="small letters, digits and dashes")
    title: str = Field(default="", description="for people")


class HttpCheck(Frozen):
    """An HTTP request and what its answer must be.

    `expect` maps a JSON pointer into the answer's body to the value it must have; `at_least` and `at_most`
    bound numbers.
    """

    service: str = ""
    port: str = "http"
    method: Literal["GET", "POST", "PUT", "OPTIONS"] = "GET"
    path: str
    headers: dict[str, str] = {}
    body: JsonValue = None
    status: int = 200
    expect: dict[str, JsonValue] = {}
    at_least: dict[str, float] = {}
    at_most: dict[str, float] = {}
    expect_headers: dict[str, str] = {}
    faster_than: Duration | None = None
    timeout: Duration = 5.0


class CommandCheck(Frozen):
    """A program that must exit 0; its standard output is kept as evidence."""

    argv: tuple[str, ...] = Field(min_length=1)
    timeout: Duration = 30.0


class Gate(Frozen):
    """A condition a phase must reach before the next one starts; polled until `within` has passed."""

    name: str
    http: HttpCheck | None = None
    command: CommandCheck | None = None
    within: Duration = 30.0
    every: Duration = 0.25


class Restart(Frozen):
    """Restarts after these waits; after the last attempt the instance stays down. Attempts are forgotten when an
    instance stayed up for `forget_after`."""

    waits: tuple[Duration, ...] = (2.0, 4.0, 8.0)
    forget_after: Duration = 60.0


class Stop(Frozen):
    """How an instance is asked to end before it is killed."""

    signal: Literal["TERM", "INT", "QUIT"] = "TERM"
    timeout: Duration = 5.0
    drain: Duration = Field(default=0.5, description="in a rollout: time without new traffic before the signal")


class Reload(Frozen):
    """How a running instance takes up re-rendered files without ending: exactly one of a signal to its process, a
    command (same placeholders as `command`) that exits 0 once they are in use, or `watched` (it notices by itself).
    Except after a command, `settle` passes before they count as in use."""

    signal: Literal["HUP", "USR1", "USR2"] | None = None
    command: tuple[str, ...] = ()
    watched: bool = False
    settle: Duration = 1.0


class Needs(Frozen):
    """What the machine must have free before anything is started, in MiB."""

    memory_mib: int = Field(default=256, ge=0)
    disk_mib: int = Field(default=256, ge=0)


class LogPatterns(Frozen):
    """Regular expressions on a service's log: at least one success pattern must occur, no failure pattern may."""

    success: tuple[str, ...] = ()
    failure: tuple[str, ...] = ()


class TemplateFile(Frozen):
    """A Jinja2 template (path relative to the platform file), rendered into the instance's folder before it starts."""

    template: str
    to: str


class Metrics(Frozen):
    """Where Prometheus scrapes an instance."""

    port: str = "http"
    path: str = "/metrics"


class Service(Frozen):
    """One service: how an instance is run, how its health is seen, how it is restarted.

    `instances` maps a region to a count; the region "" is for services outside of all regions (an edge, Prometheus).
    `ports` maps a name to the preferred number; a free one is taken when somebody else has it.
    `command`, `env`, `prepare` may use the placeholders of docs/reference/platform.md. Without a `command` the service
    is none of the local target's: only its manifests say how it is run.
    """

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    title: str = ""
    instances: dict[str, int] = {"": 1}
    command: tuple[str, ...] | None = Field(default=None, min_length=1)
    prepare: tuple[tuple[str, ...], ...] = ()
    env: dict[str, str] = {}
    files: tuple[TemplateFile, ...] = ()
    ports: dict[str, int] = {"http": 0}
    user: str = ""
    depends: tuple[str, ...] = ()
    health: HttpCheck | None = None
    ready_within: Duration = 30.0
    restart: Restart = Restart()
    stop: Stop = Stop()
    reload: Reload | None = None
    logs: LogPatterns = LogPatterns()
    metrics: Metrics | None = None
    released: bool = False
    stand_in: str = ""


class Phase(Frozen):
    """Services that are rolled out together, and the gates that must hold before the next phase."""

    name: str
    services: tuple[str, ...] = Field(min_length=1)
    strategy: Strategy = "parallel"
    gates: tuple[Gate, ...] = ()


class Device(Frozen):
    """A device that instances of a region depend on: a file on the local target, a plug-in's device on Kubernetes."""

    name: str
    kind: str = "nvidia.com/gpu"
    region: str = ""
    path: str


class Endpoints(Frozen):
    """Where the harness meets the platform; values are `service.port` references or URLs with placeholders."""

    edge: str
    prometheus: str = ""
    alertmanager: str = ""
    databases: dict[str, str] = {}
    regions: dict[str, str] = {}


class Release(Frozen):
    """A version of the platform's own services: its name, what it sets in the released services' environment, and on
    Kubernetes the images of those whose image it changes."""

    name: str
    env: dict[str, str] = {}
    images: dict[str, str] = {}


class PodLabels(Frozen):
    """The labels by which a pod says which service, region and release it is of."""

    service: str = "app.kubernetes.io/name"
    region: str = "topology.kubernetes.io/region"
    release: str = "app.kubernetes.io/version"


class ClusterSecret(Frozen):
    """Where a secret of the platform lies on a cluster; with `generate` the harness makes it, at random, and nobody
    else may have it already."""

    secret: str
    key: str
    generate: bool = False


class OnKubernetes(Frozen):
    """How the platform is recognised on a cluster; `secrets` maps the name of `${secret.name}` to its place.

    `devices` maps a kind of device to the file on a node that stands for one, away when it is lost; `${NAME}` in it is
    a variable of the container that was given the device.
    """

    labels: PodLabels = PodLabels()
    secrets: dict[str, ClusterSecret] = {}
    devices: dict[str, str] = {}


class PlatformSpec(Frozen):
    """Everything a target needs to deploy a platform."""

    regions: tuple[str, ...] = ()
    endpoints: Endpoints
    services: tuple[Service, ...] = Field(min_length=1)
    phases: tuple[Phase, ...] = Field(min_length=1)
    devices: tuple[Device, ...] = ()
    logs: LogPatterns = LogPatterns()
    checks: tuple[Gate, ...] = ()
    releases: tuple[Release, ...] = ()
    needs: Needs = Needs()
    kubernetes: OnKubernetes | None = None

    def service(self, name: str) -> Service:
        """Raises BadInput with the names there are."""
        for each in self.services:
            if each.name == name:
                return each
        raise BadInput(f"no service {name!r}", fix=f"services: {', '.join(each.name for each in self.services)}")

    def release_named(self, name: str) -> Release:
        """Where none is declared, any name is a release without settings of its own."""
        for each in self.releases:
            if each.name == name:
                return each
        if not self.releases:
            return Release(name=name)
        raise BadInput(f"no release {name!r}", fix=f"releases: {', '.join(each.name for each in self.releases)}")


class Platform(Frozen):
    """A platform document (`kind: Platform`)."""

    api_version: Literal["harness/v1"] = Field(alias="apiVersion")
    kind: Literal["Platform"]
    metadata: Metadata
    spec: PlatformSpec
