"""How lengths are spread, and how far kept rows are from their seeds. Crash rule: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from trajgen.review.report.blocks import Block, Cell, Section, Table, Text, count, named, share
from trajgen.review.report.diversity import Group
from trajgen.review.report.gather import Gathered
from trajgen.review.report.histogram import histogram

LENGTHS = {
    "n_turns": ("Turns of the user", "turns"),
    "n_tool_calls": ("Tool calls", "calls"),
    "n_tokens": ("Tokens of a row", "tokens"),
    "n_target_tokens": ("Tokens trained on", "tokens"),
}
HEAD = ("strategy", "rows", "median copy ratio", "calls", "distinct", "in its seed")


def lengths(of: Gathered) -> Section:
    about = (
        "Bars above the line are kept rows, bars below it rejected ones, each side to a scale of "
        "its own. The last bar holds all longer ones too."
    )
    found = ((of.tally.lengths[name], *words) for name, words in LENGTHS.items())
    blocks = [
        histogram(title, unit, sides.kept, sides.rejected)
        for sides, title, unit in found
        if any(sides.kept) or any(sides.rejected)  # tokens are not counted everywhere
    ]
    return Section("lengths", "Lengths and tokens", about, blocks)


def diversity(of: Gathered) -> Section:
    about = (
        "The copy ratio of a row is the share of its word pairs, in what user and agent say and "
        "in the calls, that stand in its seed too. A call is a tool with its arguments."
    )
    return Section("diversity", "Diversity against the seeds", about, tuple(_diversity(of)))


def _diversity(of: Gathered) -> Iterator[Block]:
    found = of.diversity
    if of.origin.missing:
        yield Text(
            "These seeds were not found, so their rows have no copy ratio:", of.origin.missing
        )
    if not found.rows:
        yield Text("There is no kept row yet.")
        return
    compared = f"all {found.rows:,}" if found.rows == of.tally.kept else f"{found.rows:,}"
    calls, distinct = found.seed_calls()
    yield Text(
        f"Measured on {compared} kept rows{'' if compared[0] == 'a' else ', spread evenly'}. They "
        f"have {len(found.openings):,} different first messages of the user and "
        f"{len(found.paths):,} different orders of tools."
        + (f" The seeds make {calls:,} calls, {distinct:,} of them distinct." if calls else "")
    )
    groups = [*sorted(found.groups.items()), ("all", found.whole)]
    rows = (_row(name, group) for name, group in groups)
    yield Table("Kept rows beside their seeds", HEAD, tuple(rows), wide=True)
    if found.copied:
        ratios = Counter(round(100 * ratio) for ratio in found.copied)
        yield histogram("Copy ratio", "percent", ratios, {})


def _row(name: str, group: Group) -> tuple[Cell, ...]:
    middle = group.median
    copied = Cell("–", number=True) if middle is None else share(middle, 1)
    distinct = share(len(group.distinct), group.calls, "kept")
    cells = (copied, count(group.calls), distinct, share(group.from_seed, group.calls))
    return (named(name), count(group.rows), *cells)
