"""Results on disk: one fixed Arrow schema, and the commit of a shard.

A shard is a fixed range of the plan and has three files: `rejects/NNNNN.parquet`,
`dead/NNNNN.jsonl` and, last, `shards/train-NNNNN.parquet`. The rename of the last is the
commit. Its footer carries the shard's counts and the sha256 of the other two, so a run is
resumed without reading rows.

Crash rule: killed before that rename, the whole shard is owed again and both side files
are written anew; killed after it, the shard is done.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trajgen.durable import place
from trajgen.errors import CommitError, MachineError
from trajgen.ids import digest
from trajgen.json_text import canonical
from trajgen.objects import Place, readable
from trajgen.sealed import VERSION, batches, check_parquet, open_parquet, write_parquet

Row = dict[str, Any]

_JSON_LIST = pa.list_(pa.field("element", pa.json_()))
_TEXT_LIST = pa.list_(pa.field("element", pa.string()))
_NESTED = ("messages", "tools", "steps")
_COUNTS = ("n_turns", "n_tool_calls", "n_tokens", "n_target_tokens")
COLUMNS = (
    *("id", "domain", "seed_id", "strategy", "persona", "fault", "messages", "tools", "steps"),
    *("state_initial", "state_final", "outcome", "scores", *_COUNTS),
    *("agent_model", "user_model", "world_model", "run_id", "prompt_digest", "seed_license"),
    *("schema_version", "reasons"),
)


def _type(column: str) -> pa.DataType:
    if column in _NESTED:
        return _JSON_LIST
    if column == "reasons":
        return _TEXT_LIST
    return pa.int32() if column in _COUNTS else pa.string()


SCHEMA = pa.schema([pa.field(name, _type(name)) for name in COLUMNS], metadata=VERSION)
_AS_TEXT = pa.schema(
    [pa.field(f.name, _TEXT_LIST if f.name in _NESTED else f.type) for f in SCHEMA]
)
_INFO = "trajgen.shard"
_NAMES = {
    "shards": re.compile(r"train-(\d{5,})\.parquet"),
    "rejects": re.compile(r"(\d{5,})\.parquet"),
    "dead": re.compile(r"(\d{5,})\.jsonl"),
}


def shard_path(folder: Place, number: int) -> Place:
    """The kept rows of shard `number`."""
    return folder / "shards" / f"train-{number:05d}.parquet"


def rejects_path(folder: Place, number: int) -> Place:
    """The rejected rows of shard `number`."""
    return folder / "rejects" / f"{number:05d}.parquet"


def dead_path(folder: Place, number: int) -> Place:
    """The tasks of shard `number` that could not be run."""
    return folder / "dead" / f"{number:05d}.jsonl"


def is_shard_file(name: str) -> bool:
    """Whether `name`, relative to a run folder, is that of a shard's file."""
    part, _, file = name.partition("/")
    return part in _NAMES and _NAMES[part].fullmatch(file) is not None


def shard_numbers(folder: Place, sides: bool = False) -> list[int]:
    """The numbers of the shards that are there by name, in order; with `sides`, those of
    which there is any file."""
    parts = ("shards", "rejects", "dead") if sides else ("shards",)
    names = (_NAMES[part].fullmatch(p.name) for part in parts for p in (folder / part).glob("*"))
    return sorted({int(name[1]) for name in names if name})


@dataclass(frozen=True)
class ShardResult:
    """What became of the tasks [first, first + tasks) of the plan, each list in plan order.

    Rows are those of `Trajectory.row`; a dead task is an object with at least its `id`.
    Raises CommitError when a task is missing, counted twice or in the wrong list.
    """

    number: int
    first: int
    tasks: int
    kept: list[Row]
    rejected: list[Row]
    dead: list[dict[str, Any]]

    def __post_init__(self) -> None:
        found = f"{len(self.kept)} kept + {len(self.rejected)} rejected + {len(self.dead)} dead"
        if len(self.kept) + len(self.rejected) + len(self.dead) != self.tasks:
            raise CommitError(f"{found} are not {self.tasks} tasks", f"shard {self.number}")
        if len(set(self.ids())) != self.tasks:
            raise CommitError("a task was given twice", f"shard {self.number}")
        if any(row["reasons"] for row in self.kept) or not all(
            row["reasons"] for row in self.rejected
        ):
            raise CommitError("rejected rows have reasons, kept rows none", f"shard {self.number}")

    def ids(self) -> list[str]:
        """Every task's id: kept, rejected, dead."""
        return [row["id"] for part in (self.kept, self.rejected, self.dead) for row in part]


@dataclass(frozen=True)
class ShardInfo:
    """What the footer of a committed shard says of it.

    `run` is the run's digest; `ids` that of the sorted task ids. `reasons` counts rejected
    rows by code, `outcomes` and `licenses` count kept rows, tokens are those of kept rows.
    `fingerprints` and `sketches` belong to the kept rows, in order. `sha256` is that of the
    kept file: it cannot stand in the file, and is empty when only the footer was read.
    """

    number: int
    first: int
    tasks: int
    kept: int
    rejected: int
    dead: int
    reasons: dict[str, int]
    outcomes: dict[str, int]
    licenses: dict[str, int]
    fingerprints: list[str]
    n_tokens: int
    n_target_tokens: int
    run: str
    ids: str
    rejects_sha256: str
    dead_sha256: str
    sketches: list[str] = field(default_factory=list)
    sha256: str = field(default="", compare=False)

    def counts(self) -> ShardInfo:
        """The same without what it says of single rows: small, however many shards there are."""
        return replace(self, fingerprints=[], sketches=[])


