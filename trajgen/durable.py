"""Files that are there whole or not at all.

`place` writes a temporary name beside the target, closes it, reads it back, checks it, and
only then renames it; the folder's names are synced last.

Crash rule: killed anywhere, a target holds its old content or its new one, never a part.
What may be left over begins with `TEMPORARY` and is removed when the run is opened again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from trajgen.errors import CommitError

TEMPORARY = ".tmp-"


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError inside into a CommitError that names the folder and its free bytes."""
    try:
        yield
    except OSError as error:
        raise CommitError(
            f"cannot write {path.name} ({error}); {_free(path)} bytes are free in this folder",
            str(path.parent),
            "Make room or mend the disk, then run the same command: what is committed stays.",
        ) from error


def place(
    path: Path,
    write: Callable[[BinaryIO], None],
    check: Callable[[Path], None] = lambda _: None,
) -> str:
    """Give `path` the content that `write` makes, at once or not at all; its sha256.

    `check` reads the closed temporary file and raises when it is not what was meant.
    Raises CommitError when the disk fails; then `path` is as it was before.
    """
    temporary = path.with_name(TEMPORARY + path.name)
    with disk_errors(path):
        try:
            with open(temporary, "w+b") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            check(temporary)
            sha256 = sha256_of(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    return sha256


def place_bytes(path: Path, data: bytes) -> str:
    """`place` for content at hand; what is read back must be `data`."""
    sha256 = place(path, lambda file: _write_all(file, data))
    if sha256 != hashlib.sha256(data).hexdigest():
        raise CommitError("the disk gave back other bytes than were written", str(path))
    return sha256


@contextmanager
def placed_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` when the body is done, whole or not at all.

    Raises CommitError when the disk fails.
    """
    temporary = target.with_name(TEMPORARY + target.name)
    with disk_errors(target):
        remove(temporary)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for path in (*temporary.rglob("*"), temporary):
                _sync(path)
            os.rename(temporary, target)
        finally:
            remove(temporary)
        sync_folder(target.parent)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def move(path: Path, target: Path) -> None:
    """Move a file, which may be gone already, to `target` or to a free name beside that."""
    with disk_errors(target):
        if not path.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        free, copy = target, 1
        while free.exists():
            copy += 1
            free = target.with_name(f"{target.name}.{copy}")
        os.rename(path, free)
        sync_folder(target.parent)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    _sync(folder, os.O_DIRECTORY)


def sha256_of(path: Path) -> str:
    """sha256 of the bytes of a file, 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _free(path: Path) -> int | str:
    for folder in path.parents:
        if folder.exists():
            return shutil.disk_usage(folder).free
    return "an unknown number of"
