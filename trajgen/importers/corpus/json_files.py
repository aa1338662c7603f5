"""JSON rows as a stream: one a line, the items of one list, or objects over many lines.

A file of any size is read in a flat amount of memory. A row that is no JSON is a problem
with its number, and so is what keeps a file from ending where it should; the rows around
it are read all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from trajgen.errors import InputError
from trajgen.importers.corpus import json_text
from trajgen.importers.corpus.json_text import MAX_CHARS, PIECE, Numbered, too_long, value

_LINES = (".jsonl", ".ndjson")
_BOM = b"\xef\xbb\xbf"


def read(path: Path) -> Iterator[Numbered]:
    """(number from 1, row or problem): the line's number in JSONL, else the row's.

    Raises InputError when the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            one = _is_one_text(file, path.suffix in _LINES)
            yield from json_text.items(file) if one else _lines(file)
    except OSError as error:
        raise _unreadable(path, error) from error


def members(path: Path, key: str) -> Iterator[Numbered]:
    """What stands under `key` of the file's one object: the items of a list, or the object.

    Raises InputError when the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield from json_text.members(file, key)
    except OSError as error:
        raise _unreadable(path, error) from error


def begins_so(path: Path) -> bool:
    """Whether the file begins as JSON rows do, or is empty. Raises InputError when it cannot be
    read."""
    try:
        with path.open("rb") as file:
            start = file.read(PIECE).removeprefix(_BOM).lstrip()
    except OSError as error:
        raise _unreadable(path, error) from error
    return start[:1] in (b"{", b"[", b"")


def _is_one_text(file: IO[bytes], named_lines: bool) -> bool:
    """Whether the file is a list, or an object that goes on after its first line."""
    start = b" "
    while start and not start.removeprefix(_BOM).strip():
        at = file.tell()
        start = file.read(PIECE)
    start = start.removeprefix(_BOM).strip()
    if not start.startswith(b"{") or named_lines:
        file.seek(0)
        return start.startswith(b"[")
    file.seek(at)
    first = b" "
    while not first.removeprefix(_BOM).strip():
        first = file.readline(MAX_CHARS)
    file.seek(0)
    return not first.rstrip().endswith(b"}")


def _lines(file: IO[bytes]) -> Iterator[Numbered]:
    number = 0
    while line := file.readline(MAX_CHARS + 1):
        number += 1
        if len(line) > MAX_CHARS:
            while line and not line.endswith(b"\n"):
                line = file.readline(PIECE)
            yield number, too_long()
        elif line.strip():
            yield number, value(line.removeprefix(_BOM))


def _unreadable(path: Path, error: OSError) -> InputError:
    fix = "Name a file that is there and may be read."
    return InputError(f"cannot be read ({error.strerror})", str(path), fix)
