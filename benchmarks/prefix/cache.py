"""A prefix cache that is never full, by whole blocks as engines have it and by single tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

BLOCK = 16  # vLLM's on a GPU


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt and its answer as tokens, and the conversation that they belong to."""

    conversation: str
    tokens: tuple[int, ...]
    answer: tuple[int, ...] = ()


@dataclass(slots=True)
class Blocks:
    """Sequences that were seen, in blocks of `size` tokens; with size 1 a tree of tokens."""

    size: int
    _known: dict[tuple[int, tuple[int, ...]], int] = field(default_factory=dict)

    def computed(self, prompt: Prompt) -> int:
        """The prompt's tokens that are not served; then all of it, with the answer, is known.

        The last token of a prompt is never served: the answer begins from what it gives.
        """
        hits = self._hits(prompt.tokens)
        self._learn((*prompt.tokens, *prompt.answer))
        return len(prompt.tokens) - hits

    def _hits(self, tokens: Sequence[int]) -> int:
        at = hits = 0
        while hits + self.size < len(tokens):
            found = self._known.get((at, tuple(tokens[hits : hits + self.size])))
            if found is None:
                break
            at, hits = found, hits + self.size
        return hits

    def _learn(self, tokens: Sequence[int]) -> None:
        at = 0
        for first in range(0, len(tokens) - self.size + 1, self.size):
            block = tuple(tokens[first : first + self.size])
            at = self._known.setdefault((at, block), len(self._known) + 1)


@dataclass(frozen=True, slots=True)
class Count:
    """Prompt tokens: all, those that a cache of whole blocks computes, and the least."""

    asked: int
    computed: int
    least: int

    @property
    def over(self) -> float:
        """1 is the least; 0 without prompts."""
        return self.computed / self.least if self.least else 0.0


def count(prompts: Iterable[Prompt], shared: bool, block: int = BLOCK) -> Count:
    """What `prompts`, in the order in which they were asked, cost; `shared` with one cache for
    all conversations, else with one for each."""
    caches: dict[str, tuple[Blocks, Blocks]] = {}
    asked = computed = least = 0
    for prompt in prompts:
        key = "" if shared else prompt.conversation
        blocks, tree = caches.setdefault(key, (Blocks(block), Blocks(1)))
        asked += len(prompt.tokens)
        computed += blocks.computed(prompt)
        least += tree.computed(prompt)
    return Count(asked, computed, least)
