"""What the faults on a pod's network share: whom it is cut from, and what is measured from its place.

Packets are handed to an agent through a netfilter queue in the pod's own network namespace (works with every network
plug-in, and with every kernel that has nfnetlink_queue). When the agent ends, however it ends, packets pass.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from harness.errors import BadInput, TargetError
from harness.faults import _cluster as on_cluster
from harness.faults import _hands as hands
from harness.kube import pods
from harness.kube.ports import Manifest, Site
from harness.kube.rights import rights
from harness.ports import Observation, Selection, Target

PROGRAMS = ("node", "network")
ECHOES = "let these pods' echoes (ICMP) through, or name by `to` a service that answers them"
RIGHTS = (*hands.RIGHTS, *rights("list", "services"))
PEERS, REFERENCE = "peers", "reference"


class Network(on_cluster.Pods):
    """`to`, `to_region`: only what goes to that service (its pods and its Services' addresses, as they are when the
    fault is made)."""

    to: str | None = None
    to_region: str | None = None


def select(target: Target, parameters: Network) -> Selection:
    """The pods, the addresses they are cut from (none: all), and whom they are measured against."""
    site = on_cluster.check(target, RIGHTS)
    selection = hands.select(target, parameters)
    others = [
        pod
        for each in (target.instances(parameters.to, parameters.to_region) if parameters.to else target.instances())
        if each.name not in selection.names and (pod := site.cluster.read(pods.POD, site.namespace, each.name))
    ]
    reachable = [pods.address(pod) for pod in others if pods.address(pod) and not pod["spec"].get("hostNetwork")]
    if parameters.to and not reachable:
        raise BadInput(f"{parameters.to} has no pod to be cut from", fix="name a service that runs")
    peers = [*reachable, *_virtual(site, others)] if parameters.to else []
    if any(":" in address for address in (*peers, *reachable)):
        raise BadInput("the pods have IPv6 addresses: this fault knows IPv4 only")
    before = {**selection.before, PEERS: ",".join(peers), REFERENCE: (reachable or [""])[0]}
    return Selection(selection.names, before)


def _virtual(site: Site, others: Iterable[Manifest]) -> list[str]:
    """Addresses of the Services that stand before these pods."""
    labels = [pod["metadata"].get("labels") or {} for pod in others]
    return [
        address
        for service in site.cluster.list("v1/Service", site.namespace)
        if (selector := service["spec"].get("selector"))
        and any(selector.items() <= of.items() for of in labels)
        and (address := service["spec"].get("clusterIP", "None")) != "None"
    ]


def prepare(
    target: Target, selection: Selection, object_to: Callable[[hands.Ask, Manifest], str], fix: str = ECHOES
) -> None:
    """Makes the eyes. BadInput when they see already what the fault is to do, or cannot see."""
    hands.prepare(target, selection, PROGRAMS)
    hands.look_before(target, selection, PROGRAMS, _clear(selection, object_to), fix)


def inject(
    target: Target,
    selection: Selection,
    *,
    delay_s: float = 0.0,
    jitter_s: float = 0.0,
    loss: float = 0.0,
    dns: bool = False,
    both: bool = False,
) -> None:
    def argv(pod: Manifest, seconds: float) -> list[str]:
        spec = {
            "id": selection.before[on_cluster.ID],
            "pod": pods.uid(pod),
            "delay_ms": delay_s * 1e3,
            "jitter_ms": jitter_s * 1e3,
            "loss": loss,
            "peers": [address for address in selection.before[PEERS].split(",") if address],
            "dns": dns,
            "both": both,
        }
        return ["disturb", str(seconds), json.dumps(spec)]

    hands.inject(target, selection, PROGRAMS, argv)


def later(target: Target, selection: Selection) -> Selection:
    """With somebody to measure against who is there now: pods are replaced, and nobody answers at an old address."""
    kept, peers = selection.before[REFERENCE], selection.before[PEERS].split(",")
    there = [each.host for each in target.instances() if each.host and each.name not in selection.names]
    if not kept or not there:
        return selection
    reference = next((address for address in (kept, *peers) if address in there), there[0])
    return replace(selection, before={**selection.before, REFERENCE: reference})


class Echoes(NamedTuple):
    """Share of echoes lost; median round trip in ms of those that came back, now and before the fault."""

    lost: float
    rtt_ms: float | None
    before_ms: float | None


def measured(ask: hands.Ask, pod: Manifest, selection: Selection, keep: bool = False) -> Echoes:
    """Between the pod and whom it is measured against. `keep`: what is seen now is how it was before."""
    address = selection.before[REFERENCE] or ask("gateway", pods.uid(pod))["address"]
    if not address:
        raise TargetError("there is nobody to measure against")
    answer = ask("ping", pods.uid(pod), address, *(["keep"] if keep else []))
    return Echoes((answer["sent"] - answer["received"]) / answer["sent"], answer["rtt_ms"], answer["before_ms"])


def landed(
    target: Target, selection: Selection, object_to: Callable[[hands.Ask, Manifest], str], seen: str
) -> Observation:
    return hands.landed(target, selection, PROGRAMS, object_to, seen)


def gone(target: Target, selection: Selection, object_to: Callable[[hands.Ask, Manifest], str]) -> Observation:
    """The measure is good again, and no rule is left in the pod's namespace (one without effect is removed).

    A fault that was perhaps never made is gone with its agents, which alone keep packets: it may be that it was refused
    because the measure was bad before it.
    """
    if not selection.made:
        seen = "no agent keeps packets; nobody wrote down that one did"
        return hands.gone(target, selection, PROGRAMS, _clear(selection, lambda *_: ""), seen)
    seen = "packets pass as before, and no rule is left"
    return hands.gone(target, selection, PROGRAMS, _clear(selection, object_to), seen)


def _clear(
    selection: Selection, object_to: Callable[[hands.Ask, Manifest], str]
) -> Callable[[hands.Ask, Manifest], str]:
    def still(ask: hands.Ask, pod: Manifest) -> str:
        if left := ask("swept", pods.uid(pod), selection.before[on_cluster.ID])["chains"]:
            return f"{left} chains of rules were still there"
        return object_to(ask, pod)

    return still


def lossless(selection: Selection) -> Callable[[hands.Ask, Manifest], str]:
    """Objects to any echo that is lost."""

    def object_to(ask: hands.Ask, pod: Manifest) -> str:
        lost = measured(ask, pod, selection).lost
        return f"{lost:.0%} of the echoes are lost" if lost > 0 else ""

    return object_to
