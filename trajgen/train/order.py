"""Which rows each step sees: the same for one seed, on every machine, after every restart.

Every epoch is shuffled anew. The rows of one step are then sorted by length, so that those
that go through the model together need little padding while a step stays a fair mix.
"""

from __future__ import annotations

from collections.abc import Sequence

from trajgen.ids import stream


def step_order(lengths: Sequence[int], epochs: int, per_step: int, seed: int) -> list[int]:
    """Indexes of rows in the order they are seen; step n sees the n-th `per_step` of them."""
    order: list[int] = []
    for epoch in range(epochs):
        indexes = list(range(len(lengths)))
        stream("train-order", seed, epoch).shuffle(indexes)
        order += indexes
    steps = (order[at : at + per_step] for at in range(0, len(order), per_step))
    return [i for step in steps for i in sorted(step, key=lambda i: -lengths[i])]
