"""The seeded corpus with known neighbours: documents come in clusters of three that share their topic's words."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from functools import cache

from sophia.embedding import embed

DOCUMENTS = 300
CLUSTER = 3
COLLECTION = "Document"
_NAMESPACE = uuid.UUID("6a3c1c0e-5d4f-4c6e-9a51-1e6f0b7f9a10")
_SYLLABLES = (
    "ba",
    "cor",
    "del",
    "fen",
    "gu",
    "hal",
    "jin",
    "kor",
    "lum",
    "mir",
    "nos",
    "pra",
    "quil",
    "ras",
    "tev",
    "vox",
)


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its name (`doc-17`), its id in Weaviate, its text."""

    name: str
    id: str
    text: str


def document_id(name: str) -> str:
    """The id a document has in every Weaviate: loading twice changes nothing."""
    return str(uuid.uuid5(_NAMESPACE, name))


def _word(source: random.Random) -> str:
    return "".join(source.choice(_SYLLABLES) for _ in range(3))


@cache
def documents() -> tuple[Document, ...]:
    """The whole corpus, the same at every call and in every process."""
    found = []
    for index in range(DOCUMENTS):
        topic = random.Random(f"topic-{index // CLUSTER}")
        words = [_word(topic) for _ in range(8)]
        own = _word(random.Random(f"document-{index}"))
        found.append(Document(f"doc-{index}", document_id(f"doc-{index}"), " ".join([*words, own])))
    return tuple(found)


def neighbours(name: str) -> frozenset[str]:
    """The members of a document's cluster, itself included."""
    first = int(name.removeprefix("doc-")) // CLUSTER * CLUSTER
    return frozenset(f"doc-{index}" for index in range(first, first + CLUSTER))


def vectors() -> dict[str, list[float]]:
    """Name → vector of the first tier."""
    return {document.name: embed(document.text) for document in documents()}


def schema(collection: str, *properties: str) -> dict[str, object]:
    """A collection with rotational quantisation, vectors brought by the client."""
    return {
        "class": collection,
        "vectorizer": "none",
        "vectorIndexType": "hnsw",
        "vectorIndexConfig": {"distance": "cosine", "rq": {"enabled": True, "bits": 8}},
        "properties": [{"name": name, "dataType": ["text"], "tokenization": "field"} for name in properties],
    }
