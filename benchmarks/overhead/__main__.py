"""`python -m benchmarks.overhead`: the table on stdout; JSON, a plot and the page where asked."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import comparing, overhead
from benchmarks.comparing import Bar, Figures, Found
from benchmarks.overhead import reach

REPO = Path(__file__).parents[2]
OURS, OTHER = "this version", "the other version"
BARS = {"call": 300.0, "trajectory": 500.0, "row": 200.0}
NAMES = {
    "call": "a model call",
    "trajectory": "a trajectory in the default filters",
    "row": "a committed row",
    "row: text": "– its text",
    "row: marks": "– fingerprint and sketch",
    "row: message": "– the message to the driver",
    "row: commit": "– copies, Parquet, checks, sync",
}
LIMIT_S = 1800


def options(parser: argparse.ArgumentParser) -> None:
    """How much is measured."""
    parser.add_argument("--tasks", type=int, default=262)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--other", type=Path, metavar="CHECKOUT", help="measured in turn with this")


def measure(given: argparse.Namespace) -> Found:
    """Each version in turn, on the same answers."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as place:
        answers = Path(place) / "answers.json"
        _once(REPO, "record", answers, given.tasks)
        trees = {OURS: REPO} | ({OTHER: given.other.resolve()} if given.other else {})
        systems = {
            name: lambda tree=tree: json.loads(_once(tree, "measure", answers, given.tasks))
            for name, tree in trees.items()
        }
        runs = comparing.in_turn(systems, given.rounds)
    bars = [
        Bar(f"{NAMES[name]}: µs", comparing.median(runs[OURS], name), at_most=most)
        for name, most in BARS.items()
    ]
    size = {"tasks": given.tasks, "rounds": given.rounds}
    return {**size, "runs": runs, "bars": [bar.json() for bar in bars]}


def _once(tree: Path, *arguments: object) -> str:
    """Run `once` of this checkout with the package of `tree`; what it prints."""
    code = (
        f"import sys; sys.path.insert(0, {str(tree)!r}); import trajgen; del sys.path[0]; "
        "from benchmarks.overhead.once import main; main()"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    return done.stdout


def tables(found: Found) -> str:
    """Microseconds of the processor by part, each version a column."""
    runs: dict[str, list[Figures]] = found["runs"]
    rows = [
        [told, *(_cell(figures, name) for figures in runs.values())] for name, told in NAMES.items()
    ]
    first = next(iter(runs.values()))
    calls, size = (comparing.median(first, key) or 0.0 for key in ("calls", "bytes"))
    told = (
        f"{found['tasks']} tasks with {calls:.1f} model calls each, {size / 1000:.1f} kB a row; "
        f"medians of {found['rounds']} rounds, smallest to largest in brackets."
    )
    head = ("microseconds of the processor for", *runs)
    return f"{told}\n\n{comparing.table(head, rows)}\n\n{reach.told(first)}"


def _cell(figures: list[Figures], name: str) -> str:
    return (
        f"{comparing.median(figures, name) or 0:,.0f} ({comparing.spread(figures, name, ',.0f')})"
    )


def draw(found: Found, path: Path) -> None:
    """The three costs as a picture."""
    runs = {
        f"{NAMES[part]}, {name}": [run[part] for run in figures]
        for part in BARS
        for name, figures in found["runs"].items()
    }
    comparing.plot(path, "Our own work", "microseconds of the processor", runs)


BENCHMARK = comparing.Benchmark(
    "overhead", (overhead.__doc__ or "").splitlines()[0], options, measure, tables, draw
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
