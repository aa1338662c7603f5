"""Processes that this one starts: a module run as one, and the end of all of them.

Crash rule: ending them is a kill -9; whatever they had in hand is owed again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import psutil

from trajgen.scratch import discard

LIMIT_S = 1800
END_S = 1.0  # for the kernel to take a killed process away
# It outlives the others by a moment, to remove the shared memory that they leave.
_TRACKER = "resource_tracker"


def run_module(module: list[str], environment: dict[str, str]) -> str:
    """What went wrong in `python -m module`, its last line; "" when it went well."""
    command = [sys.executable, "-m", *module]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return f"not done within {LIMIT_S} s"
    last = (done.stderr.strip().splitlines() or ["no output"])[-1]
    return last if done.returncode else ""


def descendants() -> list[psutil.Process]:
    """Every process that this one and its children have started, parents before children."""
    return _below(psutil.Process())


def begun_in(folder: Path) -> list[psutil.Process]:
    """The children whose command line names `folder`, and all that they have started."""
    found = [child for child in psutil.Process().children() if _names(child, folder)]
    return [process for child in found for process in (child, *_below(child))]


def end(processes: Iterable[psutil.Process]) -> None:
    """Kill processes, those that are gone or not ours left alone, and wait END_S for them."""
    killed = [process for process in processes if _killed(process)]
    psutil.wait_procs(killed, END_S)


def end_now(code: int, last_word: str = "") -> NoReturn:
    """End this process and all that it has started; what it had as scratch goes with it.
    `last_word` is the last that stderr gets, whatever another thread still says."""
    end(descendants())
    end(descendants())  # that were started meanwhile
    discard()
    with suppress(OSError):  # nobody reads it any more
        os.write(2, last_word.encode())
    os._exit(code)


def _names(process: psutil.Process, folder: Path) -> bool:
    try:
        return any(str(folder) in part for part in process.cmdline())
    except psutil.Error:
        return False


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = process.children(recursive=True)
    except psutil.Error:
        return []
    return found


def _killed(process: psutil.Process) -> bool:
    try:
        if any(_TRACKER in part for part in process.cmdline()):
            return False
        process.kill()
    except psutil.Error:
        return False
    return True


def listening() -> list[int]:
    """The descriptors through which this process can be reached by others."""
    mine = psutil.Process().net_connections("inet")
    return [c.fd for c in mine if c.status == psutil.CONN_LISTEN and c.fd >= 0]
