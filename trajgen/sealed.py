"""Parquet files of a fixed schema that can tell whether they are whole.

Page checksums guard the pages. The seal guards the rest: a key in the footer holds the
sha256 of all other bytes of the file, so damage is found before there is a manifest.

Crash rule: a writer here works on a temporary file of `durable.place`, never on a final
name: a Parquet writer that leaves by an exception ends a valid file with some of the rows.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from trajgen.errors import CommitError
from trajgen.objects import Place, Source, readable
from trajgen.records import SCHEMA_VERSION

VERSION: dict[str | bytes, str | bytes] = {"trajgen.schema_version": SCHEMA_VERSION}
_SEAL = "trajgen.seal"
_MARK = b"sha256 of the other bytes:"
_BLANK = b"0" * 64
_CHUNK = 1 << 20
_ROW_GROUP = 1024
_BATCH = 64  # rows that are Python objects at once


def write_parquet(
    file: BinaryIO,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    info: Mapping[str, str],
    row_group: int = _ROW_GROUP,
) -> None:
    """Write a sealed Parquet file; equal input gives equal bytes. One row group a table,
    cut when it is longer than `row_group` rows.

    An empty table makes no row group: `datasets` fails on a row group without rows.
    """
    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
        for table in tables:
            if table.num_rows:
                writer.write_table(table, row_group_size=row_group)
        writer.add_key_value_metadata({**info, _SEAL: (_MARK + _BLANK).decode()})
    _fill_seal(file)


def open_parquet(source: Source, schema: pa.Schema) -> pq.ParquetFile:
    """A Parquet file of exactly this schema and version, to be read with checksums.

    Raises OSError or pyarrow's errors when unreadable, ValueError for another schema.
    """
    file = pq.ParquetFile(readable(source), page_checksum_verification=True)
    found, version = file.schema_arrow, (file.metadata.metadata or {})
    if not found.remove_metadata().equals(schema.remove_metadata(), check_metadata=True):
        file.close()
        raise ValueError(f"its columns are not those of schema version {SCHEMA_VERSION}")
    if version.get(b"trajgen.schema_version") != SCHEMA_VERSION.encode():
        file.close()
        raise ValueError(f"its schema version is not {SCHEMA_VERSION}")
    return file


def batches(
    file: pq.ParquetFile, columns: Sequence[str] | None, at: Sequence[int] | None
) -> Iterator[pa.RecordBatch]:
    """The rows of an open file, some at a time; those alone that `at`, numbers from 0 that
    ascend, names, where it is given. Raises pyarrow's errors and OSError."""
    begins = 0
    for batch in file.iter_batches(_BATCH, columns=list(columns) if columns else None):
        ends = begins + batch.num_rows
        if at is None:
            yield batch
        elif named := at[bisect_left(at, begins) : bisect_left(at, ends)]:
            whole = len(named) == batch.num_rows
            yield batch if whole else batch.take(pa.array([row - begins for row in named]))
        begins = ends


def check_parquet(schema: pa.Schema, rows: int) -> Callable[[Source], None]:
    """A check for `place`: what was made has this schema and this many rows."""

    def check(source: Source) -> None:
        try:
            with open_parquet(source, schema) as file:
                found = file.metadata.num_rows
        except (pa.ArrowException, ValueError) as error:
            raise CommitError(f"what was written cannot be read ({error})", str(source)) from error
        if found != rows:
            raise CommitError(f"{found} rows were written instead of {rows}", str(source))

    return check


def sealed_sha256(path: Place) -> str | None:
    """sha256 of a sealed Parquet file, or None when it is damaged, cut off or unreadable."""
    try:
        with path.open("rb") as file:
            at = _seal_at(file)
            file.seek(at)
            found = file.read(len(_BLANK))
            sha256, digest = _digests(file, at)
    except (OSError, ValueError):
        return None
    return sha256 if found == digest.encode() else None


def _fill_seal(file: BinaryIO) -> None:
    """Fill in the blank seal of a finished Parquet file that is open for update."""
    file.flush()
    at = _seal_at(file)
    _, digest = _digests(file, at)
    file.seek(at)
    file.write(digest.encode())


def _seal_at(file: BinaryIO) -> int:
    """Where the 64 digits of the seal begin. The footer's length stands before the last 4
    bytes; the key-value pairs come last in it, so data cannot be taken for the seal."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    tail = file.read(8)
    start = size - 8 - int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or start < 4:
        raise ValueError("not a whole Parquet file")
    file.seek(start)
    at = file.read().rfind(_MARK)
    if at < 0 or start + at + len(_MARK) + len(_BLANK) > size:
        raise ValueError("no seal")
    return start + at + len(_MARK)


def _digests(file: BinaryIO, at: int) -> tuple[str, str]:
    """sha256 of the file as it is, and with the seal at `at` blank, in one pass."""
    file.seek(0)
    real = hashlib.sha256()
    left = at
    while left and (chunk := file.read(min(left, _CHUNK))):
        real.update(chunk)
        left -= len(chunk)
    blank = real.copy()
    real.update(file.read(len(_BLANK)))
    blank.update(_BLANK)
    while chunk := file.read(_CHUNK):
        real.update(chunk)
        blank.update(chunk)
    return real.hexdigest(), blank.hexdigest()
