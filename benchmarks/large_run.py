"""A run folder of any size, for what has to be quick on many rows.

`python -m benchmarks.large_run DIR [--rows 100000]`: 200 scripted rollouts, repeated under
ids of their own with a number in each user's text, committed shard by shard as a run is.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import trajgen
from trajgen.pipeline import Loaded, load
from trajgen.plan import plan
from trajgen.records import Trajectory
from trajgen.run_folder import RunFolder
from trajgen.shards import ShardResult
from trajgen.sketches import sketch

SHARD = 512
SETTINGS = ("cluster.address=inline", f"shards.rows={SHARD}")
DYING = 997  # of so many tasks one is dead


def make(folder: Path, rows: int, played: int = 200) -> None:
    """Write a finished run of `rows` tasks that repeats `played` rollouts."""
    loaded = load("pipelines/smoke.yaml", SETTINGS, rows)
    tasks = plan(loaded.seeds.seeds, loaded.pipeline.variations, rows, loaded.pipeline.seed)
    models = list(_played(played))
    with RunFolder.create_or_open(folder, _record(loaded, rows), tasks, ()) as run:
        shards = -(-rows // SHARD)
        for number in range(shards):
            first = number * SHARD
            _commit(run, number, first, min(SHARD, rows - first), models)
        run.finish(shards - 1)


def _record(loaded: Loaded, rows: int) -> dict[str, object]:
    return {**loaded.record(), "planned": rows}


def _played(n: int) -> Iterator[Trajectory]:
    """`n` trajectories as the scripted engine plays them, kept and rejected."""
    with tempfile.TemporaryDirectory() as place:
        run = trajgen.run("pipelines/smoke.yaml", Path(place) / "run", n, SETTINGS)
        for rejected in (False, True):
            rows = run.rows(rejected)
            yield from (rows[index] for index in range(len(rows)))


def _commit(run: RunFolder, number: int, first: int, size: int, models: list[Trajectory]) -> None:
    made = [
        _renamed(models[task.index % len(models)], task.id, task.index)
        for task, _ in zip(run.plan_tasks(first), range(size), strict=False)
    ]
    dead = [{"id": t.id, "error": "Timeout"} for i, t in enumerate(made, first) if _dies(i)]
    alive = [t for i, t in enumerate(made, first) if not _dies(i)]
    kept = [t for t in alive if not t.reasons]
    result = ShardResult(
        number, first, size,
        [t.row() for t in kept], [t.row() for t in alive if t.reasons], dead,
    )  # fmt: skip
    marks = [hashlib.sha256(t.id.encode()).hexdigest() for t in kept]
    run.commit(result, marks, [sketch(t.messages) for t in kept])


def _dies(index: int) -> bool:
    return index % DYING == DYING - 1


def _renamed(model: Trajectory, id: str, index: int) -> Trajectory:
    first = {**model.messages[0], "content": f"{model.messages[0]['content']} (case {index})"}
    return replace(model, id=id, messages=(first, *model.messages[1:]))


def main() -> int:
    """Write the folder that is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_run")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    given = parser.parse_args()
    make(given.folder, given.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
