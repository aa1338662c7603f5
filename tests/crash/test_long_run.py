"""A long plan on a slow disk: the driver waits for the disk and does not grow meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def driven(folder: Path, tasks: int) -> dict[str, Any]:
    source = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "crash.long_run", str(folder), str(tasks)],
        env={**os.environ, "PYTHONPATH": f"{source}:{source}/tests"},
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_100000_tasks_on_a_slow_disk(tmp_path: Path) -> None:
    found = driven(tmp_path / "run", 100_000)
    assert found["kept"] == 100_000
    assert found["grew_mb"] < 200, found
    assert found["most_open"] <= found["window"] == 4096, found
