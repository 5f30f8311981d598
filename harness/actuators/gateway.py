"""Gateway API: weights of an HTTPRoute's backends, whatever controller carries them out.

Two Services stand behind the route: one selects the stable pods alone, one the canary's. The actuator writes the two
weights and nothing else. What the route says is a setting; whether the share arrived, only the responses tell. Where
nobody sees responses, a controller's word stands for them: the generation of the route that it has taken up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from pydantic import Field

from harness.errors import BadInput, TargetError
from harness.kube import pods
from harness.kube.ports import Kubernetes, Manifest, Site, status_of
from harness.kube.rights import rights
from harness.model.base import Duration, Frozen
from harness.model.rollout import Rollout
from harness.ports import Target

GROUP = "gateway.networking.k8s.io"
ROUTE, SERVICE = f"{GROUP}/v1/HTTPRoute", "v1/Service"
RIGHTS = (*rights("get patch", "httproutes", GROUP), *rights("get", "services"), *rights("list", "pods"))
FINEST = 1000  # weights are at most so large: a share is set to the nearest thousandth
TRIES = 5
LOOK_EVERY_S = 0.2
CONFLICT = 409


class Settings(Frozen):
    """Which route, and which of its backends is whose."""

    route: str = Field(description="name of the HTTPRoute, in the platform's namespace")
    stable: str = Field(description="the Service of the stable release; its selector matches no canary")
    canary: str = Field(description="the Service of the canary; its selector matches nothing else")
    taken_within: Duration = Field(
        default=15.0, gt=0, description="on the way back: time that controllers have to take the weights up"
    )
    settle: Duration = Field(
        default=3.0,
        ge=0,
        description="time from a controller's word until its proxies do so; then the canary's pods go",
    )


def refuse(rollout: Rollout, settings: Settings) -> None:
    """Raises BadInput for shares that weights cannot make."""
    if settings.stable == settings.canary:
        raise BadInput("stable and canary are the same Service", key="rollout.settings.canary")
    for number, step in enumerate(rollout.steps):
        if (Fraction(str(step.share)) * FINEST).denominator != 1:
            raise BadInput(
                f"{step.share:g} is finer than a thousandth", key=f"rollout.steps.{number}.share", fix="round it"
            )


def connect(target: Target, rollout: Rollout, settings: Settings) -> Gateway:
    """Raises TargetError for a target that is on no cluster."""
    if not isinstance(target, Kubernetes):
        raise TargetError(f"{type(target).__name__} is not on a cluster")
    return Gateway(target, target.site(), rollout, settings)


class Gateway:
    """The Actuator. Nothing is remembered between calls: everything is read from the cluster."""

    def __init__(self, target: Target, site: Site, rollout: Rollout, settings: Settings) -> None:
        self._target, self._site, self._rollout, self._settings = target, site, rollout, settings

    def observe(self) -> float:
        """The canary's part of the weights. Raises TargetError when rules differ, or nobody takes traffic."""
        shares = {_share(pair, self._settings) for pair in self._pairs(self._route())}
        if len(shares) != 1:
            told = ", ".join(f"{share:.1%}" for share in sorted(shares))
            raise TargetError(f"{self._name}: its rules do not agree on the canary's share ({told})")
        return shares.pop()

    def set_weight(self, share: float) -> None:
        if share <= 0:
            self.rollback()
            return
        self._check_services()
        self._check_accepted(self._route())
        part = Fraction(str(min(share, 1.0))).limit_denominator(FINEST)
        self._weigh(part.denominator - part.numerator, part.numerator)

    def promote(self) -> None:
        self.set_weight(1.0)

    def rollback(self) -> None:
        self._weigh(1, 0)

    def confirmed(self) -> str:
        """As harness.ports.Settles has it: by the route's status, in which each parent's controller says what it has
        accepted."""
        route = self._route()
        generation = route["metadata"]["generation"]
        accepted = [_accepted(parent) for parent in (route.get("status") or {}).get("parents") or []]
        seen = [each.get("observedGeneration") for each in accepted if each.get("status") == "True"]
        if not accepted or len(seen) < len(accepted) or any(each and each != generation for each in seen):
            told = ", ".join(f"generation {each or 'unknown'}" for each in seen) or "nothing"
            raise TargetError(
                f"{self._name}: no controller confirms its weights (generation {generation}; accepted: {told}); the "
                f"canary's instances stay\n  fix: bring its Gateway controller back, then `harness recover`"
            )
        if all(seen):
            return f"{self._name}: its controller has taken generation {generation} up"
        return f"{self._name}: its controller tells no generation; {self._settings.settle:g} s were waited instead"

    def settle(self) -> None:
        deadline = time.monotonic() + self._settings.taken_within
        while True:
            try:
                self.confirmed()
                break
            except TargetError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(LOOK_EVERY_S)
        time.sleep(self._settings.settle)

    @property
    def _name(self) -> str:
        return f"HTTPRoute {self._settings.route}"

    def _weigh(self, stable: int, canary: int) -> None:
        """Only the route as it was read is changed: what somebody else writes meanwhile is not lost."""
        wanted = {self._settings.stable: stable, self._settings.canary: canary}
        for attempt in range(1, TRIES + 1):
            route = self._route()
            for pair in self._pairs(route):
                for name, weight in wanted.items():
                    pair[name]["weight"] = weight
            version = {"resourceVersion": route["metadata"]["resourceVersion"]}
            change = {"metadata": version, "spec": {"rules": route["spec"]["rules"]}}
            try:
                self._site.cluster.patch(ROUTE, self._site.namespace, self._settings.route, change)
                return
            except TargetError as error:
                if status_of(error) != CONFLICT or attempt == TRIES:
                    raise

    def _route(self) -> Manifest:
        found = self._site.cluster.read(ROUTE, self._site.namespace, self._settings.route)
        if found is None:
            raise TargetError(f"there is no {self._name} in namespace {self._site.namespace}")
        return found

    def _pairs(self, route: Manifest) -> Iterator[Mapping[str, dict[str, Any]]]:
        """Of each rule that names either Service, both backends by name. Raises TargetError when there is no such rule,
        or one names only one of them."""
        mine = {self._settings.stable, self._settings.canary}
        pairs = []
        for rule in route["spec"].get("rules") or []:
            pair = {each["name"]: each for each in rule.get("backendRefs") or [] if each["name"] in mine}
            if pair and set(pair) != mine:
                raise TargetError(f"{self._name}: a rule has {', '.join(pair)} and not {', '.join(mine - set(pair))}")
            pairs += [pair] if pair else []
        if not pairs:
            raise TargetError(f"{self._name}: no rule has the backends {' and '.join(sorted(mine))}")
        return iter(pairs)

    def _check_services(self) -> None:
        """Each release is behind its own Service alone; there is a canary that is ready."""
        names = {each.name: each.release for each in self._target.instances(self._rollout.service)}
        found = pods.by_name(self._site, names)
        canaries = [name for name, release in names.items() if release == self._rollout.canary and name in found]
        if not canaries:
            raise TargetError(f"no instance of {self._rollout.service} runs release {self._rollout.canary}")
        behind = {which: self._selected(getattr(self._settings, which), found) for which in ("stable", "canary")}
        if wrong := behind["stable"].intersection(canaries):
            raise TargetError(
                f"Service {self._settings.stable} selects the canary {', '.join(sorted(wrong))}\n"
                f"  fix: give its selector the release's label, with {self._rollout.baseline}"
            )
        if wrong := behind["canary"].difference(canaries):
            raise TargetError(f"Service {self._settings.canary} selects {', '.join(sorted(wrong))}, no canary")
        if not any(pods.is_ready(found[name]) for name in behind["canary"]):
            raise TargetError(f"Service {self._settings.canary} selects no canary that is ready")

    def _selected(self, service: str, found: Mapping[str, Manifest]) -> set[str]:
        there = self._site.cluster.read(SERVICE, self._site.namespace, service)
        selector = (there or {"spec": {}})["spec"].get("selector") or {}
        if not selector:
            raise TargetError(f"there is no Service {service} with a selector in namespace {self._site.namespace}")
        return {
            name for name, pod in found.items() if selector.items() <= (pod["metadata"].get("labels") or {}).items()
        }

    def _check_accepted(self, route: Manifest) -> None:
        """A controller has taken the route up, and found its backends."""
        parents = (route.get("status") or {}).get("parents") or []
        said = {each["type"]: each for parent in parents for each in parent.get("conditions") or []}
        for condition in ("Accepted", "ResolvedRefs"):
            if (told := said.get(condition, {})).get("status") != "True":
                why = told.get("message") or "no Gateway controller says so"
                raise TargetError(f"{self._name} is not {condition}: {why}")


def _accepted(parent: Manifest) -> Mapping[str, Any]:
    return next((each for each in parent.get("conditions") or [] if each["type"] == "Accepted"), {})


def _share(pair: Mapping[str, Mapping[str, Any]], settings: Settings) -> float:
    """A backend without a weight has 1."""
    stable, canary = (int(pair[name].get("weight", 1)) for name in (settings.stable, settings.canary))
    if stable + canary == 0:
        raise TargetError(f"HTTPRoute {settings.route}: no backend takes traffic")
    return canary / (stable + canary)
