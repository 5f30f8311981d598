"""HAProxy: weights through its runtime admin socket, without a reload.

The backend holds the stable servers and free, disabled slots. A canary instance is given a slot's address and then a
weight. What HAProxy says of itself is its setting; whether the share arrived, only the responses tell.
"""

from __future__ import annotations

import csv
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction

from pydantic import Field

from harness.errors import TargetError
from harness.model.base import Duration, Frozen
from harness.model.rollout import Rollout
from harness.ports import Instance, Target

# Per server HAProxy takes 0…256; beyond 100 the finer steps do not show in a share.
MOST = 100


class Settings(Frozen):
    """Where the admin socket is, and which servers are slots for the canary."""

    service: str = Field(default="edge", description="the platform's service that runs HAProxy")
    port: str = Field(default="admin", description="its port of the admin socket (`stats socket ipv4@… level admin`)")
    socket: str = Field(
        default="", description="path of a unix admin socket instead; relative: in the instance's folder"
    )
    backend: str
    slots: str = Field(default="canary*", description="names of the servers that are free for a canary")
    instance_port: str = Field(default="http", description="the port of an instance that HAProxy sends to")
    timeout: Duration = 2.0


@dataclass(frozen=True)
class Server:
    """A line of `show stat`: the weight in effect and the state."""

    name: str
    weight: int
    status: str
    backup: bool

    @property
    def takes_traffic(self) -> bool:
        return self.status.startswith(("UP", "no check")) and self.weight > 0


def connect(target: Target, rollout: Rollout, settings: Settings) -> HaProxy:
    """Raises TargetError when the platform has no such service or port."""
    found = target.instances(settings.service)
    if not found:
        raise TargetError(f"no instance of {settings.service!r}, which should run HAProxy")
    edge = found[0]
    if settings.socket:
        return HaProxy(str(edge.state / settings.socket), target, rollout, settings)
    if settings.port not in edge.ports:
        raise TargetError(f"{edge.name} has no port {settings.port!r} (ports: {', '.join(edge.ports)})")
    return HaProxy((edge.host, edge.ports[settings.port]), target, rollout, settings)


