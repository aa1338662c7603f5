"""Scratch folders: there while their process lives, swept when it was killed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.small_pipeline import environment
from trajgen.errors import CommitError
from trajgen.scratch import PREFIX, ScratchFile, discard, scratch, sweep


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_is_there_and_gone(tmp_path: Path) -> None:
    with scratch() as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith(f"{PREFIX}{os.getpid()}-")
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "below").mkdir()
        (folder / "below" / "file").write_text("x")
    assert entries(tmp_path) == []


def test_it_is_gone_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with scratch() as folder:
            (folder / "file").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert entries(tmp_path) == []


def test_near_another_folder(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    with scratch(tmp_path / "cache") as folder:
        assert folder.parent == tmp_path / "cache"
    assert entries(tmp_path / "cache") == []


def test_a_killed_process_is_swept_and_a_living_one_is_not(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from trajgen.scratch import scratch\n"
        "with scratch() as folder:\n"
        "    (folder / 'file').write_text('x')\n"
        "    print(folder, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment(TMPDIR=str(tmp_path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        sweep()
        assert (folder / "file").read_text() == "x"
        process.send_signal(signal.SIGKILL)
    assert folder.exists()
    with scratch() as mine:
        assert entries(tmp_path) == [mine.name, f"{mine.name}.lock"]


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    """Another machine's, on a shared disk; and names that only look alike."""
    (tmp_path / f"{PREFIX}1-abc").mkdir()
    (tmp_path / f"{PREFIX}1-abc.lock").write_text("another-host 1\n")
    (tmp_path / f"{PREFIX}notes").mkdir()
    before = entries(tmp_path)
    sweep()
    assert entries(tmp_path) == before


def test_a_process_killed_before_it_wrote_its_name(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}1-abc.lock").touch()
    sweep()
    assert entries(tmp_path) == []


def test_discarding_what_this_process_has(tmp_path: Path) -> None:
    with scratch() as folder:
        (tmp_path / f"{PREFIX}1-abc").mkdir()
        discard()
        assert not folder.exists()
        assert entries(tmp_path) == [f"{PREFIX}1-abc"]


def test_no_room_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommitError, match="bytes are free"), scratch(tmp_path / "file"):
        pass


def test_a_file_without_a_name_holds_what_is_appended(tmp_path: Path) -> None:
    file = ScratchFile()
    assert file.read([(0, 10)]) == file.read([]) == b""
    for part in (b"abc", b"", b"defg"):
        file.append(part)
    assert file.read([(0, 100)]) == b"abcdefg"
    assert file.read([(5, 100), (7, 1), (2, 3), (0, 1)]) == b"fgcdea"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    file = ScratchFile()
    written = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda number, data: written(number, data[:2]))
        file.append(b"abcdefg")  # in parts, as a disk may take it
        patched.setattr(os, "write", Mock(side_effect=OSError(errno.ENOSPC, "No space left")))
        with pytest.raises(CommitError, match="bytes are free"):
            file.append(b"more")
    assert file.read([(0, 100)]) == b"abcdefg"
