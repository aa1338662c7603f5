"""plan.parquet: every task of a run, its id and its shard, streamed both ways.

Shard n holds the tasks [n * rows, (n + 1) * rows). A row group holds whole shards, so the
ids of one shard are read without the rest.

Crash rule: the file is there whole or not at all. A plan is a pure function of what the
run's digest covers, so a lost or damaged one is written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import islice

import pyarrow as pa

from trajgen.durable import place
from trajgen.errors import CommitError, MachineError
from trajgen.ids import digest
from trajgen.objects import Place
from trajgen.records import Task
from trajgen.sealed import VERSION, check_parquet, open_parquet, write_parquet

_TYPES = {"index": pa.int64(), "sampling_seed": pa.int64()}
_COLUMNS = ("index", *(f.name for f in fields(Task) if f.name != "index"))
PLAN_SCHEMA = pa.schema(
    [*((name, _TYPES.get(name, pa.string())) for name in _COLUMNS), ("shard", pa.int32())],
    metadata=VERSION,
)
_GROUP = 8192


@dataclass(frozen=True)
class Slot:
    """The place of one shard in the plan: its number, first index and task ids in order."""

    number: int
    first: int
    ids: tuple[str, ...]

    @property
    def digest(self) -> str:
        """That of the sorted ids, as in `ShardInfo.ids`."""
        return digest(sorted(self.ids))


def plan_path(folder: Place) -> Place:
    """Where a run keeps its plan."""
    return folder / "plan.parquet"


def write_plan(folder: Place, tasks: Iterable[Task], planned: int, shard_rows: int) -> None:
    """Write the plan, in constant memory where the target is a file. Raises CommitError when
    the disk fails, or when the tasks are not `planned` in number and numbered from 0."""
    place(
        plan_path(folder),
        lambda file: write_parquet(
            file, PLAN_SCHEMA, _tables(tasks, shard_rows), {}, _group(shard_rows)
        ),
        check_parquet(PLAN_SCHEMA, planned),
    )


def plan_tasks(folder: Place, start: int = 0) -> Iterator[Task]:
    """The planned tasks from index `start` on, one row group in memory at a time.

    Raises MachineError when the plan cannot be read.
    """
    for table in _groups(folder, start, list(_COLUMNS)):
        for row in table.to_pylist():
            if row["index"] >= start:
                yield Task(**row)


def plan_slots(folder: Place, shard_rows: int) -> Iterator[Slot]:
    """Every shard's place in the plan, in order. Raises MachineError like `plan_tasks`."""
    first = 0
    for table in _groups(folder, 0, ["id"]):
        for at in range(0, table.num_rows, shard_rows):
            part = _ids(table, at, shard_rows)
            yield Slot(first // shard_rows, first, part)
            first += len(part)


def plan_places(
    folder: Place, shard_rows: int, numbers: Iterable[int]
) -> Iterator[tuple[int, Slot | None]]:
    """Each of these shards, which rise, with its place in the plan, if it has one."""
    slots = plan_slots(folder, shard_rows)
    slot = next(slots, None)
    for number in numbers:
        while slot is not None and slot.number < number:
            slot = next(slots, None)
        yield number, slot if slot is not None and slot.number == number else None


def plan_slot(folder: Place, number: int, shard_rows: int) -> Slot | None:
    """The place of shard `number`, or None when the plan has no such shard."""
    first = number * shard_rows
    table = next(_groups(folder, first, ["id"]), None)
    if number < 0 or table is None:
        return None
    ids = _ids(table, first % _group(shard_rows), shard_rows)
    return Slot(number, first, ids) if ids else None


def _ids(table: pa.Table, at: int, rows: int) -> tuple[str, ...]:
    return tuple(str(id_) for id_ in table.column("id").slice(at, rows).to_pylist())


def _group(shard_rows: int) -> int:
    return shard_rows * max(1, _GROUP // shard_rows)


def _tables(tasks: Iterable[Task], shard_rows: int) -> Iterator[pa.Table]:
    numbered, index = iter(tasks), 0
    while batch := list(islice(numbered, _group(shard_rows))):
        for task in batch:
            if task.index != index:
                raise CommitError(f"task {task.id} is number {task.index}, not {index}", "plan")
            index += 1
        columns = {name: [getattr(task, name) for task in batch] for name in _COLUMNS}
        columns["shard"] = [task.index // shard_rows for task in batch]
        yield pa.table(columns, schema=PLAN_SCHEMA)


def _groups(folder: Place, start: int, columns: list[str]) -> Iterator[pa.Table]:
    """The row groups from the one that holds index `start` on."""
    try:
        with open_parquet(plan_path(folder), PLAN_SCHEMA) as file:
            before = 0
            for number in range(file.num_row_groups):
                before += file.metadata.row_group(number).num_rows
                if before > start:
                    yield file.read_row_group(number, columns=columns)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise MachineError(
            f"the plan cannot be read ({error})",
            str(plan_path(folder)),
            "Run the same command again: a damaged plan is made anew.",
        ) from error
