"""Ends of any number of tasks, from a few rollouts, cheap enough not to hide what is measured."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import trajgen
from trajgen.collect import Settled
from trajgen.records import Task

PLAYED = 64
BANDS, BUCKETS = 9, 128
KEPT_BAND = 0.046  # of a rollout's bands that come again: 9 * 0.046**2 / 64 = 3 in 10,000 pairs
DYING = 997  # of so many tasks one is dead


def models() -> list[dict[str, Any]]:
    """The rows of a few scripted rollouts, kept and rejected."""
    settings = ("cluster.address=inline", f"shards.rows={PLAYED}")
    with tempfile.TemporaryDirectory() as place:
        run = trajgen.run("pipelines/smoke.yaml", Path(place) / "run", PLAYED, settings)
        rows = [run.rows(rejected) for rejected in (False, True)]
        return [part[index].row() for part in rows for index in range(len(part))]


def ends(tasks: Sequence[Task], made: Sequence[dict[str, Any]]) -> Iterator[Settled]:
    """The end of each task, the same for the same task."""
    draw = np.random.default_rng(tasks[0].index)
    sums = _sums(draw, [task.index % len(made) for task in tasks])
    sizes = draw.integers(100, 390, len(tasks)).astype("<u2").view(np.uint8).reshape(-1, 2)
    forms = np.concatenate([sizes, sums], axis=1)
    for task, form in zip(tasks, forms, strict=True):
        if task.index % DYING == DYING - 1:
            yield Settled(death={"id": task.id, "index": task.index, "error": "timeout"})
            continue
        model = made[task.index % len(made)]
        first = json.loads(model["messages"][0])
        first["content"] += f" (case {task.index})"
        row = model | {"id": task.id, "messages": [json.dumps(first), *model["messages"][1:]]}
        mark = hashlib.sha256(task.id.encode()).hexdigest()
        yield Settled(row, mark, base64.b64encode(form.tobytes()).decode("ascii"))


def _sums(draw: np.random.Generator, whose: Sequence[int]) -> Any:
    """(tasks, BUCKETS) bytes: some bands those of the task's model, all else drawn anew."""
    starts = [band * BUCKETS // BANDS for band in range(BANDS + 1)]
    fixed = np.random.default_rng(0).integers(1, 256, (PLAYED, BUCKETS), np.uint8)[list(whose)]
    fresh = draw.integers(1, 256, fixed.shape, np.uint8)
    again = np.repeat(draw.random((len(whose), BANDS)) < KEPT_BAND, np.diff(starts), axis=1)
    return np.where(again, fixed, fresh)
