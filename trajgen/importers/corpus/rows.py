"""A corpus: files, a folder or a data set of the hub, row by row in our form.

Nothing is skipped: what cannot be represented comes as a Problem under its file and number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from trajgen.errors import InputError
from trajgen.importers.corpus import columns, formats, hub, json_files
from trajgen.importers.corpus.problem import Problem
from trajgen.records import Domain, Json

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet")
_LOOKED_AT = 100  # rows, for a format to be said
_ABOUT = ("dataset_info.json", "dataset_infos.json")  # what `datasets` says of the data

Raw = tuple[int, Any, bool]  # number, what was read, whether from typed columns


class Row(NamedTuple):
    """A row in our form (`messages`, perhaps `tools`, `id`, `state`) or what is wrong with it,
    its file's name and its number there, from 1."""

    file: str
    number: int
    value: dict[str, Json] | Problem

    @property
    def place(self) -> str:
        return f"{self.file}:{self.number}"


@dataclass(frozen=True)
class Part:
    """One file of a corpus, or all of a data set; `read` begins anew each time."""

    name: str
    read: Callable[[], Iterator[Raw]]


@dataclass(frozen=True)
class Corpus:
    """Rows that can be read again and again. `domain`: what the source itself says of policy,
    tools and state, where it says it once for all rows."""

    name: str
    parts: tuple[Part, ...]
    reader: formats.Reader
    domain: Domain | None = None

    def rows(self) -> Iterator[Row]:
        """All rows in order. Raises InputError for a file that cannot be read, and when there is
        no row at all."""
        number = 0
        for part in self.parts:
            for number, raw, typed in part.read():
                value = raw if isinstance(raw, Problem) else self.reader(raw, typed)
                yield Row(part.name, number, value)
        if not number:
            where = self.parts[0].name if len(self.parts) == 1 else self.name
            raise InputError("there is no row in it", where, "Name data with one row at least.")

    def recognised(self) -> dict[str, str]:
        """Each file's format by its first row that has one; "" for none."""
        return {part.name: _first_format(part) for part in self.parts}


def corpus_at(path: Path, reader: formats.Reader = formats.normalised) -> Corpus:
    """The corpus of a file, or of all JSON and Parquet files of a folder, by name.

    Raises InputError when there are none.
    """
    if path.is_file():
        return Corpus(path.stem, (_part(path, path.name),), reader)
    if hub.is_saved(path):
        return Corpus(path.name, (Part(path.name, lambda: hub.saved(path)),), reader)
    files = files_in(path)
    parts = tuple(_part(file, file.relative_to(path).as_posix()) for file in files)
    return Corpus(path.name, parts, reader)


def files_in(folder: Path) -> list[Path]:
    """All JSON and Parquet files of a folder and the folders in it, by name.

    Raises InputError when there are none.
    """
    files = [file for file in sorted(folder.rglob("*")) if _is_data(file)]
    if not files:
        fix = f"Name a file, or a folder with files of these kinds: {', '.join(SUFFIXES)}."
        raise InputError("no JSON and no .parquet file here", str(folder), fix)
    return files


def _part(file: Path, name: str) -> Part:
    if file.suffix == ".parquet":
        return Part(name, lambda: ((n, row, True) for n, row in columns.read(file)))
    if file.suffix not in SUFFIXES and not json_files.begins_so(file):
        fix = f"Known: {', '.join(SUFFIXES)}. Unpack it, or write its rows as one of these."
        raise InputError("no JSON and no Parquet file", str(file), fix)
    return Part(name, lambda: ((n, row, False) for n, row in json_files.read(file)))


def _is_data(file: Path) -> bool:
    wanted = file.suffix in SUFFIXES and file.name not in _ABOUT and file.name[0] != "."
    return wanted and file.is_file()


def _first_format(part: Part) -> str:
    for _, raw, _ in islice(part.read(), _LOOKED_AT):
        if name := formats.format_of(raw):
            return name
    return ""
