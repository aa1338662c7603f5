"""Rows of a view on disk: Parquet of the exporter's schema, or JSON Lines; a file a part and
split.

Crash rule: works in a folder that nobody sees yet (durable.placed_folder).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from trajgen.durable import sha256_of
from trajgen.errors import CommitError
from trajgen.export.choose import ALL, Pick
from trajgen.export.parts import Part, Reader
from trajgen.exporters import Exporter, Unfit
from trajgen.records import Json, Trajectory
from trajgen.sealed import VERSION, check_parquet, write_parquet

REFUSED = "refused.jsonl"
_TABLE = 256  # rows that are Python objects at once


@dataclass(slots=True)
class Written:
    """What a view holds: rows and trajectories by split, tokens by power of two, licences."""

    rows: Counter[str] = field(default_factory=Counter)
    trajectories: Counter[str] = field(default_factory=Counter)
    seeds: dict[str, set[str]] = field(default_factory=dict)
    tokens: Counter[int] = field(default_factory=Counter)
    licenses: Counter[str] = field(default_factory=Counter)
    strategies: Counter[str] = field(default_factory=Counter)
    longest: int = 0
    refused: int = 0
    files: dict[str, dict[str, Json]] = field(default_factory=dict)

    def count(self, split: str, trajectory: Trajectory, rows: int) -> None:
        self.rows[split] += rows
        self.trajectories[split] += 1
        self.seeds.setdefault(split, set()).add(trajectory.seed_id)
        self.tokens[max(trajectory.n_tokens, 1).bit_length()] += 1
        self.licenses[trajectory.seed_license] += 1
        self.strategies[trajectory.strategy] += 1
        self.longest = max(self.longest, trajectory.n_tokens)


def write(
    folder: Path,
    parts: Sequence[Part],
    picks: Mapping[int, Sequence[Pick]],
    splits: Sequence[str],
    reader: Reader,
    exporter: Exporter,
) -> Written:
    """Write the picked trajectories part by part, and those that the format cannot hold into
    `refused.jsonl`. Raises CommitError when a row does not fit the exporter's schema."""
    done = Written(rows=Counter(dict.fromkeys(splits, 0)))
    with open(folder / REFUSED, "w", encoding="utf-8") as refused:
        for number, chosen in sorted(picks.items()):
            rows = [_Rows(exporter.schema, parts[number].name) for _ in splits]
            found = reader.trajectories(parts[number], [pick.row for pick in chosen])
            for pick, trajectory in zip(chosen, found, strict=True):
                try:
                    made = list(exporter.rows(trajectory))
                except Unfit as why:
                    done.refused += 1
                    refused.write(_line({"id": trajectory.id, "reason": str(why)}))
                    continue
                made = made if pick.limit == ALL else made[: pick.limit]
                if made:
                    rows[pick.split].add(made)
                    done.count(splits[pick.split], trajectory, len(made))
            for split, part in zip(splits, rows, strict=True):
                part.write(folder / split, done)
    if not done.refused:
        (folder / REFUSED).unlink()
    return done


class _Rows:
    """The rows of one part in one split, as Arrow tables or lines."""

    def __init__(self, schema: pa.Schema | None, name: str) -> None:
        self._schema, self._name = schema, name
        self._fresh: list[dict[str, Json]] = []
        self._tables: list[pa.Table] = []
        self._lines: list[bytes] = []

    def add(self, rows: Iterable[dict[str, Json]]) -> None:
        if self._schema is None:
            self._lines += [_line(row).encode("utf-8", "replace") for row in rows]
            return
        self._fresh += rows
        if len(self._fresh) >= _TABLE:
            self._flush()

    def write(self, folder: Path, done: Written) -> None:
        """Write what there is, if anything, and note it."""
        self._flush()
        if not self._tables and not self._lines:
            return
        folder.mkdir(exist_ok=True)
        path = folder / f"{self._name}.{'jsonl' if self._schema is None else 'parquet'}"
        if self._schema is None:
            path.write_bytes(b"".join(self._lines))
            rows = len(self._lines)
        else:
            rows = _write_parquet(path, self._schema, self._tables)
        entry = {"sha256": sha256_of(path), "bytes": path.stat().st_size, "rows": rows}
        done.files[path.relative_to(folder.parent).as_posix()] = entry

    def _flush(self) -> None:
        if self._fresh and self._schema is not None:
            self._tables.append(to_table(self._fresh, self._schema))
            self._fresh = []


def to_table(rows: Sequence[Mapping[str, Json]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of `schema`; columns of Arrow JSON are made of text.

    Raises CommitError for a key too many or too few, or a value of another type.
    """
    for row in rows:
        if row.keys() != set(schema.names):
            wrong = ", ".join(sorted(row.keys() ^ set(schema.names)))
            raise CommitError(f"a row and the schema of the view differ: {wrong}")
    columns = {name: [row[name] for row in rows] for name in schema.names}
    try:
        stored = pa.schema([(f.name, _stored(f.type)) for f in schema])
        return pa.table(columns, schema=stored).cast(schema)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise CommitError(f"a row does not fit the schema of the view ({error})") from error


def _write_parquet(path: Path, schema: pa.Schema, tables: Sequence[pa.Table]) -> int:
    whole = pa.concat_tables(tables)
    with open(path, "w+b") as file:
        write_parquet(file, schema.with_metadata(VERSION), [whole], {})
    check_parquet(schema, whole.num_rows)(path)
    return whole.num_rows


def _stored(kind: pa.DataType) -> pa.DataType:
    """`kind` with text in place of Arrow JSON, which nothing can be put into."""
    if isinstance(kind, pa.JsonType):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(pa.field("element", _stored(kind.value_type)))
    return kind


def _line(row: Mapping[str, Json]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
