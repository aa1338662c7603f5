"""Rows of a Parquet file, some at a time. Pages are checked against their checksums."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trajgen.errors import InputError
from trajgen.records import Json

if TYPE_CHECKING:
    import pyarrow as pa

OWN = {"messages", "schema_version", "steps", "state_initial"}  # columns of our shards
_BATCH = 256  # rows in memory at once
CONVERSATIONS = {"messages", "conversations", "completion", "steps"}  # one of them has to be
_READ = CONVERSATIONS | {"id", "system", "prompt", "tools", "text", "state", "goal", "meta"}


def names(path: Path) -> set[str]:
    """The columns of a Parquet file. Raises InputError when it cannot be read as one, or has
    an extension type other than Arrow's JSON: some run code when they are read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    for column in schema:
        for field in _fields(column):
            if (name := _extension(field)) not in ("", "arrow.json"):
                what = f"column {column.name!r} has the unknown type {name[:100]}"
                raise InputError(what, str(path), "Write the file anew with plain types.")
    return set(schema.names)


def read(path: Path) -> Iterator[tuple[int, dict[str, Json]]]:
    """(number from 1, row) of every row. Of conversations that are not our own only the
    columns that a format has a meaning for are read. Raises InputError as `names` does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = names(path)
    some = bool(found & (CONVERSATIONS - {"steps"})) and not found >= OWN
    columns = sorted(found & _READ) if some else None
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            batches = file.iter_batches(batch_size=_BATCH, columns=columns)
            yield from enumerate((row for batch in batches for row in batch.to_pylist()), 1)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _fields(field: pa.Field[Any]) -> Iterator[pa.Field[Any]]:
    yield field
    for index in range(field.type.num_fields):
        yield from _fields(field.type.field(index))


def _extension(field: pa.Field[Any]) -> str:
    """The name of a field's extension type, or "". One that this process does not know stands in
    the metadata alone: whoever reads the file next may know it."""
    known = getattr(field.type, "extension_name", "")
    named = (field.metadata or {}).get(b"ARROW:extension:name", b"")
    return str(known or named.decode("utf-8", "replace"))


def _unreadable(path: Path, error: Any) -> InputError:
    fix = "It is cut off or damaged, or no Parquet file: fetch or write it anew."
    return InputError(f"cannot be read as Parquet ({str(error)[:200]})", str(path), fix)
