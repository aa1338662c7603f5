"""Which rows each step sees: the same for one seed, on every machine, after every restart.

Every epoch is shuffled anew. Over a window of a few steps rows of like length are put into
one batch, which then needs next to no padding, and the batches are dealt out so that every
step has long ones and short ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from trajgen.ids import stream

WINDOW = 8  # steps


def row_order(
    lengths: Sequence[int], epochs: int, batch: int, accumulate: int, seed: int
) -> list[int]:
    """Indexes of rows in the order they are seen: every `batch` of them go through the model
    together, every `batch` x `accumulate` are a step. Only the last batch can be short."""
    chance = stream("train-order", seed)
    order: list[int] = []
    for _ in range(epochs):
        indexes = list(range(len(lengths)))
        chance.shuffle(indexes)
        order += indexes
    size = WINDOW * batch * accumulate
    windows = (order[at : at + size] for at in range(0, len(order), size))
    return [i for its in windows for i in _dealt(its, lengths, batch, accumulate, chance)]


def _dealt(
    window: list[int], lengths: Sequence[int], batch: int, accumulate: int, chance: Random
) -> list[int]:
    """The window as batches of like length, each step with one of the longest, and so on."""
    alike = sorted(window, key=lambda i: (-lengths[i], i))
    steps = len(alike) // (batch * accumulate)
    batches = [alike[at : at + batch] for at in range(0, len(alike), batch)]
    kinds = [batches[at * steps : (at + 1) * steps] for at in range(accumulate)]
    for kind in kinds:
        chance.shuffle(kind)
    rest = batches[steps * accumulate :]
    return [
        i for its in [*(b for step in zip(*kinds, strict=True) for b in step), *rest] for i in its
    ]
