"""A view written by several processes is the view that one writes; none of them stays behind
(slow: each process loads all that an export needs)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.small_pipeline import REPO, environment, tree
from tests.written_runs import trajectory, write_run
from trajgen.errors import MachineError
from trajgen.export.command import export

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SLOW = """
import sys, time
from pathlib import Path
from trajgen.export.command import export
from trajgen.exporters.trl import Trl

class Slow(Trl):
    def rows(self, trajectory):
        time.sleep(0.2)
        return super().rows(trajectory)

class Dies(Trl):
    def rows(self, trajectory):
        import os
        os._exit(9)

if __name__ == "__main__":
    export(sys.argv[1], sys.argv[2], sys.argv[3], processes=2)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten parts of twenty trajectories."""
    folder = tmp_path_factory.mktemp("crew") / "run"
    return write_run(folder, list(map(trajectory, range(200))), rows=20)


def started(run: Path, folder: Path, format: str) -> subprocess.Popen[bytes]:
    (folder / "slowly.py").write_text(SLOW)
    return subprocess.Popen(
        [sys.executable, "slowly.py", str(run), f"slowly:{format}", "view"],
        cwd=folder,
        env=environment(PYTHONPATH=f"{folder}:{REPO}"),
        stderr=subprocess.PIPE,
    )


def test_several_processes_write_what_one_writes(run: Path, tmp_path: Path) -> None:
    for name in ("trl", "trl-unroll", "openai"):
        views = [
            export(run, name, tmp_path / f"{name}-{n}", split=["eval=0.3"], processes=n).path
            for n in (1, 2)
        ]
        assert tree(views[0]) == tree(views[1])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_they_end_with_the_one_that_started_them(run: Path, tmp_path: Path, how: int) -> None:
    child = started(run, tmp_path, "Slow")
    began = time.monotonic()
    parent = psutil.Process(child.pid)
    while not (
        hired := [p for p in parent.children(True) if "spawn_main" in " ".join(p.cmdline())]
    ):
        assert time.monotonic() - began < 300
        time.sleep(0.1)
    time.sleep(1)
    child.send_signal(how)
    _, alive = psutil.wait_procs([parent, *hired], timeout=120)
    child.communicate()
    assert alive == []
    assert not (tmp_path / "view").exists()


def test_one_that_is_lost_is_an_error_and_no_view(run: Path, tmp_path: Path) -> None:
    child = started(run, tmp_path, "Dies")
    _, said = child.communicate(timeout=600)
    assert child.returncode == 1
    assert f"{MachineError.__name__}".encode() in said
    assert b"a process of the export was lost" in said
    assert {p.name for p in tmp_path.iterdir()} - {"__pycache__"} == {"slowly.py"}
