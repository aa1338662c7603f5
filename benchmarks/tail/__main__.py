"""`python -m benchmarks.tail`: the table on stdout; JSON, a plot and the page where asked."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks import comparing, tail
from benchmarks.comparing import Bar, Figures, Found
from benchmarks.endpoint import run_ours
from benchmarks.endpoint.conversations import SEEDS
from benchmarks.tail.bound import least, list_schedule
from benchmarks.tail.engine import DELAY_MS, LOG, TIMES, is_long

ADDRESSES = {"trajgen run, inline": "inline", "trajgen run, local Ray": "local"}
OVER = "over_bound"


def options(parser: argparse.ArgumentParser) -> None:
    """How much is measured."""
    parser.add_argument("--tasks", type=int, default=320)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--delay-ms", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=5)


def measure(given: argparse.Namespace) -> Found:
    """Both ways of running, in turn."""
    with tempfile.TemporaryDirectory(prefix="tail-") as place:
        systems = {
            name: lambda name=name, address=address: _run(Path(place), name, address, given)
            for name, address in ADDRESSES.items()
        }
        runs = comparing.in_turn(systems, given.rounds)
    size = {"tasks": given.tasks, "in_flight": given.in_flight, "delay_ms": given.delay_ms}
    bars = [
        Bar(f"{n}: over the bound", comparing.median(r, OVER), at_most=1.1) for n, r in runs.items()
    ]
    return {**size, "rounds": given.rounds, "runs": runs, "bars": [bar.json() for bar in bars]}


def _run(folder: Path, name: str, address: str, given: argparse.Namespace) -> Figures:
    log = folder / "log.json"
    os.environ.update({LOG: str(log), DELAY_MS: str(given.delay_ms)})
    job = {
        "name": "tail",
        "seeds": SEEDS,
        "target": 10 * given.tasks,
        "max_tasks": given.tasks,
        "engines": {"main": {"kind": "benchmarks.tail.engine:Tail"}},
        "roles": {"user": "main", "agent": "main", "world": "main"},
        "shards": {"rows": 16},
        "cluster": {"address": address, "in_flight": given.in_flight},
    }
    with tempfile.TemporaryDirectory(dir=folder) as out:
        end = run_ours.run(run_ours.written(folder / "tail.yaml", job), Path(out) / "run")
    told = json.loads(log.read_text("utf-8"))
    lengths = task_lengths(told["calls"], given.delay_ms / 1000)
    took, bound = end - told["first"], list_schedule(lengths, given.in_flight)
    return {
        OVER: took / bound,
        "seconds": took,
        "bound_s": bound,
        "least_s": least(lengths, given.in_flight),
        "requests": sum(told["calls"].values()),
    }


def task_lengths(calls: dict[str, int], delay_s: float) -> list[float]:
    """Seconds of each task, in the order of their start, where only answers take time."""
    return [n * delay_s * (TIMES if is_long(task) else 1) for task, n in calls.items()]


def tables(found: Found) -> str:
    """How long it took, and the bounds."""
    rows = []
    for name, runs in found["runs"].items():
        keys = ("seconds", "bound_s", "least_s", OVER)
        took, bound, floor, over = (comparing.median(runs, key) or 0.0 for key in keys)
        between = comparing.spread(runs, OVER, ".3f")
        rows.append((name, f"{took:.2f}", f"{bound:.2f}", f"{floor:.2f}", f"{over:.3f}", between))
    told = (
        f"{found['tasks']} tasks, {found['in_flight']} at once, {found['delay_ms']:g} ms a call, "
        f"one task in 20 takes 10 times as long, {found['rounds']} rounds."
    )
    head = ("system", "seconds", "list scheduling", "any schedule", "over the bound", "from to")
    return f"{told}\n\n{comparing.table(head, rows)}"


def draw(found: Found, path: Path) -> None:
    """Time over the bound as a picture."""
    over = {name: [run[OVER] for run in runs] for name, runs in found["runs"].items()}
    comparing.plot(path, "A long tail of tasks", "makespan over list scheduling", over)


BENCHMARK = comparing.Benchmark(
    "tail", tail.__doc__.splitlines()[0], options, measure, tables, draw
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
