"""Folders and files for what is needed only while a process lives.

A folder is named by the process's pid and locked by it; it lies in the machine's temporary
folder, or on the disk of what it becomes, and nobody else may enter it. A file has no name.

Crash rule: a killed process leaves its folders. The next one to make any finds them unlocked
and removes them. Its files without a name are gone with it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trajgen.durable import disk_errors
from trajgen.errors import RunLocked
from trajgen.lock import DriverLock

PREFIX = "trajgen-"
_LOCK = ".lock"


@contextmanager
def scratch(near: Path | None = None) -> Iterator[Path]:
    """An empty folder, removed at the end; with `near` it lies in that folder.

    Raises CommitError when it cannot be made.
    """
    sweep(near)
    path = _place(near) / f"{PREFIX}{os.getpid()}-{secrets.token_hex(3)}"
    lock = DriverLock(_lock_of(path))
    try:
        with disk_errors(path):
            path.mkdir(mode=0o700)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        lock.release()


def sweep(near: Path | None = None) -> None:
    """Remove the folders that processes of this user and machine left when they were killed."""
    for mark in _place(near).glob(f"{PREFIX}*{_LOCK}"):
        with suppress(RunLocked, FileNotFoundError):
            if _is_ours(mark):
                lock = DriverLock(mark)
                shutil.rmtree(mark.with_suffix(""), ignore_errors=True)
                lock.release()


def discard() -> None:
    """Remove this process's own folders: it ends now, without unwinding."""
    for path in _place(None).glob(f"{PREFIX}{os.getpid()}-*"):
        if path.suffix != _LOCK:
            shutil.rmtree(path, ignore_errors=True)
            _lock_of(path).unlink(missing_ok=True)


class ScratchFile:
    """Bytes that are too many for memory, in a file that has no name.

    Raises CommitError when the disk of the temporary folder fails.
    """

    def __init__(self) -> None:
        self._named = _place(None) / "scratch"  # in errors alone
        with disk_errors(self._named):
            file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed with its owner
        weakref.finalize(self, file.close)
        self._file = file.fileno()

    def append(self, data: bytes) -> None:
        """Write `data` at the end."""
        left = memoryview(data)
        with disk_errors(self._named):
            while left:
                left = left[os.write(self._file, left) :]

    def read(self, spans: Iterable[tuple[int, int]]) -> bytes:
        """The bytes of `spans`, each a start and a size, one after the other; none are where the
        file has ended."""
        with disk_errors(self._named):
            return b"".join([os.pread(self._file, size, start) for start, size in spans])


def _is_ours(mark: Path) -> bool:
    """Whether this user made it, on this machine; one that was killed early wrote nothing."""
    if mark.lstat().st_uid != os.getuid():
        return False
    holder = mark.read_text("utf-8", "replace").split()
    return not holder or holder[0] == os.uname().nodename


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + _LOCK)


def _place(near: Path | None) -> Path:
    return Path(tempfile.gettempdir()) if near is None else near
