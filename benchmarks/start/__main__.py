"""`python -m benchmarks.start`: the table on stdout; JSON, a plot and the page where asked."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import comparing, start
from benchmarks.comparing import Bar, Figures, Found
from benchmarks.start.clock import KIND, REPO, first_call

IMPORT, HELP = "import trajgen", "trajgen --help"
INLINE, RAY = "first model call, inline", "first model call, local Ray"
BARS = {IMPORT: 0.2, HELP: 0.3, RAY: 6.0}
TIMED = "import time; t = time.perf_counter(); import trajgen; print(time.perf_counter() - t)"


def options(parser: argparse.ArgumentParser) -> None:
    """How much is measured."""
    parser.add_argument("--rounds", type=int, default=7)


def measure(given: argparse.Namespace) -> Found:
    """Each beginning in turn, in fresh processes."""
    systems = {
        IMPORT: lambda: {"seconds": float(_output("-c", TIMED))},
        HELP: _help,
        INLINE: lambda: _run("inline"),
        RAY: lambda: _run("local"),
    }
    runs = comparing.in_turn(systems, given.rounds)
    bars = [
        Bar(f"{name}: s", comparing.median(runs[name], "seconds"), at_most=most)
        for name, most in BARS.items()
    ]
    return {"rounds": given.rounds, "runs": runs, "bars": [bar.json() for bar in bars]}


def _help() -> Figures:
    began = time.perf_counter()
    _output("-m", "trajgen", "--help")
    return {"seconds": time.perf_counter() - began}


def _run(address: str) -> Figures:
    with tempfile.TemporaryDirectory(prefix="start-") as place:
        settings = (f"cluster.address={address}", f"engines.script.kind={KIND}")
        command = ["run", "pipelines/smoke.yaml", "--out", f"{place}/run"]
        changed = [part for setting in settings for part in ("--set", setting)]
        begun = first_call([*command, *changed], Path(place))
    return {"seconds": begun.seconds, "megabytes": begun.megabytes}


def _output(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=REPO, capture_output=True, text=True, check=True, timeout=600
    ).stdout


def tables(found: Found) -> str:
    """Seconds of each beginning."""
    rows = []
    for name, figures in found["runs"].items():
        middle = comparing.median(figures, "seconds") or 0.0
        memory = comparing.median(figures, "megabytes")
        held = "–" if memory is None else f"{memory:.0f}"
        rows.append((name, f"{middle:.2f}", comparing.spread(figures, "seconds", ".2f"), held))
    head = ("from the start of the process to", "seconds, median", "smallest to largest", "MB")
    return f"{found['rounds']} rounds.\n\n{comparing.table(head, rows)}"


def draw(found: Found, path: Path) -> None:
    """The seconds as a picture."""
    runs = {name: [run["seconds"] for run in figures] for name, figures in found["runs"].items()}
    comparing.plot(path, "From nothing to the first model call", "seconds", runs)


BENCHMARK = comparing.Benchmark(
    "start", (start.__doc__ or "").splitlines()[0], options, measure, tables, draw
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
