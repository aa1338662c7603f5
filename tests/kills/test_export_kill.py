"""An export that is killed, or fails, at any step of its I/O leaves no view or a whole one, and
the same command then makes the view that it would have made."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from pathlib import Path

import pytest
from crash import small_run
from crash.test_kill import stops_at

from tests.small_pipeline import tree
from trajgen.durable import TEMPORARY, sha256_of
from trajgen.errors import CommitError
from trajgen.export.command import export
from trajgen.run_record import read_record


def made(run: Path, view: Path) -> None:
    export(run, "trl", view)


def whole(view: Path) -> bool:
    """Whether every file is what the manifest says."""
    manifest = read_record(view / "manifest.json")
    assert manifest is not None
    return all(sha256_of(view / n) == e["sha256"] for n, e in manifest["files"].items())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "run"
    small_run.run_all(folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_every_step_no_half_view_is_ever_there(run: Path, tmp_path: Path) -> None:
    with stops_at(0, lambda: None) as steps:
        made(run, tmp_path / "reference")
    reference = tree(tmp_path / "reference")
    assert steps[0] > 30
    seen = set()
    for step in range(1, steps[0] + 1):
        folder = tmp_path / str(step)
        folder.mkdir()
        child = os.fork()
        if not child:
            with stops_at(step, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                made(run, folder / "view")
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        there = (folder / "view").exists()
        seen.add(there)
        if there:
            assert tree(folder / "view") == reference
        else:
            made(run, folder / "view")
            assert tree(folder / "view") == reference
            assert [path.name for path in folder.iterdir()] == ["view"]
        shutil.rmtree(folder)
    assert seen == {False, True}


def test_a_full_disk_is_told_and_leaves_nothing(run: Path, tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for step in (3, 12, 25):
        with stops_at(step, full), pytest.raises(CommitError, match="bytes are free"):
            made(run, tmp_path / "view")
        assert [path.name for path in tmp_path.iterdir() if path.name != TEMPORARY] == []
    made(run, tmp_path / "view")
    assert whole(tmp_path / "view")