def describe(
    result: ShardResult,
    fingerprints: Sequence[str],
    run: str,
    sides: tuple[str, str],
    sketches: Sequence[str] = (),
) -> ShardInfo:
    """The counts of a shard, from its rows; `sides` are the sha256 of rejects and dead."""
    return ShardInfo(
        number=result.number,
        first=result.first,
        tasks=result.tasks,
        kept=len(result.kept),
        rejected=len(result.rejected),
        dead=len(result.dead),
        reasons=counted(code for row in result.rejected for code in set(row["reasons"])),
        outcomes=counted(row["outcome"] for row in result.kept),
        licenses=counted(row["seed_license"] for row in result.kept),
        fingerprints=list(fingerprints),
        n_tokens=sum(row["n_tokens"] for row in result.kept),
        n_target_tokens=sum(row["n_target_tokens"] for row in result.kept),
        run=run,
        ids=digest(sorted(result.ids())),
        rejects_sha256=sides[0],
        dead_sha256=sides[1],
        sketches=list(sketches),
    )


def counted(values: Iterable[str]) -> dict[str, int]:
    """How often each value comes, sorted by value."""
    return dict(sorted(Counter(values).items()))


def commit(
    folder: Place,
    result: ShardResult,
    fingerprints: Sequence[str] = (),
    run: str = "",
    sketches: Sequence[str] = (),
) -> ShardInfo:
    """Write the three files of a shard, the kept rows last; that rename is the commit.

    Raises CommitError when the disk fails or rows do not fit the schema; then nothing is
    committed.
    """
    number, target = result.number, shard_path(folder, result.number)
    if target.exists():
        raise CommitError("is committed already", str(target))
    kept, rejected = to_table(result.kept, target), to_table(result.rejected, target)
    rejects_sha256 = _place_rows(rejects_path(folder, number), rejected, {})
    dead = "".join(f"{canonical(record)}\n" for record in result.dead)
    dead_sha256 = place(dead_path(folder, number), lambda file: _write(file, dead))
    info = describe(result, fingerprints, run, (rejects_sha256, dead_sha256), sketches)
    stored = asdict(info)
    stored.pop("sha256")
    sha256 = _place_rows(target, kept, {_INFO: json.dumps(stored)}, once=True)
    return replace(info, sha256=sha256)


def read_info(path: Place) -> ShardInfo | None:
    """What a shard's footer says, or None when it cannot be read. Reads no rows."""
    try:
        stored = json.loads((pq.read_metadata(readable(path)).metadata or {})[_INFO.encode()])
        return ShardInfo(**{f.name: stored[f.name] for f in fields(ShardInfo) if f.name in stored})
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return None


def read_rows(
    path: Place, columns: Sequence[str] | None = None, at: Sequence[int] | None = None
) -> Iterator[Row]:
    """The rows of a shard or rejects file, one by one; nested columns as lists of JSON text.

    Those alone at `at`, numbers from 0 that ascend, where it is given. Page checksums are
    verified. Raises MachineError when the file is damaged or has another schema, types of
    unknown Arrow extensions included.
    """
    try:
        with open_parquet(path, SCHEMA) as file:
            for batch in batches(file, columns, at):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise MachineError(
            f"cannot be read ({error})",
            str(path),
            "`trajgen verify` names every damaged file; running again makes those shards anew.",
        ) from error


def to_table(rows: Sequence[Mapping[str, Any]], path: Place) -> pa.Table:
    """Rows as an Arrow table of SCHEMA; half surrogate pairs become question marks.

    Raises CommitError naming `path` when a column is missing, null or of another type.
    """
    try:
        columns = {name: [row[name] for row in rows] for name in COLUMNS}
        table = _text_table(columns)
        if any(map(_has_null, table.columns)):
            raise CommitError("a row holds a null", str(path))
        return table.cast(SCHEMA)
    except (pa.ArrowException, KeyError, TypeError, OverflowError) as error:
        raise CommitError(f"a row does not fit the schema ({error!r})", str(path)) from error


def _place_rows(path: Place, table: pa.Table, info: Mapping[str, str], once: bool = False) -> str:
    return place(
        path,
        lambda file: write_parquet(file, SCHEMA, [table], info),
        check_parquet(SCHEMA, table.num_rows),
        once,
    )


def _text_table(columns: dict[str, list[Any]]) -> pa.Table:
    try:
        return pa.table(columns, schema=_AS_TEXT)
    except UnicodeEncodeError:
        return pa.table({k: [_encodable(v) for v in vs] for k, vs in columns.items()}, _AS_TEXT)


def _has_null(column: pa.ChunkedArray[Any]) -> bool:
    inner = pa.types.is_list(column.type) and pc.list_flatten(column).null_count
    return bool(column.null_count or inner)


def _encodable(value: Any) -> Any:
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _write(file: BinaryIO, text: str) -> None:
    file.write(text.encode("utf-8", "replace"))
