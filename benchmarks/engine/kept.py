"""An engine that outlives runs: loaded once, kept open, and what it was asked written down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.engine.bare import Turn
from trajgen.engines import Completion, Engine, Request
from trajgen.engines.vllm import VllmEngine
from trajgen.records import Message, Tool


class Vllm(VllmEngine):
    """vLLM with its inside within reach."""

    @property
    def llm(self) -> Any:
        """The `AsyncLLM`."""
        return self._llm

    def tokens(self, request: Request) -> tuple[int, ...]:
        """The prompt as the engine is given it."""
        return tuple(self._prompt(request))

    async def forget(self) -> None:
        """Empty the prefix cache; nothing may be under way."""
        if not await self._llm.reset_prefix_cache():
            raise SystemExit("vLLM does not empty its prefix cache")


class Kept:
    """The Engine protocol over an engine that is started already; closing leaves it open."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.model = engine, engine.model
        self.answered: list[tuple[Request, int]] = []
        self.first = 0.0

    async def start(self) -> None:
        """It is."""

    async def complete(self, request: Request) -> Completion:
        """Answer one request, and keep how long the answer was."""
        self.first = self.first or time.monotonic()
        place = len(self.answered)
        self.answered.append((request, 0))
        completion = await self.engine.complete(request)
        self.answered[place] = (request, completion.generated_tokens)
        return completion

    def count_tokens(self, messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> list[int]:
        """Tokens of each message."""
        return self.engine.count_tokens(messages, tools)

    async def close(self) -> None:
        """It stays open."""


def conversations(
    answered: Iterable[tuple[Request, int]], tokens: Callable[[Request], tuple[int, ...]]
) -> list[list[Turn]]:
    """What was asked and answered, by conversation; `tokens` gives a request's prompt."""
    found: dict[str, list[Turn]] = {}
    for request, generated in answered:
        if generated:  # one that was refused cost the engine nothing
            turn = Turn(tokens(request), generated)
            found.setdefault(request.id.partition("/")[0], []).append(turn)
    return list(found.values())
