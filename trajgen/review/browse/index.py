"""The small columns of all rows of a run, in memory: what to choose from, and who passes.

A row's position counts the kept rows first, then the rejected ones, each in plan order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

from trajgen.records import Json
from trajgen.review.reading import one_line
from trajgen.review.reviews import Judgement
from trajgen.review.rows import Rows

COLUMNS = ("id", "domain", "seed_id", "strategy", "outcome", "reasons")
Choice = tuple[str, str, int]  # a value, the value as it is shown, rows
UNJUDGED = "none"  # the filter for rows nobody judged


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for; "" looks for everything. `fate` is kept or rejected."""

    fate: str = ""
    reason: str = ""
    strategy: str = ""
    seed: str = ""
    outcome: str = ""
    review: str = ""
    tool: str = ""
    text: str = ""

    @classmethod
    def parse(cls, given: Mapping[str, object]) -> Query:
        """A query out of a page's message; what is no text there counts as ""."""
        values = {f.name: given.get(f.name, "") for f in fields(cls)}
        return cls(**{name: v if isinstance(v, str) else "" for name, v in values.items()})


class Index:
    """Which rows pass a query's quick part; columns are read when they are first needed."""

    def __init__(self, kept: Rows, rejected: Rows) -> None:
        self._kept, self._rejected = kept, rejected

    @cached_property
    def n_kept(self) -> int:
        return len(self._kept)

    def __len__(self) -> int:
        return self.n_kept + len(self._rejected)

    def at(self, position: int) -> tuple[Rows, int]:
        """The rows that hold a position, and the index there."""
        if position < self.n_kept:
            return self._kept, position
        return self._rejected, position - self.n_kept

    def passing(self, query: Query, judged: Mapping[str, Judgement]) -> Sequence[int]:
        """The positions, in order, of the rows that pass all but `tool` and `text`."""
        first = self.n_kept if query.fate == "rejected" else 0
        positions: Sequence[int] = range(first, self.n_kept if query.fate == "kept" else len(self))
        for name, value in (
            ("strategy", query.strategy), ("seed_id", query.seed), ("outcome", query.outcome),
        ):  # fmt: skip
            if value:
                column = self._columns[name]
                positions = [i for i in positions if column[i] == value]
        if query.reason:
            reasons = self._columns["reasons"]
            positions = [i for i in positions if query.reason in reasons[i]]
        if query.review:
            ids = self._columns["id"]
            positions = [i for i in positions if _word(judged.get(ids[i])) == query.review]
        return positions

    def choices(self) -> dict[str, list[Choice]]:
        """What each filter can be set to, with the number of rows, the most frequent first.

        Rows are not counted by tool: that takes reading them all.
        """
        return {
            "strategy": _counted(self._columns["strategy"]),
            "seed": _counted(self._columns["seed_id"]),
            "outcome": _counted(self._columns["outcome"]),
            "reason": _counted(code for codes in self._columns["reasons"] for code in codes),
            "tool": [(name, one_line(name), 0) for name in self._tools()],
        }

    @cached_property
    def _columns(self) -> dict[str, list[Json]]:
        kept, rejected = (rows.table(COLUMNS) for rows in (self._kept, self._rejected))
        return {
            name: [*kept.column(name).to_pylist(), *rejected.column(name).to_pylist()]
            for name in COLUMNS
        }

    def _tools(self) -> list[str]:
        """The names of every domain's tools, as its first row lists them."""
        domains = self._columns["domain"]
        found: set[str] = set()
        for domain in set(domains):
            rows, index = self.at(domains.index(domain))
            found |= {tool["function"]["name"] for tool in rows[index].tools}
        return sorted(found)


def _word(said: Judgement | None) -> str:
    return said.review if said else UNJUDGED


def _counted(values: Iterable[str]) -> list[Choice]:
    counts = sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))
    return [(value, one_line(value), count) for value, count in counts]
