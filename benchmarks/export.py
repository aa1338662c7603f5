"""How long a view of a large run takes, and how much memory, format by format.

`python -m benchmarks.export DIR [--rows 100000] [--formats trl,sharegpt]` makes two runs in DIR,
unless they are there, and prints a table; exit code 1 when a bar is missed. The runs differ ten
times in size, so memory that grows with a run shows. Views of several rows a trajectory are made of
the smaller one, twice: of a half and of all of it. Each export is a process of its own; its memory
is the most that it or one of its helpers ever held. `text` is rendered in Qwen2.5's template, as
TRL ships it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import large_run
from trajgen.exporters import EXPORTERS

ALL = [name for name in EXPORTERS if name != "preference"]
SEVERAL = ("trl-unroll", "world-model")  # rows a trajectory
MEGABYTE = 1024  # of the kilobytes that Linux counts in
MOST_SECONDS = 60  # for so many rows:
ROWS = 100_000
MOST_GROWTH = 1.5  # of memory, from the smaller run to the larger one


class Measured(NamedTuple):
    """One export: its rows, seconds of the clock and of all processors, megabytes at most."""

    rows: int
    seconds: float
    cpu: float
    memory: float

    @property
    def pace(self) -> float:
        """Seconds for ROWS rows."""
        return self.seconds * ROWS / self.rows


def measure(run: Path, name: str, *options: str) -> Measured:
    """Export `run` as `name` and remove the view. Ends the program when the export fails."""
    with tempfile.TemporaryDirectory(dir=run.parent) as place:
        command = [sys.executable, "-m", "trajgen", "export", str(run), "--format", name]
        began = time.monotonic()
        with subprocess.Popen(
            [*command, "--out", f"{place}/view", *options], stdout=subprocess.PIPE, text=True
        ) as child:
            said = child.stdout.read() if child.stdout else ""
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        took = time.monotonic() - began
    if child.returncode:
        raise SystemExit(f"{name} failed")
    rows = int(said.split()[1].replace(",", ""))
    return Measured(rows, took, used.ru_utime + used.ru_stime, used.ru_maxrss / MEGABYTE)


def both(small: Path, large: Path, name: str) -> Iterator[Measured]:
    """A format on less and on more."""
    options = []
    if name == "text":
        from trl import chat_templates

        options = ["--template", str(Path(next(iter(chat_templates.__path__)), "qwen2_5.jinja"))]
    if name in SEVERAL:
        yield measure(small, name, "--where", "id < 'task-8'", *options)
        yield measure(small, name, *options)
    else:
        yield measure(small, name, *options)
        yield measure(large, name, *options)


def made(folder: Path, rows: int) -> Path:
    """A run of so many rows in `folder`, made if it is not there."""
    run = folder / str(rows)
    if not (run / "manifest.json").exists():
        large_run.make(run, rows)
    return run


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--formats", default=",".join(ALL))
    given = parser.parse_args()
    small, large = made(given.folder, given.rows // 10), made(given.folder, given.rows)
    print(f"| format | rows | seconds | of the processors | for {ROWS:,} rows | MB at most |")
    print("|---|---|---|---|---|---|")
    missed = False
    for name in given.formats.split(","):
        few, many = both(small, large, name)
        for one in (few, many):
            figures = f"{one.seconds:.1f} | {one.cpu:.1f} | {one.pace:.1f} | {one.memory:.0f}"
            print(f"| `{name}` | {one.rows:,} | {figures} |", flush=True)
        missed |= many.pace > MOST_SECONDS or many.memory > MOST_GROWTH * few.memory
    print("a bar is missed" if missed else "every bar is met")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
