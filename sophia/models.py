"""The swarm's models: asked at once; a model that does not answer in time gives no vote.

Full swarm: the model on the GPU (fast path) and two external ones through the gateway. Whoever of them is known to be
away is replaced by a small model on the CPU, so that there is a majority to be had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import aiohttp

from sophia import knowledge

UNKNOWN = "I do not know that for certain."
ON_GPU = "gpu-local"
EXTERNAL = ("atlas-large", "borealis-large")
FAILURES = (aiohttp.ClientError, OSError)


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer (None: it gave none) and what it cost in US dollars."""

    answer: str | None
    cost: float = 0.0


Model = Callable[[str], Awaitable[Reply]]


class ModelFailed(aiohttp.ClientError):
    """The model's service answered, but not with an answer."""


async def on_cpu(question: str) -> Reply:
    """A small model that runs in this process; slower than the GPU's."""
    await asyncio.sleep(0.02)
    return Reply(knowledge.answer(question) or UNKNOWN)


def remote(session: aiohttp.ClientSession, url: str, model: str = "") -> Model:
    """A model behind HTTP: the GPU worker, or one of the gateway's. Raises one of FAILURES."""

    async def ask(question: str) -> Reply:
        body = {"model": model, "question": question} if model else {"question": question}
        async with session.post(url, json=body) as response:
            if response.status != 200:
                raise ModelFailed(f"status {response.status}")
            found = await response.json()
        return Reply(found["answer"], found["cost_usd"])

    return ask


async def ask_all(models: Mapping[str, Model], question: str, within: float) -> dict[str, Reply | BaseException]:
    """Every model's reply, or what kept it from replying."""

    async def one(model: Model) -> Reply:
        async with asyncio.timeout(within):
            return await model(question)

    replies = await asyncio.gather(*(one(model) for model in models.values()), return_exceptions=True)
    return dict(zip(models, replies, strict=True))
