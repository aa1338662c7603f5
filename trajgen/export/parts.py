"""The files of a run that a view is made of, and their trajectories one by one.

Crash rule: reads only, and what is committed only; a damaged file is a MachineError.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import pyarrow as pa

from trajgen.exporters import Exporter, Unfit
from trajgen.exporters.templates import Template
from trajgen.objects import Place
from trajgen.records import Json, Tool, Trajectory
from trajgen.review.reviews import read_reviews
from trajgen.review.run import LONG, Run
from trajgen.shards import COLUMNS, SCHEMA, read_rows

REVIEW = "review"  # what somebody said of a row: keep, drop, flag or, mostly, ""
UNKNOWN = -1  # tokens of a conversation that the template cannot write


@dataclass(frozen=True, slots=True)
class Part:
    """One file of rows, and what the files made of it are called, without an ending."""

    path: Place
    name: str


def parts_of(run: Run, rejected: bool) -> list[Part]:
    """The files of kept rows in plan order and, where wanted, those of rejected ones."""
    kept = zip(run.numbers, run.rows().files, strict=True)
    parts = [Part(path, f"{number:05d}") for number, path in kept]
    if rejected:
        others = zip(run.numbers, run.rows(rejected=True).files, strict=True)
        parts += [Part(path, f"{number:05d}-rejected") for number, path in others]
    return parts


class Reader:
    """Reads what an exporter needs; with a `template` that counts, `n_tokens` is its count."""

    def __init__(self, run: Run, exporter: Exporter, template: Template | None) -> None:
        self._run = run.path
        unread = set(LONG) - {"messages", *exporter.reads}
        self._reads = [name for name in COLUMNS if name not in unread]
        self._template = template if template and template.counts else None
        self._counted: dict[Part, array[int]] = {}

    @cached_property
    def _reviews(self) -> dict[str, str]:
        return {id_: judged.review for id_, judged in read_reviews(self._run).items()}

    def table(self, part: Part, columns: Sequence[str]) -> pa.Table:
        """These columns of all rows of a part, `id` among them, nested ones as lists of text."""
        stored = [name for name in columns if name != REVIEW]
        schema = pa.schema([(name, _stored(SCHEMA.field(name).type)) for name in stored])
        table = pa.Table.from_pylist(list(read_rows(part.path, stored)), schema=schema)
        if REVIEW in columns:
            said = [self._reviews.get(str(id_), "") for id_ in table["id"].to_pylist()]
            table = table.append_column(REVIEW, pa.array(said, pa.string()))
        if self._template is None or "n_tokens" not in columns:
            return table
        at = table.schema.get_field_index("n_tokens")
        counts = [None if n == UNKNOWN else n for n in self._counts(part)]
        return table.set_column(at, "n_tokens", pa.array(counts, pa.int32()))

    def trajectories(self, part: Part, rows: Sequence[int]) -> Iterator[Trajectory]:
        """The trajectories at `rows`, which ascend; the tools of many are one object."""
        read = read_rows(part.path, self._reads, rows)
        for at, row in zip(rows, read, strict=True):
            yield self._trajectory(part, at, row)

    def _trajectory(self, part: Part, at: int, row: dict[str, Json]) -> Trajectory:
        tools = _tools(tuple(row.pop("tools"))) if "tools" in row else ()
        made = replace(Trajectory.parse(row), tools=tools)
        if self._template is None:
            return made
        known = self._counted.get(part)
        return replace(made, n_tokens=self._count(made) if known is None else known[at])

    def _counts(self, part: Part) -> array[int]:
        if part not in self._counted:
            rows = read_rows(part.path, ["id", "domain", "messages", "tools"])
            found = (self._count(Trajectory.parse(row)) for row in rows)
            self._counted[part] = array("i", found)
        return self._counted[part]

    def _count(self, made: Trajectory) -> int:
        if self._template is None:
            return made.n_tokens
        try:
            return self._template.tokens(self._template.text(made.messages, made.tools))
        except Unfit:
            return UNKNOWN


def _stored(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(pa.string())
    return kind


@lru_cache(maxsize=64)
def _tools(written: tuple[str, ...]) -> tuple[Tool, ...]:
    return tuple(json.loads(tool) for tool in written)
