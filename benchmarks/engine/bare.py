"""The floor: an engine asked directly, with prompts that are ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Turn:
    """One request of a conversation: its prompt, and how many tokens were answered."""

    prompt: tuple[int, ...]
    generated: int


Generate = Callable[[Turn, str], AsyncIterator[Any]]


async def play(conversations: Iterable[list[Turn]], generate: Generate, at_once: int) -> float:
    """Seconds for all of it, `at_once` conversations at a time, turn after turn."""
    waiting = enumerate(conversations)

    async def one_after_the_other() -> None:
        for number, turns in waiting:  # shared: each takes the next one
            for place, turn in enumerate(turns):
                async for _ in generate(turn, f"{number}/{place}"):
                    pass

    began = time.monotonic()
    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
    return time.monotonic() - began


def forced(llm: Any) -> Generate:
    """Answers of exactly the length of each turn, from vLLM's `AsyncLLM`."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    def generate(turn: Turn, name: str) -> AsyncIterator[Any]:
        length = {"max_tokens": turn.generated, "min_tokens": turn.generated, "ignore_eos": True}
        sampling = SamplingParams(
            **length, temperature=0.6, top_p=0.95, output_kind=RequestOutputKind.FINAL_ONLY
        )
        prompt = {"prompt_token_ids": list(turn.prompt)}
        stream: AsyncIterator[Any] = llm.generate(prompt, sampling, f"bare/{name}")
        return stream

    return generate
