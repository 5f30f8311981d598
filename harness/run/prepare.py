"""From a scenario's name to a plan: reads and checks every file, refuses what cannot work, touches nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BadInput, BadInputs
from harness.model.plan import Plan, PlannedFault
from harness.model.platform import Platform
from harness.model.rollout import Rollout
from harness.plan import gaps, plan
from harness.spec.scenario import ScenarioFiles, check_archives, load_scenario
from harness.spec.yaml import Located

if TYPE_CHECKING:
    from harness.model.scenario import ScenarioSpec
    from harness.run.certificate import Admission


@dataclass(frozen=True)
class Choices:
    """What of a scenario was chosen on the command line; empty: as the scenario says."""

    release: str = ""
    seed: int | None = None
    state: str = ""
    profile: str = ""
    canary: str = ""
    gate: bool = False
    yes: bool = False
    certificate: Path | None = None
    certificate_key: Path | None = None


@dataclass(frozen=True)
class Prepared:
    """All that a run needs, checked."""

    files: ScenarioFiles
    platform: Located[Platform]
    slos: Any
    plan: Plan
    spec: ScenarioSpec
    choices: Choices
    definitions: dict[str, str]
    admission: Admission | None = None


def prepare(file: Path, choices: Choices) -> Prepared:
    """Raises BadInput(s) with file and line for every mistake that can be found before a run."""
    from harness.judge.decidable import decidability
    from harness.load.schedule import count
    from harness.run.certificate import definition
    from harness.spec.openslo import load_slos
    from harness.spec.platform import load_platform
    from harness.spec.waivers import load_waivers

    files = load_scenario(file)
    scenario = files.scenario.value
    platform = load_platform(files.platform)
    _check_endpoints(files, platform.value)
    slos = load_slos(list(files.slos))
    _check_experiment_names(files, slos)
    if files.waivers:
        load_waivers(files.waivers, {slo.name for slo in slos})
    spec = scenario.spec
    if choices.gate and spec.rollout is None:
        raise files.scenario.error(
            ("spec",), "has no `rollout`, so there is nothing to gate", "see docs/guides/gate.md"
        )
    if choices.canary and spec.rollout:
        spec = spec.model_copy(update={"rollout": spec.rollout.model_copy(update={"canary": choices.canary})})
    _check_mix(files, spec)
    if spec.rollout:
        _check_rollout(files, spec.rollout)
    seed = spec.seed if choices.seed is None else choices.seed
    known = [release.name for release in platform.value.spec.releases]
    release = choices.release or spec.target.release or (known[0] if known else "")
    for name in [release, spec.upgrade_from, *_releases(spec.rollout)]:
        if name and known and name not in known:
            raise BadInput(f"no release {name!r} in {files.platform.name}", fix=f"one of: {', '.join(known)}")
    faults = _faults(files, platform.value, seed)
    nominal = spec.load.warm_up + spec.steady
    rate = count(spec.load.arrivals, seed, nominal) / nominal
    drawn = plan(scenario.model_copy(update={"spec": spec}), release, seed, faults, rate)
    drawn = drawn.model_copy(update={"objectives": decidability(slos, spec, drawn)})
    _check_claims(drawn)
    tested = spec.rollout.canary if spec.rollout else release
    definitions = definition(platform.value, tested)
    admitted = _admitted(files, choices, tested, definitions)
    return Prepared(files, platform, slos, drawn, spec, choices, definitions, admitted)


def may_act(files: ScenarioFiles, yes: bool) -> None:
    """A cluster that the scenario does not mark as one for tests is acted on only when somebody says so; and none is
    made whose images are not there."""
    check_archives(files)
    on = files.cluster
    if on is None or on.provider != "context" or yes:
        return
    at = ("spec", "target", "kubernetes")
    places: list[tuple[tuple[str, ...], str, bool]] = [(at, on.context, on.test)]
    places += [((*at, "clusters", region), each.context, each.test) for region, each in on.clusters.items()]
    for path, context, test in places:
        if not test:
            raise files.scenario.error(
                (*path, "test"),
                f"context {context} is not marked as a test cluster: the run deploys there, loads it and breaks it",
                "say --yes, or write `test: true` if the cluster is there for that",
            )


def _check_endpoints(files: ScenarioFiles, platform: Platform) -> None:
    """A cluster's endpoints name regions of the platform, and no placeholder but secrets that have a place there."""
    from harness.spec.placeholders import Secret, placeholders

    if files.cluster is None:
        return
    for region in files.cluster.clusters:
        if region not in platform.spec.regions:
            raise files.scenario.error(
                ("spec", "target", "kubernetes", "clusters", region),
                f"no region {region!r}",
                f"regions: {', '.join(platform.spec.regions)}",
            )
    at, known = files.cluster.endpoints, platform.spec.kubernetes.secrets if platform.spec.kubernetes else {}
    places = {each.name: each.instances for each in platform.spec.services}
    for name in at.services:
        service, _, place = name.partition("@")
        if service not in places or (place and place not in places[service]):
            path = ("spec", "target", "kubernetes", "endpoints", "services", name)
            raise files.scenario.error(path, f"no service {name!r} in the platform file", "SERVICE or SERVICE@REGION")
    texts: list[tuple[str, str, str]] = [(key, "", getattr(at, key)) for key in ("edge", "prometheus", "alertmanager")]
    texts += [(key, region, url) for key in ("databases", "regions") for region, url in getattr(at, key).items()]
    for key, region, url in texts:
        path = ("spec", "target", "kubernetes", "endpoints", *((key, region) if region else (key,)))
        if region and region not in platform.spec.regions:
            raise files.scenario.error(path, f"no region {region!r}", f"regions: {', '.join(platform.spec.regions)}")
        try:
            found = placeholders(url)
        except ValueError as error:
            raise files.scenario.error(path, str(error), "write a whole URL") from None
        for each in found:
            if key != "databases" or not isinstance(each, Secret) or each.name not in known:
                raise files.scenario.error(
                    path,
                    "only a database's URL may have placeholders, and only secrets that have a place on the cluster",
                    f"spec.kubernetes.secrets of {files.platform.name}: {', '.join(known) or 'none'}",
                )


