"""`python -m benchmarks.scale`: the table on stdout; JSON, a plot and the page where asked."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from benchmarks import comparing, scale
from benchmarks.comparing import Bar, Figures, Found
from benchmarks.scale.job import PIPELINE, settings
from benchmarks.start.clock import MEGABYTE, REPO, first_call

STEP = (sys.executable, "-m", "benchmarks.scale.step")
STEPS = ("plan", "books", "resume", "verify")
SIZES, MILLION = (1_000, 10_000, 100_000), 1_000_000
LIMIT_S = 4 * 3600
GROWTH, MEMORY, MOST_MB, RESUME_S = 10.5, 1.3, 1000.0, 15.0


def options(parser: argparse.ArgumentParser) -> None:
    """How much is measured."""
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--million", action="store_true", help="1,000,000 tasks, once, as well")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the runs are made; 2 kB a task")


def measure(given: argparse.Namespace) -> Found:
    """Each size in turn, a million once."""
    with tempfile.TemporaryDirectory(prefix="scale-", dir=given.folder) as place:
        folder = Path(place)
        file = folder / "models.json"
        _step("models", [*STEP, "models", str(folder), str(file), "0"])
        systems = {
            str(size): lambda size=size: _all(folder / str(size), file, size)
            for size in given.sizes
        }
        runs = comparing.in_turn(systems, given.rounds)
        if given.million:
            last = {str(MILLION): lambda: _all(folder / str(MILLION), file, MILLION)}
            runs |= comparing.in_turn(last, 1)
    return {"rounds": given.rounds, "runs": runs, "bars": [bar.json() for bar in _bars(runs)]}


def _all(folder: Path, models: Path, tasks: int) -> Figures:
    """Seconds and megabytes of every step on a fresh run of so many tasks."""
    folder.mkdir()
    run, found = folder / "run", dict[str, float]()
    for step in ("plan", "books"):
        found |= _step(step, [*STEP, step, str(run), str(models), str(tasks)])
    changes = [part for change in settings(tasks) for part in ("--set", change)]
    command = ["run", PIPELINE, "--limit", str(tasks), "--out", str(run), *changes]
    found["resume"], found["resume_mb"] = first_call(command, folder)
    found |= _step("verify", [sys.executable, "-m", "trajgen", "verify", str(run)])
    found["disk_mb"] = sum(f.stat().st_size for f in run.rglob("*") if f.is_file()) / 1e6
    shutil.rmtree(folder)
    return found


def _step(name: str, command: list[str]) -> Figures:
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=REPO, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        said = b"".join(pipe.read() for pipe in (child.stdout, child.stderr) if pipe)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{name} failed:\n{said.decode()[-4000:]}")
    took = time.monotonic() - began
    cpu = used.ru_utime + used.ru_stime
    return {name: took, f"{name}_cpu": cpu, f"{name}_mb": used.ru_maxrss / MEGABYTE}


def _bars(runs: dict[str, list[Figures]]) -> Iterator[Bar]:
    sizes = sorted(map(int, runs))
    for less, more in pairwise(sizes):
        if more == 10 * less:
            for step in STEPS:
                yield Bar(f"{step}: {more:,} over {less:,}, time", _ratio(runs, step, less, more),
                          at_most=GROWTH)  # fmt: skip
    if MILLION in sizes:
        for step in STEPS:
            peak = comparing.median(runs[str(MILLION)], f"{step}_mb")
            yield Bar(f"{step}: peak MB of a million tasks", peak, at_most=MOST_MB)
            if MILLION // 10 in sizes:
                grown = _ratio(runs, f"{step}_mb", MILLION // 10, MILLION)
                yield Bar(f"{step}: that over 100,000", grown, at_most=MEMORY)
        resumed = comparing.median(runs[str(MILLION)], "resume")
        yield Bar("resume of a million: s", resumed, at_most=RESUME_S)


def _ratio(runs: dict[str, list[Figures]], key: str, less: int, more: int) -> float | None:
    one, other = (comparing.median(runs[str(size)], key) for size in (less, more))
    return other / one if one and other else None


def tables(found: Found) -> str:
    """Seconds and megabytes by size and step."""
    rows = []
    for size, figures in found["runs"].items():
        cells = [_cell(figures, step) for step in STEPS]
        rows.append((f"{int(size):,}", *cells, f"{comparing.median(figures, 'disk_mb') or 0:,.0f}"))
    head = ("tasks", *(f"{step}: s, MB" for step in STEPS), "MB on disk")
    return f"{found['rounds']} rounds, a million once.\n\n{comparing.table(head, rows)}"


def _cell(figures: list[Figures], step: str) -> str:
    seconds, memory = (comparing.median(figures, key) or 0.0 for key in (step, f"{step}_mb"))
    return f"{seconds:,.1f}, {memory:,.0f}"


def draw(found: Found, path: Path) -> None:
    """Time and memory over the number of tasks, both axes in powers of ten."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    sizes = list(map(int, found["runs"]))
    for axes, suffix, label in ((time_axes, "", "seconds"), (memory_axes, "_mb", "MB at most")):
        for step in STEPS:
            values = [comparing.median(f, step + suffix) or 0.0 for f in found["runs"].values()]
            axes.plot(sizes, values, "o-", label=step)
        axes.set_xscale("log")
        axes.set_xlabel("tasks")
        axes.set_ylabel(label)
    time_axes.set_yscale("log")
    memory_axes.set_ylim(bottom=0)
    time_axes.legend()
    figure.savefig(path, dpi=110)


BENCHMARK = comparing.Benchmark(
    "scale", (scale.__doc__ or "").splitlines()[0], options, measure, tables, draw
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
