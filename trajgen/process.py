"""A module run as a process of its own: for libraries that are large and talkative."""

from __future__ import annotations

import subprocess
import sys

LIMIT_S = 1800


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
