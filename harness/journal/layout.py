"""Where everything lies in a run's folder, reports/<run-id>/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """Paths only; nothing is read or written here."""

    root: Path

    @property
    def run_id(self) -> str:
        return self.root.name

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def inputs(self) -> Path:
        return self.root / "inputs"

    @property
    def evidence(self) -> Path:
        return self.root / "evidence"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def work(self) -> Path:
        """Raw streams, undo tokens and locks while the run goes on; removed when the run is sealed."""
        return self.root / "work"

    @property
    def undo(self) -> Path:
        return self.work / "undo"

    @property
    def kept(self) -> Path:
        """What a cold process must know of the platform, once a fault was made that outlives it."""
        return self.work / "platform"

    @property
    def judgement(self) -> Path:
        return self.root / "judgement.json"

    @property
    def html(self) -> Path:
        return self.root / "report.html"

    @property
    def junit(self) -> Path:
        return self.root / "junit.xml"

    @property
    def summary(self) -> Path:
        return self.root / "summary.md"

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    def table(self, name: str) -> Path:
        """evidence/<name>.parquet"""
        return self.evidence / f"{name}.parquet"
