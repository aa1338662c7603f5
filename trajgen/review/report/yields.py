"""How many rows a run gave, of how many tasks, and where they were lost. Crash rule: pure."""

from __future__ import annotations

from collections.abc import Iterator

from trajgen.review.report.blocks import (
    Block,
    Cell,
    Kind,
    Section,
    Table,
    Text,
    count,
    named,
    percent,
    share,
    word,
)
from trajgen.review.report.gather import Gathered

TITLES = {
    "strategy": "strategy",
    "persona": "persona",
    "fault": "planned fault",
    "domain": "domain",
}
NONE = "(none)"
FATES: tuple[Kind, ...] = ("kept", "rejected", "dead")


def yields(of: Gathered) -> Section:
    """The funnel, then kept, rejected and dead by what a task was."""
    return Section(
        "yield",
        "Yield",
        "A task that could not be run is dead; of the others, filters keep or reject the row.",
        (_funnel(of), *_ended(of), *_by(of)),
    )


def fates(of: Gathered, dimension: str, value: str) -> tuple[int, int, int]:
    """Kept, rejected and dead tasks with this value."""
    return (*of.tally.of(dimension, value), of.dead_by[dimension, value])


def values(of: Gathered, dimension: str) -> list[str]:
    """The values that any task that is done has, in order."""
    dead = {value for name, value in of.dead_by if name == dimension}
    return sorted({*of.tally.values(dimension), *dead})


def _funnel(of: Gathered) -> Table:
    status = of.status
    played = status["kept"] + status["rejected"]
    steps: list[tuple[str, int, Kind]] = [
        ("tasks planned", status["planned"], "plain"),
        ("tasks done", status["done"], "plain"),
        ("rolled out", played, "plain"),
        ("kept", status["kept"], "kept"),
    ]
    planned = status["planned"]
    rows = [(word(name), count(n), share(n, planned, kind)) for name, n, kind in steps]
    if target := of.record["pipeline"].get("target"):
        rows.append((word("kept rows wanted"), count(target), Cell("", number=True)))
    return Table("From tasks to kept rows", ("", "n", "of the plan"), tuple(rows))


def _ended(of: Gathered) -> Iterator[Block]:
    refused = of.status["quarantined"]
    yield Text(
        f"Seeds that tasks come from: {of.planned_seeds:,}. Seed lines that were refused, and are "
        f"in quarantine.jsonl: {refused:,}."
    )
    if of.tally.outcomes:
        rows = of.tally.outcomes.most_common()
        yield Table(
            "How kept rows end",
            ("outcome", "rows", "share"),
            tuple((named(k), count(n), share(n, of.tally.kept, "kept")) for k, n in rows),
        )
    if of.dead:
        rows = of.dead.most_common()
        yield Table(
            "Why tasks are dead",
            ("error", "tasks", "of tasks done"),
            tuple((named(k), count(n), share(n, of.status["done"], "dead")) for k, n in rows),
        )


def _by(of: Gathered) -> Iterator[Table]:
    for dimension, title in TITLES.items():
        found = values(of, dimension)
        if len(found) > 1:
            rows = (fate_cells(of, dimension, value, value or NONE) for value in found)
            head = (title, *FATES, "yield")
            yield Table(f"Yield by {title}", head, tuple(rows))


def fate_cells(of: Gathered, dimension: str, value: str, shown: str) -> tuple[Cell, ...]:
    """One row of a table of fates: the name, kept, rejected, dead, yield."""
    kept, rejected, dead = fates(of, dimension, value)
    counts = (count(kept), count(rejected), count(dead))
    return (named(shown), *counts, share(kept, kept + rejected + dead, "kept"))


def headline(of: Gathered) -> str:
    """The run in a sentence."""
    status = of.status
    if not status["done"]:
        return "Nothing is done yet."
    part = percent(status["kept"] / status["done"])
    tokens = sum(n * rows for n, rows in of.tally.lengths["n_target_tokens"].kept.items())
    left = status["planned"] - status["done"]
    owed = f"; {left:,} tasks of the plan are left" if left else ""
    state = "" if status["complete"] else f" The run is not finished{owed}."
    return (
        f"{status['kept']:,} of {status['done']:,} tasks gave a row that was kept ({part}), with "
        f"{tokens:,} tokens to train on.{state}"
    )
