"""The rows of some shards, read a row group at a time and never all at once.

Crash rule: reads only; page checksums are verified, a damaged file is a MachineError.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from trajgen.errors import MachineError
from trajgen.records import Json, Trajectory

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    from trajgen.objects import Place


class Rows:
    """A sequence of trajectories over `files`, in their order; footers say which file."""

    def __init__(self, files: Sequence[Place]) -> None:
        self.files = list(files)
        self._near: tuple[int, int, pyarrow.Table] | None = None

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(_count(file) for file in self.files))

    def __len__(self) -> int:
        return self._ends[-1] if self.files else 0

    def __getitem__(self, index: int) -> Trajectory:
        """Row `index`, from 0. Raises IndexError, or MachineError when its file is damaged."""
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        start, table = self._group(index)
        return Trajectory.parse(table.slice(index - start, 1).to_pylist()[0])

    def __iter__(self) -> Iterator[Trajectory]:
        return (self[index] for index in range(len(self)))

    def stream(self, columns: Sequence[str]) -> Iterator[dict[str, Json]]:
        """These columns of every row, one row after the other and few in memory at a time;
        nested columns as lists of JSON text. Raises MachineError when a file is damaged."""
        from trajgen.shards import read_rows

        for file in self.files:
            yield from read_rows(file, columns)

    def every(self, step: int, columns: Sequence[str]) -> Iterator[dict[str, Json]]:
        """These columns of the rows 0, `step`, 2 * `step` and so on, like `stream`; the rows
        between cost no more than their decompression."""
        before = 0
        for file in self.files:
            with _open(file) as parquet:
                for batch in parquet.iter_batches(64, columns=list(columns)):
                    for at in range(-before % step, batch.num_rows, step):
                        yield batch.slice(at, 1).to_pylist()[0]
                    before += batch.num_rows

    def column(self, name: str) -> list[Json]:
        """One column of all rows."""
        return list(self.table([name]).column(name).to_pylist())

    def table(self, columns: Sequence[str]) -> pyarrow.Table:
        """These columns of all rows; no file gives no rows."""
        import pyarrow

        from trajgen.shards import SCHEMA

        schema = pyarrow.schema([SCHEMA.field(name) for name in columns])
        tables = (_columns(file, columns) for file in self.files)
        return pyarrow.concat_tables([schema.empty_table(), *tables])

    def part(self, index: int, columns: Sequence[str]) -> tuple[int, pyarrow.Table]:
        """These columns of the row group that holds row `index`, and the row it starts at."""
        start, _, table = self._read(index, list(columns))
        return start, table

    def _group(self, index: int) -> tuple[int, pyarrow.Table]:
        """The row group that holds row `index`, and the row it starts at; the last is kept."""
        if self._near is None or not self._near[0] <= index < self._near[1]:
            self._near = self._read(index)
        return self._near[0], self._near[2]

    def _read(self, index: int, columns: list[str] | None = None) -> tuple[int, int, pyarrow.Table]:
        number = bisect_right(self._ends, index)
        start = self._ends[number - 1] if number else 0
        return _read_group(self.files[number], start, index, columns)


def _read_group(
    file: Place, start: int, index: int, columns: list[str] | None = None
) -> tuple[int, int, pyarrow.Table]:
    with _open(file) as parquet:
        for group in range(parquet.num_row_groups):
            end = start + parquet.metadata.row_group(group).num_rows
            if index < end:
                return start, end, parquet.read_row_group(group, columns=columns)
            start = end
    raise IndexError(f"row {index} of {file}")


def _columns(file: Place, columns: Sequence[str]) -> pyarrow.Table:
    with _open(file) as parquet:
        return parquet.read(columns=list(columns)).replace_schema_metadata()


def _count(file: Place) -> int:
    with _open(file) as parquet:
        rows: int = parquet.metadata.num_rows
    return rows


@contextmanager
def _open(path: Place) -> Iterator[ParquetFile]:
    from pyarrow import ArrowException

    from trajgen.sealed import open_parquet
    from trajgen.shards import SCHEMA

    try:
        with open_parquet(path, SCHEMA) as file:
            yield file
    except (OSError, ValueError, ArrowException) as error:
        raise MachineError(
            f"cannot be read ({error})",
            str(path),
            "`trajgen verify` names every damaged file; running again makes those shards anew.",
        ) from error
