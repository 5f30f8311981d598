"""Real runs on local processes: the harness as a child, as a user calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
Scenario = dict[str, Any]


@dataclass
class Run:
    """One call of the harness."""

    process: subprocess.Popen[str]
    reports: Path
    output: str = ""
    errors: str = ""
    code: int | None = None

    @property
    def folder(self) -> Path:
        return next(iter(sorted(self.reports.glob("*/journal.jsonl")))).parent

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in (self.folder / "journal.jsonl").read_text().splitlines() if line]
        return [line for line in lines if not kind or line["event"] == kind]

    def judgement(self) -> dict[str, Any]:
        return json.loads((self.folder / "judgement.json").read_text())

    def wait_for(self, event: str, within: float = 120, **fields: object) -> dict[str, Any]:
        """The first event of this kind with these fields, as soon as it stands in the journal."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            if list(self.reports.glob("*/journal.jsonl")):
                for line in self.events(event):
                    if all(line[name] == value for name, value in fields.items()):
                        return line
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"no {event} {fields}; the run said: {self.finish(1).errors[-3000:]}")

    def finish(self, within: float = 300) -> Run:
        if self.code is None:
            try:
                self.output, self.errors = self.process.communicate(timeout=within)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGINT)
                self.output, self.errors = self.process.communicate(timeout=60)
            self.code = self.process.returncode
        return self

    def verdict(self) -> str:
        self.finish()
        assert (self.folder / "judgement.json").exists(), self.errors[-3000:]
        return str(self.judgement()["verdict"])

    def reasons(self) -> dict[str, str]:
        """SLO name → verdict, reason and notes, of what did not pass."""
        rows = self.judgement()["objectives"]
        return {
            row["slo"]: " ".join([f"{row['verdict']}:", row["reason"], *row["notes"]])
            for row in rows
            if row["verdict"] != "PASS"
        }

    def left_behind(self) -> list[str]:
        """Processes marked with this run or its platform; must be empty when the run is over."""
        marks = [f"HARNESS_RUN={self.folder.resolve()}".encode()]
        for event in self.events("recovered"):
            marks += [Path(name.rpartition(":")[2]).name.encode() for name in event["undone"] if "platform" in name]
        found = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                content = environ.read_bytes()
            except OSError:
                continue
            if any(mark in content for mark in marks):
                found.append((environ.parent / "cmdline").read_text().replace("\0", " "))
        return found


@dataclass
class Harness:
    """Calls the harness with a reports folder and a state folder of its own."""

    tmp: Path
    runs: list[Run] = field(default_factory=list)

    def __call__(self, *arguments: str, **environment: str) -> Run:
        reports = self.tmp / f"reports-{len(self.runs)}"
        takes_reports = arguments[0] in ("run", "certify", "gate")
        command = [sys.executable, "-m", "harness", *arguments, *(["--reports", str(reports)] if takes_reports else [])]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        run = Run(process, reports)
        self.runs.append(run)
        return run

    def scenario(self, change: Callable[[Scenario], None] = lambda spec: None, name: str = "short") -> str:
        """The file of a scenario of about half a minute; `change` edits its spec."""
        spec: Scenario = {
            "target": {"kind": "local", "platform": str(ROOT / "deploy/platform.yaml"), "release": "1.0.0"},
            "seed": 1,
            "load": {
                "locustfile": str(ROOT / "loadtests/sophia.py"),
                "arrivals": {"kind": "poisson", "rate": 40},
                "mix": {"chat": 40, "memory-write": 15, "memory-read": 20, "search": 25},
                "warm_up": "3s",
                "timeout": "5s",
                "max_in_flight": 500,
                "drain": "6s",
            },
            "beacon": {"path": "/api/ping", "every": "20ms", "timeout": "2s"},
            # CI shares its two cores with whatever else runs there: what is tested here is not the machine.
            "validity": {"late_p99": "200ms", "late_seconds": 0.2, "dropped": 0, "cpu": 0.95},
            "steady": "15s",
            "read_back": {"path": "/api/memory", "parameter": "keys", "batch": 200, "within": "15s"},
            "quiet": "2s",
            "sustained": "2s",
            "slos": [str(ROOT / "slos")],
        }
        change(spec)
        document = {"apiVersion": "harness/v1", "kind": "Scenario", "metadata": {"name": name}, "spec": spec}
        file = self.tmp / f"{name}.yaml"
        file.write_text(json.dumps(document))  # JSON is YAML
        return str(file)
