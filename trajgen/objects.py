"""Where a run lies: a folder on disk, or objects below a prefix, which look like paths here.

A store has no folders, no renames and no partial writes: what lies in a folder is what is
listed there, and an object is put at once. `replace` writes over the version it has just seen,
`create` over nothing, so two writers never mix.

Crash rule: as object_store's; nothing temporary is ever written.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar, cast

from trajgen.errors import Conflict
from trajgen.loading import user_path
from trajgen.object_store import Meta, ObjectStore, Version, open_store

T = TypeVar("T")
R = TypeVar("R")

HURRY_S = 1.0  # what a store may still take once the driver has to stop
_AHEAD = 8 << 20  # bytes that a reader fetches at a time
_AT_ONCE = {True: 16, False: 4}
_TAKEN_AHEAD = 4  # results that wait, for each that is being made
_TOP = PurePosixPath()


@dataclass(frozen=True)
class ObjectPath:
    """The part of `pathlib.Path` that a run folder needs, over the objects of a store."""

    store: ObjectStore
    key: PurePosixPath = _TOP

    def __truediv__(self, name: str) -> ObjectPath:
        return ObjectPath(self.store, self.key / name)

    def __str__(self) -> str:
        return f"{self.store.url}/{self.key}" if self.key.name else self.store.url

    @property
    def name(self) -> str:
        return self.key.name

    @property
    def parent(self) -> ObjectPath:
        return ObjectPath(self.store, self.key.parent)

    def with_name(self, name: str) -> ObjectPath:
        return ObjectPath(self.store, self.key.with_name(name))

    def exists(self) -> bool:
        """Whether there is an object of this name; folders are no objects."""
        try:
            self.store.head(str(self.key))
        except FileNotFoundError:
            return False
        return True

    def is_file(self) -> bool:
        return self.exists()

    def is_dir(self) -> bool:
        """Whether any object lies below."""
        return any(True for _ in self.iterdir())

    def iterdir(self) -> Iterator[ObjectPath]:
        """Objects and folders directly below."""
        folders, objects = self.store.list(str(self.key) if self.key.name else "")
        return (ObjectPath(self.store, PurePosixPath(name)) for name in [*folders, *objects])

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """Those directly below whose name matches."""
        return (path for path in self.iterdir() if fnmatchcase(path.name, pattern))

    def sizes(self) -> dict[str, int]:
        """Bytes of the objects directly below, by name."""
        _, objects = self.store.list(str(self.key) if self.key.name else "")
        return {PurePosixPath(name).name: size for name, size in objects.items()}

    def read(self) -> tuple[bytes, Meta]:
        """The whole object with its version."""
        return self.store.get(str(self.key))

    def read_bytes(self) -> bytes:
        return self.read()[0]

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """The object as a file, fetched in parts; all of them are of one version."""
        if mode != "rb":
            raise ValueError(f"objects are opened to be read, not {mode!r}")
        return io.BufferedReader(_Reader(self), _AHEAD)

    def create(self, data: bytes) -> Version:
        """Put the object where there is none. Raises Conflict where another content is."""
        return self.put(data, None)

    def replace(self, data: bytes) -> Version:
        """Put the object over what is there now, if anything."""
        try:
            return self.put(data, self.store.head(str(self.key)).version)
        except FileNotFoundError:
            return self.put(data, None)

    def put(self, data: bytes, over: Version | None) -> Version:
        """Put the object over this version, or over none. Raises Conflict, unless `data` is what
        is there: then a try of this call came through whose answer was lost."""
        try:
            return self.store.put(str(self.key), data, over)
        except Conflict as conflict:
            there, version = self._there()
            if there != data:
                raise conflict
            return version

    def _there(self) -> tuple[bytes | None, Version]:
        try:
            data, meta = self.read()
        except FileNotFoundError:
            return None, Version(None)
        return data, meta.version

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object; one that is gone is no error, whatever `missing_ok` says."""
        self.store.delete(str(self.key))

    def rename(self, target: Place) -> None:
        """Copy the object within its store, then delete it."""
        if not isinstance(target, ObjectPath):
            raise TypeError(f"an object cannot become {target}")
        self.store.copy(str(self.key), str(target.key))
        self.store.delete(str(self.key))


Place = Path | ObjectPath
Source = Place | BinaryIO


def place_of(given: str | Place) -> Place:
    """A folder, or the objects below a URL. Raises InputError for a URL that is none of ours."""
    if isinstance(given, ObjectPath):
        return given
    if isinstance(given, str) and "://" in given:
        return ObjectPath(open_store(given))
    return user_path(given)


def readable(source: Source) -> Path | BinaryIO:
    """What pyarrow opens: a path as it is, an object as a file."""
    return cast(BinaryIO, source.open()) if isinstance(source, ObjectPath) else source


def sizes_in(folder: Place) -> dict[str, int]:
    """Bytes of the files directly in a folder, by name; {} when it is not there."""
    if isinstance(folder, ObjectPath):
        return folder.sizes()
    return {path.name: path.stat().st_size for path in folder.glob("*") if path.is_file()}


def side_by_side(
    place: Place, call: Callable[[T], R], items: Iterable[T]
) -> Generator[R, None, None]:
    """`call` of each item in order, several at a time, more where each waits for a network, and
    a few ahead of what is taken. When this is interrupted a store gets no time to finish."""
    at_once = _AT_ONCE[isinstance(place, ObjectPath)]
    pool, ahead = ThreadPoolExecutor(at_once), deque[Future[R]]()
    try:
        for item in items:
            ahead.append(pool.submit(call, item))
            if len(ahead) > _TAKEN_AHEAD * at_once:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    except BaseException:
        if isinstance(place, ObjectPath):
            place.store.end(0)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


class _Reader(io.RawIOBase):
    """One version of an object as a file that is read in parts."""

    def __init__(self, path: ObjectPath) -> None:
        self._path, self._at = path, 0
        self._meta = path.store.head(str(path.key))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._meta.size}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._meta.size)
        if end <= self._at:
            return 0
        part = self._path.store.part(str(self._path.key), self._at, end, self._meta.version)
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)
