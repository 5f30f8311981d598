"""What users do: when requests arrive, of which kind, and the probe that times recovery."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.model.base import Duration, Frozen


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


class Beacon(Frozen):
    """A light probe on its own, through the same edge, a new connection each time: it times recovery."""

    path: str = Field(default="/", description="what is asked for; its answer names level and region")
    every: Duration = Field(default=0.02, gt=0, description="time between two probes")
    timeout: Duration = Field(default=2.0, gt=0, description="a probe without an answer by then has failed")
