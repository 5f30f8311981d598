"""Loads the corpus that the platform is deployed with into a Weaviate that somebody else runs.

Environment: WEAVIATE (host:port). Whenever it becomes ready, what is missing there is put in: one that came back with
an empty disk gets its corpus again.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from sophia import child, corpus, settings

WITHIN_S = 30.0
LOOK_EVERY_S = 0.2


def call(base: str, method: str, path: str, body: object = None) -> Any:
    """One JSON request to Weaviate; raises urllib.error.URLError."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, {"content-type": "application/json"}, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the scheme is ours
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


class Loader:
    """Loads the corpus once each time Weaviate has become ready; `look` is called again and again."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._ready_at: float | None = None
        self.loaded = False

    def look(self) -> None:
        """One look. Raises OSError, KeyError or TypeError when a ready Weaviate takes no corpus for WITHIN_S."""
        if not ready(self._base):
            self._ready_at, self.loaded = None, False
            return
        if self.loaded:
            return
        if self._ready_at is None:
            self._ready_at = time.monotonic()
        try:
            put = load_corpus(self._base)
        except (OSError, KeyError, TypeError) as error:  # it says that it is ready and still loads its shards
            if time.monotonic() - self._ready_at > WITHIN_S:
                raise
            print(f"corpus not loaded yet: {error!r}", flush=True)
        else:
            print(f"Corpus ready: {put} documents loaded in {time.monotonic() - self._ready_at:.1f} s", flush=True)
            self.loaded = True


def main() -> int:
    """Until asked to end."""
    stopping = child.Stopping()
    loader = Loader(f"http://{settings.text('WEAVIATE')}")
    while not stopping:
        loader.look()
        stopping.wait(1.0 if loader.loaded else LOOK_EVERY_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
