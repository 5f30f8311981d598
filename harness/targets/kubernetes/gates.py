"""A gate or check looked at once, from outside of the cluster: pods through the API server, the edge as users do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import SplitResult

from harness.model.platform import Gate, HttpCheck
from harness.ports import Instance
from harness.targets.kubernetes import pods
from harness.targets.kubernetes.api import ApiError, Cluster
from harness.targets.kubernetes.forward import AHEAD, forwarded
from harness.targets.kubernetes.state import ClusterFolder, ClusterState
from harness.targets.probe import Answer, Look, Send, command_look, http_look, send_direct
from harness.targets.render import own_environment


@dataclass(frozen=True)
class Seen:
    """`copy`: the workload that it is of, when that stands beside what serves."""

    instance: Instance
    ready: bool
    copy: str


@dataclass(frozen=True)
class Place:
    """Where some of the instances are: those whose `state` is `root`."""

    cluster: Cluster
    state: ClusterState
    root: Path

    def instances(self) -> list[Seen]:
        """Those that are there now."""
        seen = {pod["metadata"]["name"]: pod for pod in pods.of_run(self.cluster, self.state)}
        return [
            Seen(each, pods.is_ready(seen[each.name]), seen[each.name]["metadata"]["labels"].get(pods.TRACK, ""))
            for each in pods.instances(self.state, list(seen.values()), self.root)
        ]


@dataclass(frozen=True)
class Gates:
    """Looks at gates of one platform; what runs is asked anew each time. `folder` and `state` are the whole's.

    `copies`: workloads beside what serves. Who has a copy is asked there, and not where it serves still.
    """

    places: Sequence[Place]
    folder: ClusterFolder
    state: ClusterState
    copies: frozenset[str] = frozenset()

    def serving(self) -> list[Instance]:
        return [each.instance for place in self.places for each in place.instances()]

    def look(self, gate: Gate) -> Look:
        """Whether a gate holds now. An HTTP gate of a service must hold for each of its pods; one without a service
        goes to the edge. Never raises for what the other side does."""
        try:
            found = [each for place in self.places for each in place.instances()]
        except ApiError as error:
            return Look(False, str(error))
        serving = [each.instance for each in found]
        found.sort(key=lambda each: (each.copy not in self.copies, not each.ready))
        first_ready = [each.instance for each in found]
        fill = pods.Filling(self.state, first_ready, Path(self.state.platform_file).parent, self.folder.root)
        try:
            if gate.command:
                return self._command(gate, fill)
            assert gate.http is not None
            if gate.http.service:
                asked = [each for each in found if each.instance.service == gate.http.service]
                new = [each for each in asked if each.copy in self.copies]
                return self._each([each.instance for each in new or asked], gate.http, fill)
            return http_look(gate.http, self.state.on.endpoints.edge, fill, self._send(gate.http, serving))
        except LookupError as error:
            return Look(False, str(error))

    def _at(self, instance: Instance) -> tuple[Cluster, str]:
        """(cluster, namespace) of an instance."""
        place = next(each for each in self.places if each.root == instance.state)
        return place.cluster, place.state.on.namespace

    def healthy(self, instance: Instance, check: HttpCheck) -> Look:
        """An instance's own health, asked through the API server."""
        fill = pods.Filling(
            self.state, [instance], Path(self.state.platform_file).parent, self.folder.root, instance=instance
        )
        return self._ask(instance, check, fill)

    def _each(self, chosen: Sequence[Instance], check: HttpCheck, fill: pods.Filling) -> Look:
        looked = []
        for each in chosen:
            look = self._ask(each, check, replace(fill, instance=each))
            looked.append(Look(look.ok, f"{each.name}: {look.evidence}"))
        if not looked:
            return Look(False, f"service {check.service!r} has no pod to ask")
        return next((look for look in looked if not look.ok), looked[-1])

    def _ask(self, each: Instance, check: HttpCheck, fill: pods.Filling) -> Look:
        url = f"http://{each.name}:{each.ports[check.port]}"
        return http_look(check, url, fill, self._send(check, [*fill.ready, each]))

    def _send(self, check: HttpCheck, known: Sequence[Instance]) -> Send:
        cors = any(name.lower().startswith("access-control-") for name in check.expect_headers)
        way = pods.tunnelled if cors else pods.through
        at = {each.name: self._at(each) for each in known}

        def send(method: str, url: SplitResult, headers: Mapping[str, str], body: str | None, timeout: float) -> Answer:
            found = at.get(url.hostname or "")
            return (way(*found) if found else send_direct)(method, url, headers, body, timeout)

        return send

    def _command(self, gate: Gate, fill: pods.Filling) -> Look:
        """Runs a program here. What it is told of is where the scenario says (`endpoints.services`), else a pod that is
        forwarded for as long as it runs."""
        assert gate.command is not None
        with ExitStack() as stack:
            made: dict[tuple[str, int], str] = {}

            def resolve(each: Instance, port: int) -> str:
                direct = self.state.on.endpoints.services
                if told := direct.get(f"{each.service}@{each.region}") or direct.get(each.service):
                    return told
                if (each.name, port) not in made:
                    made[each.name, port] = stack.enter_context(forwarded(*self._at(each), each.name, port, AHEAD))
                return made[each.name, port]

            argv = [replace(fill, resolve=resolve)(word) for word in gate.command.argv]
            return command_look(argv, own_environment(), self.folder.root, gate.command.timeout)
