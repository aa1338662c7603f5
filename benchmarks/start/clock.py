"""A run watched from outside up to the first request that its engine is given.

Memory is that of the driver's process itself. Nothing large is imported here: what Linux says of
an ended child includes what its parent held when it was made.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

REPO = Path(__file__).parents[2]
FIRST = "TRAJGEN_BENCHMARK_FIRST_CALL"  # in the environment, which workers inherit: a file
KIND = "benchmarks.start.engine:Clock"
LIMIT_S = 3600.0
MEGABYTE = 1024  # of the kilobytes that Linux counts in


class Begun(NamedTuple):
    """Seconds from the command to the first model call, and the driver's peak in megabytes."""

    seconds: float
    megabytes: float


def first_call(arguments: Sequence[str], folder: Path) -> Begun:
    """Begin `trajgen` with these arguments, and stop it politely after its first model call."""
    (file := folder / "first_call").unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(REPO), FIRST: str(file)}
    with open(folder / "stderr.txt", "w+b") as said:
        began = time.time()
        child = subprocess.Popen(
            [sys.executable, "-m", "trajgen", *arguments],
            cwd=REPO, env=environment, stdout=subprocess.DEVNULL, stderr=said,
        )  # fmt: skip
        while not file.exists() and child.poll() is None and time.time() < began + LIMIT_S:
            time.sleep(0.005)
        held = _peak(child.pid)
        child.send_signal(signal.SIGTERM)
        child.wait(LIMIT_S)
        if not file.exists():
            said.seek(0)
            raise SystemExit(f"no model was called:\n{said.read().decode()[-4000:]}")
    while not (told := file.read_text("utf-8")):
        time.sleep(0.005)
    return Begun(float(told) - began, held)


def _peak(process: int) -> float:
    """The most megabytes that a process has held; 0 when it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text("utf-8")
    except OSError:
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) / MEGABYTE if found else 0.0
