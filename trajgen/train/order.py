"""Which rows each step sees: the same for one seed, on every machine, after every restart.

Every epoch is shuffled anew. Over a window of a few steps rows of like length are put into
one batch, which then needs next to no padding, and the batches are dealt out at random: a
step stays a fair mix of short and long.
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
    return [i for window in windows for i in _dealt(window, lengths, batch, chance)]


def _dealt(window: list[int], lengths: Sequence[int], batch: int, chance: Random) -> list[int]:
    alike = sorted(window, key=lambda i: (-lengths[i], i))
    whole = len(alike) // batch * batch
    batches = [alike[at : at + batch] for at in range(0, whole, batch)]
    chance.shuffle(batches)
    return [i for its in [*batches, alike[whole:]] for i in its]
