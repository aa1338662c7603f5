"""How long a view of a large run takes, and how much memory, format by format.

`python -m benchmarks.export RUN [--formats trl,sharegpt]` prints a table; RUN is made by
`python -m benchmarks.large_run RUN --rows 100000`. Each export is a process of its own, and its
memory is the most that it ever held. `text` is rendered in Qwen2.5's template, as TRL ships it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from trajgen.exporters import EXPORTERS

ALL = [name for name in EXPORTERS if name != "preference"]
MEGABYTE = 1024  # of the kilobytes that Linux counts in


def measure(run: Path, name: str, options: Sequence[str] = ()) -> tuple[str, float, float, float]:
    """What the command says, seconds of the clock and of the processor, and megabytes."""
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
    cpu = used.ru_utime + used.ru_stime
    return said.splitlines()[0], took, cpu, used.ru_maxrss / MEGABYTE


def options_of(name: str) -> list[str]:
    if name != "text":
        return []
    from trl import chat_templates

    return ["--template", str(Path(next(iter(chat_templates.__path__)), "qwen2_5.jinja"))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--formats", default=",".join(ALL))
    arguments = parser.parse_args()
    print("| format | rows | seconds | of the processor | MB at most |")
    print("|---|---|---|---|---|")
    for name in arguments.formats.split(","):
        said, took, cpu, memory = measure(arguments.run, name, options_of(name))
        print(
            f"| `{name}` | {said.split()[1]} | {took:.1f} | {cpu:.1f} | {memory:.0f} |", flush=True
        )


if __name__ == "__main__":
    main()
