"""Files that are there whole or not at all.

`place` writes a temporary name beside the target, closes it, reads it back, checks it, and
only then renames it; the folder's names are synced last. In an object store it checks what it
made and puts it in one request.

Crash rule: killed anywhere, a target holds its old content or its new one, never a part.
What may be left over begins with `TEMPORARY` and is removed when the run is opened again.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from trajgen.errors import CommitError
from trajgen.objects import ObjectPath, Place, Source

TEMPORARY = ".tmp-"


@contextmanager
def disk_errors(path: Place) -> Iterator[None]:
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
    path: Place,
    write: Callable[[BinaryIO], None],
    check: Callable[[Source], None] = lambda _: None,
    once: bool = False,
) -> str:
    """Give `path` the content that `write` makes, at once or not at all; its sha256.

    `check` reads what was made before it has its name, and raises when it is not what was
    meant. With `once` an object of another content that has come there meanwhile stays.
    Raises CommitError when the disk fails, or MachineError when a store does; then `path` is
    as it was before.
    """
    if isinstance(path, ObjectPath):
        return _put(path, write, check, once)
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


def place_bytes(path: Place, data: bytes) -> str:
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


def move(path: Place, target: Place) -> None:
    """Move a file, which may be gone already, to `target` or to a free name beside that."""
    with disk_errors(target):
        if not path.exists():
            return
        free, copy = target, 1
        while free.exists():
            copy += 1
            free = target.with_name(f"{target.name}.{copy}")
        if isinstance(path, ObjectPath):
            path.rename(free)
        elif isinstance(free, Path):
            free.parent.mkdir(parents=True, exist_ok=True)
            os.rename(path, free)
            sync_folder(free.parent)
            sync_folder(path.parent)


def make_ready(folder: Path, parts: Iterable[str]) -> None:
    """Make the folders of a run, and remove what a driver that died was writing. Raises
    CommitError when the disk fails."""
    with disk_errors(folder / "run.json"):
        for name in parts:
            (folder / name).mkdir(exist_ok=True)
        for place in (folder, *map(folder.joinpath, parts)):
            for leftover in place.glob(f"{TEMPORARY}*"):
                leftover.unlink()
        sync_folder(folder)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    _sync(folder, os.O_DIRECTORY)


def sha256_of(path: Place) -> str:
    """sha256 of the bytes of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put(
    path: ObjectPath,
    write: Callable[[BinaryIO], None],
    check: Callable[[Source], None],
    once: bool,
) -> str:
    made = io.BytesIO()
    write(made)
    check(made)
    data = made.getvalue()
    (path.create if once else path.replace)(data)
    return hashlib.sha256(data).hexdigest()


def _sync(path: Path, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _free(path: Place) -> int | str:
    for folder in path.parents if isinstance(path, Path) else ():
        if folder.exists():
            return shutil.disk_usage(folder).free
    return "an unknown number of"
