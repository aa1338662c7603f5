"""A run watched from outside up to the first request that its engine is given."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from trajgen.engines import Completion, Request
from trajgen.engines.scripted import ScriptedEngine

REPO = Path(__file__).parents[2]
FIRST = "TRAJGEN_BENCHMARK_FIRST_CALL"  # in the environment, which workers inherit: a file
KIND = "benchmarks.start.clock:Clock"
LIMIT_S = 3600.0
MEGABYTE = 1024  # of the kilobytes that Linux counts in


class Clock(ScriptedEngine):
    """The scripted engine; notes when it is asked first."""

    async def complete(self, request: Request) -> Completion:
        """Answer one request."""
        if not (file := Path(os.environ[FIRST])).exists():
            file.write_text(repr(time.time()), "utf-8")
        return await super().complete(request)


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
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        if not file.exists():
            said.seek(0)
            raise SystemExit(f"no model was called:\n{said.read().decode()[-4000:]}")
    while not (told := file.read_text("utf-8")):
        time.sleep(0.005)
    return Begun(float(told) - began, used.ru_maxrss / MEGABYTE)
