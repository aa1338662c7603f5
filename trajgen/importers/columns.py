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
_READ = {"id", "messages", "conversations", "system", "tools", "text", "state", "goal", "meta"}


def names(path: Path) -> set[str]:
    """The columns of a Parquet file. Raises InputError when it cannot be read as one, or has
    an extension type other than Arrow's JSON: some run code when they are read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    for field in schema:
        for kind in _types(field.type):
            name = getattr(kind, "extension_name", None)
            if isinstance(kind, pa.BaseExtensionType) and name != "arrow.json":
                raise InputError(f"column {field.name!r} has the unknown type {kind}", str(path))
    return set(schema.names)


def read(path: Path) -> Iterator[tuple[int, dict[str, Json]]]:
    """(number from 1, row) of every row. Of conversations that are not our own only the
    columns that a format has a meaning for are read. Raises InputError as `names` does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = names(path)
    some = bool(found & {"messages", "conversations"}) and not found >= OWN
    columns = sorted(found & _READ) if some else None
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            batches = file.iter_batches(batch_size=_BATCH, columns=columns)
            yield from enumerate((row for batch in batches for row in batch.to_pylist()), 1)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _types(kind: pa.DataType) -> Iterator[pa.DataType]:
    yield kind
    for index in range(kind.num_fields):
        yield from _types(kind.field(index).type)


def _unreadable(path: Path, error: Any) -> InputError:
    return InputError(f"cannot be read as Parquet ({str(error)[:200]})", str(path))