class HaProxy:
    """The Actuator. Nothing is remembered between calls: everything is read from HAProxy and from the target."""

    def __init__(self, address: str | tuple[str, int], target: Target, rollout: Rollout, settings: Settings) -> None:
        self._address, self._target, self._rollout, self._settings = address, target, rollout, settings

    def observe(self) -> float:
        """The canary's part of the weights in effect. Raises TargetError when no server takes traffic."""
        taking = [server for server in self._servers() if server.takes_traffic and not server.backup]
        total = sum(server.weight for server in taking)
        if not total:
            raise TargetError(f"HAProxy: no server of {self._settings.backend!r} takes traffic")
        return sum(server.weight for server in taking if self._is_slot(server)) / total

    def set_weight(self, share: float) -> None:
        if share <= 0:
            self.rollback()
            return
        slots = self._attach()
        stable = self._stable()
        each_stable, each_slot = weights(share, len(stable), len(slots))
        # The side that gains comes first: at no moment may nobody take traffic.
        self._weigh(dict.fromkeys(slots, each_slot) | dict.fromkeys(stable, each_stable))

    def promote(self) -> None:
        """All new traffic to the canary; the stable servers stay ready, without weight."""
        self.set_weight(1.0)

    def rollback(self) -> None:
        """All new traffic to the stable servers; slots are out of service. Requests under way are answered."""
        stable, slots = self._stable(), [server.name for server in self._servers() if self._is_slot(server)]
        self._weigh(dict.fromkeys(stable, MOST) | dict.fromkeys(slots, 0))
        self._run(*(f"set server {self._settings.backend}/{slot} state maint" for slot in slots))

    def _attach(self) -> list[str]:
        """Gives every canary instance a slot; returns the slots in use."""
        instances = sorted(
            (one for one in self._target.instances(self._rollout.service) if one.release == self._rollout.canary),
            key=lambda one: one.name,
        )
        free = [server.name for server in self._servers() if self._is_slot(server)]
        if not instances:
            raise TargetError(f"no instance of {self._rollout.service} runs release {self._rollout.canary}")
        if len(instances) > len(free):
            raise TargetError(
                f"HAProxy: {len(free)} slots {self._settings.slots!r} for {len(instances)} canary instances"
            )
        used = free[: len(instances)]
        self._run(*(command for slot, one in zip(used, instances, strict=True) for command in self._bind(slot, one)))
        self._run(*(f"set server {self._settings.backend}/{slot} state maint" for slot in free[len(instances) :]))
        return used

    def _bind(self, slot: str, instance: Instance) -> Sequence[str]:
        server = f"{self._settings.backend}/{slot}"
        port = instance.ports.get(self._settings.instance_port)
        if port is None:
            raise TargetError(f"{instance.name} has no port {self._settings.instance_port!r}")
        return (f"set server {server} addr {instance.host} port {port}", f"set server {server} state ready")

    def _stable(self) -> list[str]:
        """The backend's own servers without the backups. Raises TargetError when there is none."""
        found = [server.name for server in self._servers() if not server.backup and not self._is_slot(server)]
        if not found:
            raise TargetError(f"HAProxy: backend {self._settings.backend!r} has no stable server")
        return found

    def _is_slot(self, server: Server) -> bool:
        return fnmatchcase(server.name, self._settings.slots)

    def _weigh(self, wanted: Mapping[str, int]) -> None:
        """Sets the weights, the larger ones first."""
        by_size = sorted(wanted.items(), key=lambda pair: -pair[1])
        self._run(*(f"set server {self._settings.backend}/{name} weight {weight}" for name, weight in by_size))

    def _servers(self) -> list[Server]:
        return parse_stat(self._ask("show stat"), self._settings.backend)

    def _run(self, *commands: str) -> None:
        """Each command must be answered by nothing or by what it changed; anything else is HAProxy's refusal."""
        for command in commands:
            answer = self._ask(command).strip()
            if answer and not _CHANGED.search(answer):
                raise TargetError(f"HAProxy refused `{command}`: {answer.splitlines()[0]}")

    def _ask(self, command: str) -> str:
        unix = isinstance(self._address, str)
        try:
            with socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_STREAM) as connection:
                connection.settimeout(self._settings.timeout)
                connection.connect(self._address)
                connection.sendall(command.encode() + b"\n")
                chunks = []
                while chunk := connection.recv(65536):
                    chunks.append(chunk)
        except OSError as error:
            raise TargetError(f"HAProxy's admin socket {self._address}: {error}") from None
        return b"".join(chunks).decode("utf-8", "replace")


# `set server … addr` answers with what it changed, or that nothing had to be.
_CHANGED = re.compile(r"changed from|no need to change|nothing changed", re.IGNORECASE)


def parse_stat(text: str, backend: str) -> list[Server]:
    """The servers of a backend in HAProxy's CSV statistics. Raises TargetError when the backend is not there."""
    rows = list(csv.DictReader(text.lstrip("# ").splitlines()))
    mine = [row for row in rows if row.get("pxname") == backend]
    if not mine:
        raise TargetError(f"HAProxy has no backend {backend!r}")
    return [
        Server(row["svname"], int(row["weight"] or 0), row["status"], row["bck"] == "1")
        for row in mine
        if row["svname"] not in ("BACKEND", "FRONTEND")
    ]


def weights(share: float, stable: int, canary: int) -> tuple[int, int]:
    """(weight of each stable server, of each canary server), integers 0…100, whose split is nearest to the share.

    Of equally near ones the smallest, since small weights interleave best. 0 and 1 are exact; no other share is
    rounded to them.
    """
    if share <= 0:
        return MOST, 0
    if share >= 1:
        return 0, MOST
    wanted = Fraction(str(share))
    pairs = ((each_stable, each_canary) for each_stable in range(1, MOST + 1) for each_canary in range(1, MOST + 1))

    def distance(pair: tuple[int, int]) -> tuple[float, int]:
        canaries = pair[1] * canary
        return abs(float(Fraction(canaries, canaries + pair[0] * stable) - wanted)), sum(pair)

    return min(pairs, key=distance)
