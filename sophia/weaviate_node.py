"""Runs one Weaviate and, as soon as it is ready, loads the corpus that the platform is deployed with.

Environment: PORT, GRPC_PORT, GOSSIP_PORT, DATA_PORT, RAFT_PORT, RAFT_RPC_PORT, METRICS_PORT, NODE_NAME, BACKUPS (folder
shared by all regions), SEED (1: load the corpus). State is kept in the working directory.
"""

from __future__ import annotations

import sys
from pathlib import Path
from signal import SIGTERM

from sophia import child, programs, settings
from sophia.weaviate_corpus import LOOK_EVERY_S, Loader


def environment(state: Path) -> dict[str, str]:
    """Weaviate's own settings."""
    backups = Path(settings.text("BACKUPS", str(state / "backups")))
    backups.mkdir(parents=True, exist_ok=True)
    return {
        "PERSISTENCE_DATA_PATH": str(state / "data"),
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
        "DEFAULT_VECTORIZER_MODULE": "none",
        "ENABLE_MODULES": "backup-filesystem",
        "BACKUP_FILESYSTEM_PATH": str(backups),
        "CLUSTER_HOSTNAME": settings.text("NODE_NAME", "node1"),
        "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
        "CLUSTER_GOSSIP_BIND_PORT": settings.text("GOSSIP_PORT"),
        "CLUSTER_DATA_BIND_PORT": settings.text("DATA_PORT"),
        "RAFT_PORT": settings.text("RAFT_PORT"),
        "RAFT_INTERNAL_RPC_PORT": settings.text("RAFT_RPC_PORT"),
        "GRPC_PORT": settings.text("GRPC_PORT"),
        "PROMETHEUS_MONITORING_ENABLED": "true",
        "PROMETHEUS_MONITORING_GROUP": "true",
        "PROMETHEUS_MONITORING_PORT": settings.text("METRICS_PORT"),
        "DISABLE_TELEMETRY": "true",
        "GO_PROFILING_DISABLE": "true",
        "LOG_LEVEL": "warning",
    }


def main() -> int:
    """Until Weaviate ends or the launcher is asked to."""
    stopping = child.Stopping()
    port = settings.integer("PORT")
    program = programs.find("weaviate-server", "weaviate")
    weaviate = child.start(
        [program, "--host", settings.host(), "--port", str(port), "--scheme", "http"],
        environment=environment(Path.cwd()),
    )
    loader = Loader(f"http://127.0.0.1:{port}")
    seed = settings.text("SEED", "1") == "1"
    while weaviate.poll() is None and not stopping:
        if seed and not loader.loaded:
            loader.look()
        stopping.wait(LOOK_EVERY_S)
    return 0 if stopping and child.stop(weaviate, SIGTERM, 8.0) is not None else child.exit_code(weaviate.wait())


if __name__ == "__main__":
    sys.exit(main())
