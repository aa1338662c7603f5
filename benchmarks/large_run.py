"""A run folder of any size, and how quick it is to look at.

`python -m benchmarks.large_run DIR [--rows 100000]` writes the folder where there is none: 200
scripted rollouts, repeated under ids of their own with a number in each user's text, committed
shard by shard as a run is. Then each look at it is timed in a process of its own, imports
included, beside its bar. Exit code 1 when one is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import trajgen
from trajgen.pipeline import Loaded, load
from trajgen.plan import plan
from trajgen.records import Trajectory
from trajgen.review.browse.desk import PAGE
from trajgen.review.report import write_report
from trajgen.review.run import Run
from trajgen.run_folder import RunFolder
from trajgen.shards import ShardResult
from trajgen.sketches import sketch

SHARD = 512
SETTINGS = ("cluster.address=inline", f"shards.rows={SHARD}")
DYING = 997  # of so many tasks one is dead
REPORT_MB = 20


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


def _first_page(run: Run) -> None:
    """The widget as a notebook shows it, and the answer to the first question of its page."""
    browser = run.browse()
    browser._repr_mimebundle_()
    answer = browser._desk.answer({"ask": "page", "query": {}, "cursor": 0})
    if len(answer["rows"]) != min(PAGE, answer["all"]):
        raise ValueError(f"no first page: {answer}")


# What is timed, and the most seconds that it may take.
LOOKS: dict[str, tuple[float, Callable[[Run], object]]] = {
    "open": (1, repr),
    "frame": (3, Run.frame),
    "first page": (1, _first_page),
    "report": (60, write_report),
}


def look(folder: Path, name: str) -> dict[str, float]:
    """One look, timed: seconds of the clock, and those that this process worked. All but `open`
    look at a run that is open."""
    opened = None if name == "open" else trajgen.open(folder)
    began, used = time.perf_counter(), time.process_time()
    LOOKS[name][1](trajgen.open(folder) if opened is None else opened)
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}


def looks(folder: Path) -> bool:
    """Take every look and print what it cost. Whether all bars are kept."""
    kept = True
    for name, (bar, _) in LOOKS.items():
        command = [sys.executable, "-m", "benchmarks.large_run", str(folder), "--look", name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        took = json.loads(done.stdout)
        print(f"{name:<12}{took['seconds']:7.2f} s, {took['cpu']:.2f} s of CPU; bar {bar} s")
        kept &= took["seconds"] < bar
    size = (folder / "report.html").stat().st_size / 1e6
    print(f"report.html {size:7.2f} MB; bar {REPORT_MB} MB")
    return kept and size < REPORT_MB


def main() -> int:
    """Write the folder that is named, unless it is there, and look at it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_run")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--look", choices=LOOKS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.look:
        print(json.dumps(look(given.folder, given.look)))
        return 0
    if not (given.folder / "manifest.json").exists():
        make(given.folder, given.rows)
    return 0 if looks(given.folder) else 1


if __name__ == "__main__":
    sys.exit(main())
