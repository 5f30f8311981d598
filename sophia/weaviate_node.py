"""Runs one Weaviate and, as soon as it is ready, loads the corpus that the platform is deployed with.

Environment: PORT, GRPC_PORT, GOSSIP_PORT, DATA_PORT, RAFT_PORT, RAFT_RPC_PORT, METRICS_PORT, NODE_NAME, BACKUPS (folder
shared by all regions), SEED (1: load the corpus). State is kept in the working directory.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from signal import SIGTERM
from typing import Any

from sophia import child, corpus, programs, settings

SEED_WITHIN_S = 30.0


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


def call(base: str, method: str, path: str, body: object = None) -> Any:
    """One JSON request to Weaviate; raises urllib.error.URLError."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, {"content-type": "application/json"}, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own loopback address
        raw = answer.read()
    return json.loads(raw) if raw else None


def ready(base: str) -> bool:
    """Whether Weaviate says that it is ready."""
    try:
        call(base, "GET", "/v1/.well-known/ready")
    except OSError:
        return False
    return True


def load_corpus(base: str) -> int:
    """Makes the collection and puts in every document that is missing; how many were put in. May be repeated."""
    try:
        call(base, "GET", f"/v1/schema/{corpus.COLLECTION}")
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        call(base, "POST", "/v1/schema", corpus.schema(corpus.COLLECTION, "name", "text"))
    query = f"{{Aggregate{{{corpus.COLLECTION}{{meta{{count}}}}}}}}"
    counted = call(base, "POST", "/v1/graphql", {"query": query})
    if counted["data"]["Aggregate"][corpus.COLLECTION][0]["meta"]["count"] >= corpus.DOCUMENTS:
        return 0
    vectors = corpus.vectors()
    objects = [
        {
            "class": corpus.COLLECTION,
            "id": document.id,
            "properties": {"name": document.name, "text": document.text},
            "vector": vectors[document.name],
        }
        for document in corpus.documents()
    ]
    results = call(base, "POST", "/v1/batch/objects", {"objects": objects[:-1]})
    failed = [result for result in results if result.get("result", {}).get("errors")]
    if failed:
        raise RuntimeError(f"{len(failed)} documents were refused, the first: {failed[0]['result']['errors']}")
    # A batch leaves the end of the vector index's log in Weaviate's memory (seen with 1.35.2): killed then, it comes
    # back with every object, but a third of them in no search. Putting a single object writes the log out.
    call(base, "POST", "/v1/objects", objects[-1])
    return len(objects)


def main() -> int:
    """Until Weaviate ends or the launcher is asked to."""
    stopping = child.Stopping()
    port = settings.integer("PORT")
    program = programs.find("weaviate-server", "weaviate")
    weaviate = child.start(
        [program, "--host", "127.0.0.1", "--port", str(port), "--scheme", "http"], environment=environment(Path.cwd())
    )
    base = f"http://127.0.0.1:{port}"
    seed = settings.text("SEED", "1") == "1"
    started = 0.0
    while weaviate.poll() is None and not stopping:
        if seed and ready(base):
            started = started or time.monotonic()
            try:
                loaded = load_corpus(base)
            except (OSError, KeyError, TypeError) as error:  # it says that it is ready and still loads its shards
                if time.monotonic() - started > SEED_WITHIN_S:
                    raise
                print(f"corpus not loaded yet: {error!r}", flush=True)
            else:
                print(f"Corpus ready: {loaded} documents loaded in {time.monotonic() - started:.1f} s", flush=True)
                seed = False
        stopping.wait(0.2)
    return 0 if stopping and child.stop(weaviate, SIGTERM, 8.0) is not None else child.exit_code(weaviate.wait())


if __name__ == "__main__":
    sys.exit(main())
