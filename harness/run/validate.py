"""Checking files of every kind, and telling what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import BadInput, BadInputs, NotExecuted

FOLDERS = ("scenarios", "deploy", "experiments", "slos")


@dataclass(frozen=True)
class Result:
    """What was found in one file."""

    file: Path
    kind: str
    mistakes: tuple[BadInput, ...] = ()
    explanation: tuple[str, ...] = ()
    not_executed: tuple[NotExecuted, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "file": str(self.file),
            "kind": self.kind,
            "ok": not self.mistakes,
            "mistakes": [
                {"file": str(m.file or self.file), "line": m.line, "key": m.key, "cause": m.cause, "fix": m.fix}
                for m in self.mistakes
            ],
            "explanation": list(self.explanation),
            "not_executed": [str(one) for one in self.not_executed],
        }


def validate(paths: Sequence[Path]) -> list[Result]:
    """Checks every file; folders are searched for YAML. Nothing given: the folders of this project."""
    chosen = list(paths) or [Path(folder) for folder in FOLDERS if Path(folder).is_dir()]
    if not chosen:
        raise BadInput("nothing to check here", fix=f"name files, or go to a folder with {', '.join(FOLDERS)}")
    files = [file for path in chosen for file in _files(path)]
    return [_check(file) for file in files]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml") and _is_ours(file))
    return [path]


def _is_ours(file: Path) -> bool:
    """Below deploy/ only platforms are ours: no rules, no manifests, no charts (their templates are not YAML)."""
    from harness.spec.yaml import read_documents

    if "deploy" not in file.parts:
        return True
    if any((folder / "Chart.yaml").exists() for folder in file.parents):
        return False
    try:
        data = read_documents(file)[0].data
    except BadInput:
        return True
    return isinstance(data, dict) and data.get("kind") == "Platform"


def _check(file: Path) -> Result:
    from harness.spec.yaml import read_documents

    kind = "?"
    try:
        first = read_documents(file)[0]
        kind = _kind(first.data)
        return Result(file, kind, explanation=_explain(file, kind))
    except BadInput as refused:
        found = refused.mistakes if isinstance(refused, BadInputs) else [refused]
        wrong = tuple(one for one in found if not isinstance(one, NotExecuted))
        return Result(file, kind, wrong, (), tuple(one for one in found if isinstance(one, NotExecuted)))


def _kind(data: Any) -> str:
    if isinstance(data, list) and data:  # OpenSLO documents may stand in a list
        return _kind(data[0])
    if isinstance(data, dict):
        if "method" in data or "steady-state-hypothesis" in data:
            return "Experiment"
        return str(data.get("kind", "?"))
    return "?"


def _explain(file: Path, kind: str) -> tuple[str, ...]:
    if kind == "Scenario":
        from harness.run.prepare import Choices, prepare

        plan = prepare(file, Choices()).plan
        return (f"{len(plan.steps)} steps, at most {plan.load_s:.0f} s of load, {len(plan.faults)} faults",)
    if kind == "Platform":
        from harness.spec.platform import load_platform

        spec = load_platform(file).value.spec
        return (f"{len(spec.services)} services in {len(spec.phases)} phases",)
    if kind == "Waivers":
        from harness.spec.waivers import load_waivers

        return tuple(f"{one.objective}: {one.who} until {one.until}: {one.why}" for one in load_waivers(file))
    if kind == "Experiment":
        from harness.chaos.preview import load_experiment

        load_experiment(file)
        return ()
    from harness.spec.openslo import load_slos
    from harness.spec.words import explain

    if kind not in OPENSLO_KINDS:
        raise BadInput(
            f"unknown kind {kind!r}",
            file=file,
            line=1,
            fix="a Scenario, a Platform, Waivers, an experiment or an OpenSLO document",
        )
    return tuple(line for slo in load_slos([file]) for line in explain(slo).splitlines())


OPENSLO_KINDS = ("SLO", "SLI", "DataSource", "Service", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")
