"""Why rows were rejected: by reason, and each reason by strategy, tool and seed.

Crash rule: pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from trajgen.review.codes import explain
from trajgen.review.report.blocks import (
    Block,
    Cell,
    Section,
    Table,
    Text,
    count,
    named,
    percent,
    shaded,
    share,
    word,
)
from trajgen.review.report.gather import Gathered
from trajgen.review.report.yields import FATES, fate_cells, fates, values

CODES = 8  # columns of a table by reason
TOOLS, SEEDS = 25, 20  # rows of one
FEW = 5  # tasks of a seed below which its yield says little


def reasons(of: Gathered) -> Section:
    about = "A row may have several reasons and then counts under each."
    if not of.tally.rejected:
        return Section("reasons", "Reasons", "", (Text("No row was rejected."),))
    blocks = (_codes(of), _strategies(of), *_tools(of), *_seeds(of))
    return Section("reasons", "Reasons", about, blocks)


def ordered(of: Gathered) -> list[str]:
    """The codes, those of most rows first."""
    return sorted(of.tally.codes, key=lambda code: (-of.tally.codes[code], code))


def _codes(of: Gathered) -> Table:
    codes, done = of.tally.codes, of.status["done"]
    rows = (
        (named(code), word(explain(code)), count(codes[code]), share(codes[code], done, "rejected"))
        for code in ordered(of)
    )
    return Table(
        "Rejected rows by reason",
        ("reason", "means", "rows", "of tasks done"),
        tuple(rows),
        wide=True,
    )


def _strategies(of: Gathered) -> Table:
    codes, strategies = ordered(of)[:CODES], values(of, "strategy")
    tasks = {name: sum(fates(of, "strategy", name)) for name in strategies}
    part = {
        (name, code): of.tally.reasons["strategy", name, code] / tasks[name]
        for name in strategies
        for code in codes
    }
    most = max(part.values(), default=0)
    rows = (
        (named(name), count(tasks[name]), *(_part(part[name, code], most) for code in codes))
        for name in strategies
    )
    head = ("strategy", "tasks", *codes)
    return Table("Share of a strategy's tasks with each reason", head, tuple(rows), wide=True)


def _part(ratio: float, most: float) -> Cell:
    return shaded(ratio, most, percent(ratio))


def _tools(of: Gathered) -> Iterator[Block]:
    codes, broke = ordered(of)[:CODES], of.tally.broke
    by_tool: Counter[tuple[str, str]] = Counter()
    for (domain, tool, _), n in broke.items():
        by_tool[domain, tool] += n
    several = len({domain for domain, _ in by_tool}) > 1
    most, rows = max(broke.values(), default=0), []
    for (domain, tool), whole in sorted(by_tool.items(), key=lambda i: (-i[1], i[0]))[:TOOLS]:
        found = (broke[domain, tool, code] for code in codes)
        name = f"{domain}: {tool}" if several else tool
        rows.append((named(name), count(whole), *(shaded(n, most, f"{n:,}") for n in found)))
    caption = "Rejected rows by the tool at whose call or answer they broke"
    yield Table(caption, ("tool", "breaks", *codes), tuple(rows), wide=True)


def _seeds(of: Gathered) -> Iterator[Block]:
    """The seeds of which least is kept."""
    every = values(of, "seed_id")
    enough = [seed for seed in every if sum(fates(of, "seed_id", seed)) >= FEW] or every
    worst = sorted(enough, key=lambda seed: (_yield(of, seed), seed))[:SEEDS]
    rows = (
        (*fate_cells(of, "seed_id", seed, of.origin.name(seed)), named(_most(of, seed)))
        for seed in worst
    )
    few = f", of those with at least {FEW} tasks" if len(enough) < len(every) else ""
    caption = f"The {len(worst)} seeds with the lowest yield{few}" if worst else "Seeds"
    yield Table(caption, ("seed", *FATES, "yield", "most frequent reason"), tuple(rows), wide=True)


def _yield(of: Gathered, seed: str) -> float:
    kept, rejected, dead = fates(of, "seed_id", seed)
    return kept / (kept + rejected + dead)


def _most(of: Gathered, seed: str) -> str:
    found = [(of.tally.reasons["seed_id", seed, code], code) for code in ordered(of)]
    n, code = max(found, key=lambda pair: pair[0], default=(0, ""))
    return f"{code} {n:,}" if n else ""
