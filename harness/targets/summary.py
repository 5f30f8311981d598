"""A platform that is up, in one line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PlatformSummary:
    """One line of `harness status`. `supervised` is False when nobody restarts what ends (supervisord is gone, the
    cluster does not answer)."""

    reference: str
    name: str
    release: str
    status: str
    created_wall_ns: int
    instances: int
    not_ready: tuple[str, ...]
    supervised: bool
    edge: str


def all_up() -> list[PlatformSummary]:
    """All platforms of this user, on every kind of target, oldest first."""
    from harness.targets import kubernetes, local

    return sorted([*local.status(), *kubernetes.status()], key=lambda each: each.created_wall_ns)