def _admitted(files: ScenarioFiles, choices: Choices, release: str, definitions: dict[str, str]) -> Admission | None:
    """The certificate that the release needs, held against its name and definition; what runs is compared later."""
    from harness.run.certificate import admission

    if choices.certificate is None:
        if files.certificate_key:
            raise files.scenario.error(
                ("spec", "certificate_key"), f"release {release} needs a certificate", "name one with --certificate"
            )
        return None
    found = admission(choices.certificate, choices.certificate_key or files.certificate_key)
    found.admit(definitions, release)
    return found


def _check_experiment_names(files: ScenarioFiles, slos: Any) -> None:
    """An objective about an experiment that does not exist would be left out of every run, and nobody would see it."""
    from harness.spec.openslo import experiments_named

    beside = [files.spec_file.resolve().parent, *files.slos]
    folders = {file.parent for file in files.experiments} | {path.parent / "experiments" for path in beside}
    known = {file.stem for folder in folders if folder.is_dir() for file in folder.glob("*.yaml")}
    if not known:  # objectives from elsewhere, and no experiment to compare them with
        return
    mistakes = [
        BadInput(
            f"no experiment {name!r}",
            file=file,
            line=line,
            key="metadata.annotations",
            fix=f"one of: {', '.join(sorted(known)) or 'none is there'}",
        )
        for name, places in experiments_named(slos).items()
        if name not in known
        for file, line in places
    ]
    if mistakes:
        raise BadInputs(mistakes)


def _check_claims(drawn: Plan) -> None:
    """What this run could not say of the platform even if nothing went wrong must not be asked of it."""
    mistakes = []
    for one in drawn.objectives:
        if one.claim == "run" or one.can_pass:
            continue
        file, _, line = one.origin.rpartition(":")
        longer = f"judge at least {math.ceil(one.shortest_s)} s of it, " if one.shortest_s is not None else ""
        more = f"repeat the experiment {one.repeats} times, " if one.repeats is not None else ""
        mistakes.append(
            BadInput(
                f"{one.slo} speaks of the platform, which this run cannot: {one.reason}",
                file=file,
                line=int(line),
                key="metadata.annotations",
                fix=f"{longer}{more}claim the run (harness/claim: run), "
                "or declare a shorter harness/correlation if requests do fail independently",
            )
        )
    if mistakes:
        raise BadInputs(mistakes)


def _check_mix(files: ScenarioFiles, spec: ScenarioSpec) -> None:
    from harness.load.locustfile import journeys

    known = journeys(files.locustfile)
    for name in spec.load.mix:
        if name not in known:
            raise files.scenario.error(
                ("spec", "load", "mix", name),
                f"{files.locustfile.name} has no journey {name!r}",
                f"one of: {', '.join(known)}",
            )


def _check_rollout(files: ScenarioFiles, rollout: Rollout) -> None:
    from harness import actuators

    try:
        actuators.check(rollout)
    except BadInput as mistake:
        path = ("spec", *mistake.key.split(".")) if mistake.key else ("spec", "rollout", "actuator")
        raise files.scenario.error(path, mistake.cause, mistake.fix) from None


def _releases(rollout: Rollout | None) -> list[str]:
    return [rollout.baseline, rollout.canary] if rollout else []


def _faults(files: ScenarioFiles, platform: Platform, seed: int) -> tuple[PlannedFault, ...]:
    from harness.chaos.preview import load_experiment, preview

    spec = files.scenario.value.spec
    place = {id(experiment): index for index, experiment in enumerate(spec.experiments)}
    planned: list[PlannedFault] = []
    mistakes: list[BadInput] = []
    for experiment, repetition, gap in gaps(spec.experiments, seed):
        file = files.experiments[place[id(experiment)]]
        foreseen = preview(file, platform, chosen=dict(experiment.set))
        selection = tuple(name for fault in foreseen for name in fault.selection)
        if len(selection) > experiment.blast_radius and repetition == 1:
            mistakes.append(
                files.scenario.error(
                    ("spec", "experiments", place[id(experiment)], "blast_radius"),
                    f"{file.stem} would touch {len(selection)} ({', '.join(selection)}), "
                    f"more than blast_radius {experiment.blast_radius}",
                    "raise blast_radius if that is meant, or narrow the selection in the experiment",
                )
            )
        planned.append(
            PlannedFault(
                experiment=f"{file.stem}#{repetition}",
                title=load_experiment(file).title,
                file=str(file),
                kinds=tuple(fault.kind for fault in foreseen),
                selection=selection,
                blast_radius=experiment.blast_radius,
                gap_s=round(gap, 3),
                within_s=experiment.within,
                set=experiment.set,
            )
        )
    if mistakes:
        raise BadInputs(mistakes)
    return tuple(planned)
