"""The models of the swarm, asked at once; a model that does not answer in time gives no vote."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from sophia import knowledge

UNKNOWN = "I do not know that for certain."


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer and what it cost in US dollars."""

    answer: str | None
    cost: float = 0.0


Model = Callable[[str], Awaitable[Reply]]


async def on_cpu(question: str) -> Reply:
    """The small model that runs in this process."""
    await asyncio.sleep(0.005)
    return Reply(knowledge.answer(question) or UNKNOWN)


async def ask_all(models: Mapping[str, Model], question: str, within: float) -> dict[str, Reply]:
    """Every model's reply. Whatever a model raises is its own failure: it gave no vote."""

    async def one(model: Model) -> Reply:
        async with asyncio.timeout(within):
            return await model(question)

    replies = await asyncio.gather(*(one(model) for model in models.values()), return_exceptions=True)
    return {
        name: reply if isinstance(reply, Reply) else Reply(None) for name, reply in zip(models, replies, strict=True)
    }
