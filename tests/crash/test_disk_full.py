"""A disk without room: exit 3 with the folder and its free bytes, nothing half, and on again.

Patched calls are in test_kill.py; here the kernel itself says no.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trajgen
from crash.small_run import contents
from tests.small_pipeline import environment, write_pipeline
from trajgen.run_folder import status
from trajgen.verify import verify

SCRIPT = {"quality": {"agent": 0.97, "user": 0.98, "world": 0.98}}
TOLD = re.compile(r"trajgen: (\S+): cannot write \S+ \(.*\); (\d+) bytes are free in this folder")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """The pipeline, and what a run of it holds."""
    folder = tmp_path_factory.mktemp("reference")
    pipeline = write_pipeline(folder, SCRIPT, max_tasks=40)
    return pipeline, contents(trajgen.run(pipeline, folder / "whole").path)


def run(pipeline: Path, out: Path, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """The command; `limit` is the largest file that it may write."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-m", "trajgen", "run", pipeline, "--out", out],
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=limited,
        timeout=120,
    )


def check_refused(done: subprocess.CompletedProcess[str], out: Path) -> None:
    """It says where and how much room there is; what is committed is whole."""
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    told = TOLD.search(done.stderr)
    assert told, done.stderr
    assert Path(told[1]).is_relative_to(out)
    assert not (out / "manifest.json").exists()
    if (out / "run.json").exists():
        now = status(out)
        assert now["done"] == now["kept"] + now["rejected"] + now["dead"]


def test_files_may_not_grow(tmp_path: Path, reference: tuple[Path, dict[str, bytes]]) -> None:
    """Of every size from nothing to that of the largest file: each strikes somewhere else."""
    pipeline, whole = reference
    sizes = sorted({len(data) for data in whole.values()})
    limits = sorted(
        {0, 1, *(size - 1 for size in sizes[:: max(1, len(sizes) // 8)]), sizes[-1] - 1}
    )
    for limit in limits:
        done = run(pipeline, tmp_path / "run", limit)
        if done.returncode != 0:
            check_refused(done, tmp_path / "run")
    assert run(pipeline, tmp_path / "run").returncode == 0
    assert contents(tmp_path / "run") == whole


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 60 KB, where mounting one is allowed."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    command: list[Any] = ["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", mounted]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, timeout=30).returncode:
        pytest.skip("no file system can be mounted here")
    yield mounted
    subprocess.run(["umount", mounted], check=True, timeout=30)


def test_a_small_disk(small_disk: Path, reference: tuple[Path, dict[str, bytes]]) -> None:
    """Full; then grown step by step, full again and again, until it is large enough."""
    pipeline, whole = reference
    full = 0
    for size in (60, 80, 100, 130, 160, 200, 4096):
        subprocess.run(["mount", "-o", f"remount,size={size}k", small_disk], check=True, timeout=30)
        done = run(pipeline, small_disk / "run")
        if done.returncode == 0:
            break
        check_refused(done, small_disk / "run")
        full += 1
    assert full >= 2
    assert contents(small_disk / "run") == whole
    assert verify(small_disk / "run") == []
