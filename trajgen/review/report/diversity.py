"""How far kept rows are from the seeds they were made from, and from each other.

Measured on at most SAMPLE kept rows, spread evenly over the run. Words are those that user
and agent say and those of the calls; observations are left out, since conversations about
one state share them.

Crash rule: pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from trajgen.filters.reading import exchanges, turns
from trajgen.json_text import canonical
from trajgen.records import Json, Message, Seed
from trajgen.sketches import words_of

SAMPLE = 4000  # kept rows that are compared
COMPARED = ("id", "seed_id", "strategy", "messages")

Pairs = frozenset[tuple[str, str]]


@dataclass(slots=True)
class Group:
    """The rows of one strategy."""

    rows: int = 0
    copied: list[float] = field(default_factory=list)
    calls: int = 0
    from_seed: int = 0
    distinct: set[str] = field(default_factory=set)

    @property
    def median(self) -> float | None:
        """Median copy ratio; None where no seed was found."""
        return median(self.copied) if self.copied else None


class Diversity:
    """Takes in kept rows; `partners` names the second seed of a `compose` by the row's id.

    The copy ratio of a row is the share of its word pairs that stand in its seed, or in
    either seed of a `compose`. A call is its tool with its arguments.
    """

    def __init__(self, seeds: Mapping[str, Seed], partners: Mapping[str, str]) -> None:
        self.seeds, self.partners = seeds, partners
        self.groups: dict[str, Group] = {}
        self.openings: set[str] = set()
        self.paths: set[tuple[str, ...]] = set()
        self.rows = 0
        self._pairs: dict[str, Pairs] = {}
        self._calls: dict[str, frozenset[str]] = {}

    @property
    def copied(self) -> list[float]:
        """Every copy ratio that was measured."""
        return [ratio for group in self.groups.values() for ratio in group.copied]

    @property
    def whole(self) -> Group:
        """All strategies together."""
        groups = self.groups.values()
        return Group(
            self.rows,
            self.copied,
            sum(group.calls for group in groups),
            sum(group.from_seed for group in groups),
            set().union(*(group.distinct for group in groups)),
        )

    def seed_calls(self) -> tuple[int, int]:
        """The calls of the seeds that were found: all, and distinct ones."""
        every = [text for seed in self.seeds.values() for text in _calls(seed.messages)]
        return len(every), len(set(every))

    def add(self, row: Mapping[str, Json], messages: Sequence[Message]) -> None:
        """Take in a kept row with its messages."""
        self.rows += 1
        group = self.groups.setdefault(row["strategy"], Group())
        group.rows += 1
        sources = [row["seed_id"], self.partners.get(row["id"], "")]
        known = [source for source in sources if source in self.seeds]
        pairs = _pairs(messages)
        if known and pairs:
            theirs = frozenset[tuple[str, str]]().union(*map(self._seed_pairs, known))
            group.copied.append(len(pairs & theirs) / len(pairs))
        said = _calls(messages)
        old = frozenset[str]().union(*map(self._seed_calls, known))
        group.calls += len(said)
        group.from_seed += sum(text in old for text in said)
        group.distinct.update(said)
        self.openings.add(next((turn.text for turn in turns(messages) if turn.role == "user"), ""))
        self.paths.add(tuple(call.tool for call, _, _ in exchanges(messages)))

    def _seed_pairs(self, seed_id: str) -> Pairs:
        if seed_id not in self._pairs:
            self._pairs[seed_id] = _pairs(self.seeds[seed_id].messages)
        return self._pairs[seed_id]

    def _seed_calls(self, seed_id: str) -> frozenset[str]:
        if seed_id not in self._calls:
            self._calls[seed_id] = frozenset(_calls(self.seeds[seed_id].messages))
        return self._calls[seed_id]


def _pairs(messages: Sequence[Message]) -> Pairs:
    words, _ = words_of(messages)
    return frozenset(pairwise(words))


def _calls(messages: Sequence[Message]) -> list[str]:
    return [f"{call.tool} {canonical(call.arguments)}" for call, _, _ in exchanges(messages)]
