"""Which trajectories go into a view, in which split, and how many rows of each.

Conditions first, then splits by seed, then the sample; all drawn from ids, so the same run
and the same words always choose the same. A composed trajectory tells the wishes of two seeds:
where they are in different splits it is in none.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trajgen.errors import InputError
from trajgen.export.parts import Part, Reader
from trajgen.export.where import Where
from trajgen.ids import digest

TRAIN = "train"
NONE, ALL = -1, -1
_FIRST = 256  # trajectories that tell how many rows one becomes
Split = tuple[str, float]
Rows = Callable[[Part, Sequence[int]], Sequence[int]]  # of each trajectory of a part at such rows


@dataclass(frozen=True, slots=True)
class Pick:
    """A trajectory of a part by its row, its split, and how many of its rows at most."""

    row: int
    split: int
    limit: int = ALL


@dataclass(slots=True)
class Candidates:
    """What fulfils the conditions, in the order of the parts: a few bytes a trajectory."""

    parts: array[int] = field(default_factory=lambda: array("I"))
    rows: array[int] = field(default_factory=lambda: array("I"))
    seeds: array[int] = field(default_factory=lambda: array("I"))
    partners: array[int] = field(default_factory=lambda: array("i"))
    ranks: array[int] = field(default_factory=lambda: array("Q"))
    names: dict[str, int] = field(default_factory=dict)  # of seeds

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, part: int, row: int, id_: str, seed: str, partner: str) -> None:
        self.parts.append(part)
        self.rows.append(row)
        self.seeds.append(self._code(seed))
        self.partners.append(self._code(partner) if partner else NONE)
        self.ranks.append(int(digest(["export", id_])[:16], 16))

    def _code(self, seed: str) -> int:
        return self.names.setdefault(seed, len(self.names))


def candidates(
    parts: Sequence[Part], reader: Reader, where: Where | None, partners: Mapping[str, str]
) -> Candidates:
    """The trajectories of `parts` for which `where` holds; `partners` are second seeds by id."""
    found = Candidates()
    names = {"id", "seed_id", *(where.names if where else ())}
    for number, part in enumerate(parts):
        table = reader.table(part, sorted(names))
        rows = where.matching(table) if where else range(table.num_rows)
        ids, seeds = (map(str, table[name].to_pylist()) for name in ("id", "seed_id"))
        named = list(zip(ids, seeds, strict=True))
        for row in rows:
            id_, seed = named[row]
            found.add(number, row, id_, seed, partners.get(id_, ""))
    return found


def assigned(found: Candidates, splits: Sequence[Split]) -> array[int]:
    """The split of each candidate: 0 is train, then those of `splits` in order, NONE of two.

    Each split takes whole seeds, in an order drawn from their ids, until it has its share of
    the trajectories. Raises InputError when a split would be empty.
    """
    if not splits:
        return array("b", bytes(len(found)))
    sizes, of_seed = Counter(found.seeds), dict.fromkeys(found.names.values(), 0)
    left = iter(sorted(found.names, key=lambda name: digest(["split", name])))
    for number, (_, share) in enumerate(splits, 1):
        taken = 0
        while taken < share * len(found) and (name := next(left, None)) is not None:
            of_seed[found.names[name]] = number
            taken += sizes[found.names[name]]
    both = zip(found.seeds, found.partners, strict=True)
    result = array("b", (_one(of_seed, seed, partner) for seed, partner in both))
    for number, (name, _) in enumerate([(TRAIN, 0.0), *splits]):
        if number not in result:
            raise InputError(
                f"the split {name!r} would be empty: a split takes whole seeds, and there are "
                f"{len(sizes)}",
                "--split",
                "Choose another share, or leave --split out.",
            )
    return result


def _one(of_seed: Mapping[int, int], seed: int, partner: int) -> int:
    split = of_seed[seed]
    return split if partner == NONE or of_seed[partner] == split else NONE


def everything(found: Candidates, splits: array[int]) -> dict[int, list[Pick]]:
    """A pick for each candidate that is in a split, by part."""
    picks: dict[int, list[Pick]] = {}
    for part, row, split in zip(found.parts, found.rows, splits, strict=True):
        if split != NONE:
            picks.setdefault(part, []).append(Pick(row, split))
    return picks


def sample(
    found: Candidates, splits: array[int], n: int, parts: Sequence[Part], count: Rows
) -> dict[int, list[Pick]]:
    """Picks that give exactly `n` rows, drawn by rank; the last trajectory may give some of
    its rows. Raises InputError when there are fewer."""
    drawn = [i for i in range(len(found)) if splits[i] != NONE]
    drawn.sort(key=found.ranks.__getitem__)
    picked: dict[int, int] = {}  # candidate -> how many of its rows
    missing, at = n, 0
    while missing and at < len(drawn):
        given = n - missing  # rows, of the trajectories before `at`
        enough = -(-missing * at // given) if given else max(at, _FIRST)
        some = drawn[at : at + min(enough, missing)]
        counted = _counted(found, sorted(some), parts, count)
        counts = dict(zip(sorted(some), counted, strict=True))
        for candidate in some:
            if missing:
                rows = counts[candidate]
                picked[candidate] = ALL if rows <= missing else missing
                missing -= min(rows, missing)
        at += len(some)
    if missing:
        raise InputError(
            f"there are {n - missing} rows, not {n}", "-n", "Ask for fewer, or run on for more."
        )
    return _in_order(found, splits, picked)


def _counted(
    found: Candidates, some: Sequence[int], parts: Sequence[Part], count: Rows
) -> Iterator[int]:
    by_part: dict[int, list[int]] = {}
    for candidate in some:
        by_part.setdefault(found.parts[candidate], []).append(found.rows[candidate])
    for part, rows in by_part.items():
        yield from count(parts[part], rows)


def _in_order(
    found: Candidates, splits: array[int], picked: Mapping[int, int]
) -> dict[int, list[Pick]]:
    picks: dict[int, list[Pick]] = {}
    for candidate in sorted(picked):
        pick = Pick(found.rows[candidate], splits[candidate], picked[candidate])
        picks.setdefault(found.parts[candidate], []).append(pick)
    return picks
