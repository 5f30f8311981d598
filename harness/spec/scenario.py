"""A scenario with everything it names: platform, experiments, objectives. All mistakes are found here, before a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BadInput
from harness.model.on_cluster import OnCluster, RegionCluster
from harness.model.scenario import Scenario
from harness.spec.yaml import Located, load_document

There = Callable[[tuple[str | int, ...], str], Path]


@dataclass(frozen=True)
class ScenarioFiles:
    """A checked scenario and the files it names, as absolute paths."""

    scenario: Located[Scenario]
    platform: Path
    locustfile: Path
    experiments: tuple[Path, ...]  # as in spec.experiments
    slos: tuple[Path, ...]
    waivers: Path | None = None
    certificate_key: Path | None = None
    cluster: OnCluster | None = None  # its paths are absolute

    @property
    def spec_file(self) -> Path:
        return self.scenario.file


def load_scenario(file: Path) -> ScenarioFiles:
    """Reads a scenario; the paths in it count from its own folder. Raises BadInput when one of them is not there."""
    scenario = load_document(file, Scenario)
    spec = scenario.value.spec
    base = file.resolve().parent

    def there(path: tuple[str | int, ...], name: str) -> Path:
        found = (base / name).resolve()
        if not found.exists():
            raise scenario.error(path, f"{name} does not exist", f"paths count from {file.parent or '.'}")
        return found

    if spec.rollout is None and not spec.experiments and spec.steady <= 0:
        raise scenario.error(("spec",), "does nothing", "give it a steady time, experiments or a rollout")
    total = sum(spec.load.mix.values())
    for name, weight in spec.load.mix.items():
        if weight < 0 or total <= 0:
            raise scenario.error(("spec", "load", "mix", name), "weights must be positive", "remove the journey")
    on = spec.target.kubernetes
    if on is not None and on.provider != "context" and (on.context or on.kubeconfig):
        path = ("spec", "target", "kubernetes", "context" if on.context else "kubeconfig")
        raise scenario.error(path, f"{on.provider} makes the cluster, and its kubeconfig", "leave it out")
    files = ScenarioFiles(
        scenario,
        platform=there(("spec", "target", "platform"), spec.target.platform),
        locustfile=there(("spec", "load", "locustfile"), spec.load.locustfile),
        experiments=tuple(
            there(("spec", "experiments", i, "file"), experiment.file) for i, experiment in enumerate(spec.experiments)
        ),
        slos=tuple(there(("spec", "slos", i), slo) for i, slo in enumerate(spec.slos)),
        waivers=there(("spec", "waivers"), spec.waivers) if spec.waivers else None,
        certificate_key=there(("spec", "certificate_key"), spec.certificate_key) if spec.certificate_key else None,
        cluster=_cluster(spec.target.kubernetes, base, there),
    )
    names = [path.stem for path in files.experiments]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise scenario.error(
                ("spec", "experiments", index, "file"), f"{name} stands here twice", "use `repeat` to run it more often"
            )
    return files


def check_archives(files: ScenarioFiles) -> None:
    """Images are built for a run, not for looking at its file. Raises BadInput for an archive that is not there."""
    on = files.cluster
    for name, section in (("kind", on and on.kind), ("k3s", on and on.k3s)):
        for index, archive in enumerate(section.archives if section else ()):
            if not Path(archive).exists():
                path = ("spec", "target", "kubernetes", name, "archives", index)
                raise files.scenario.error(path, f"{archive} does not exist", "build or save the images first")


def _cluster(given: OnCluster | None, base: Path, there: There) -> OnCluster | None:
    if given is None:
        return None
    at = ("spec", "target", "kubernetes")
    changes = _own(given, at, there)
    changes["clusters"] = {
        region: each.model_copy(update=_own(each, (*at, "clusters", region), there))
        for region, each in given.clusters.items()
    }
    if (kind := given.kind) is not None:
        config = str(there((*at, "kind", "config"), kind.config)) if kind.config else ""
        archives = tuple(str(base / name) for name in kind.archives)
        addons = tuple(str(there((*at, "kind", "addons", i), name)) for i, name in enumerate(kind.addons))
        changes["kind"] = kind.model_copy(update={"config": config, "archives": archives, "addons": addons})
    if (k3s := given.k3s) is not None:
        changes["k3s"] = k3s.model_copy(
            update={
                "binary": str(there((*at, "k3s", "binary"), k3s.binary)),
                "installer": str(there((*at, "k3s", "installer"), k3s.installer)),
                "archives": tuple(str(base / name) for name in k3s.archives),
            }
        )
    return given.model_copy(update=changes)


def _own(given: OnCluster | RegionCluster, at: tuple[str, ...], there: There) -> dict[str, object]:
    """Paths that each cluster has of its own, absolute."""
    named = {key: getattr(given, key) for key in ("kubeconfig", "kustomize", "manifests") if getattr(given, key)}
    changes: dict[str, object] = {key: str(there((*at, key), name)) for key, name in named.items()}
    if (helm := given.helm) is not None:
        chart = str(there((*at, "helm", "chart"), helm.chart))
        values = tuple(str(there((*at, "helm", "values", i), name)) for i, name in enumerate(helm.values))
        changes["helm"] = helm.model_copy(update={"chart": chart, "values": values})
    if (nodes := given.nodes) is not None:
        ways = {}
        for way, words in (("off", nodes.off), ("on", nodes.on), ("state", nodes.state)):
            if not words:
                continue
            first = str(there((*at, "nodes", way, 0), words[0])) if "/" in words[0] else words[0]
            ways[way] = (first, *words[1:])
        changes["nodes"] = nodes.model_copy(update=ways)
    return changes


def find_scenario(name: str, profile: str = "") -> Path:
    """The file of a scenario given as path or name; BadInput with the known names when there is none."""
    candidates = [Path(name), Path("scenarios") / f"{name}.yaml", Path("scenarios") / f"{name}-{profile}.yaml"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(path.stem for path in Path("scenarios").glob("*.yaml"))) or "none here"
    raise BadInput(f"no scenario {name!r}", fix=f"give the path of a file, or one of: {known}")
