"""Stopped politely at any moment a run ends in time, keeps nothing half, and goes on.

By SIGTERM, by Ctrl-C, by an error in a filter, and with an engine that cannot be closed; a
reader looks on all the while.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.crash.odd import odd
from tests.small_pipeline import REPO, environment, write_pipeline

SCRIPT = {"quality": {"agent": 0.97, "user": 0.98, "world": 0.98}, "delay_ms": 5}
HERE = Path(__file__).parent
PATHS = f"{REPO}:{REPO / 'tests'}"


def stopped(root: Path, kind: str, count: int) -> dict[str, Any]:
    """Stop runs of a small pipeline `count` times; what `forks.py` says of it."""
    write_pipeline(root, **odd(SCRIPT), max_tasks=16, shards={"rows": 2}, seed=13)
    done = subprocess.run(
        [sys.executable, HERE / "forks.py", root, kind, str(count)],
        env=environment(PYTHONPATH=PATHS, OPENBLAS_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def a_reader(root: Path) -> Iterator[None]:
    """Somebody reads whatever shards are there, all the time."""
    reader = subprocess.Popen(
        [sys.executable, HERE / "reader.py", root],
        env=environment(PYTHONPATH=PATHS),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield
    finally:
        out, _ = reader.communicate("enough\n", timeout=30)
    found = json.loads(out)
    assert found["wrong"] == []
    assert found["read"] > 50


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "count"),
    [("SIGTERM", 50), ("SIGINT", 50), ("filter", 50), ("raise", 50), ("hang", 6)],
)
def test_stopped_again_and_again(kind: str, count: int, tmp_path: Path) -> None:
    """`raise` and `hang` are what the engine does when it is closed."""
    with a_reader(tmp_path):
        found = stopped(tmp_path, kind, count)
    assert found["stops"] >= count
    assert found["slowest_s"] < 5


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fifty_errors_in_a_filter_cost_fifty_tasks(tmp_path: Path) -> None:
    """Each of 50 runs loses the one task that the filter fails on, and nothing else."""
    assert stopped(tmp_path, "fail", 50)["stops"] == 50
