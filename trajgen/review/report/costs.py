"""What a run took, how its world model was measured, and what it was made with.

Crash rule: pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from trajgen.review.report.blocks import (
    Block,
    Cell,
    Code,
    Section,
    Table,
    Text,
    count,
    named,
    share,
    word,
)
from trajgen.review.report.gather import Gathered

TOOLS = 40  # rows of a table of fidelity by tool


def costs(of: Gathered) -> Section:
    about = "Over all sessions of the run; what a session used after its last commit is not in it."
    return Section("costs", "Time and tokens", about, tuple(_costs(of)))


def _costs(of: Gathered) -> Iterator[Block]:
    tokens, seconds = of.status["tokens"], of.status["seconds"]
    figures = [
        ("seconds of the clock", seconds),
        ("tokens written by models", tokens["generated"]),
        ("tokens read by models", tokens["prompt"]),
        ("of these out of the prefix cache", tokens["cached"]),
    ]
    rows = [(word(name), _number(n), _per(n, of.tally.kept)) for name, n in figures]
    if seconds:
        rate = _number(tokens["generated"] / seconds)
        rows.append((word("tokens written a second"), rate, Cell("", number=True)))
    yield Table("What the run took", ("", "in all", "per kept row"), tuple(rows))
    if steps := sum(of.tally.sources.values()):
        rows = [
            (named(source), count(n), share(n, steps))
            for source, n in sorted(of.tally.sources.items())
        ]
        yield Table("Who answered the calls of kept rows", ("", "calls", "share"), tuple(rows))
        yield Text(f"An answer took {of.tally.attempts / steps:.2f} tries on average.")


def _number(n: float) -> Cell:
    return Cell(f"{n:,.0f}" if n >= 10 or n == int(n) else f"{n:,.2f}", number=True)


def _per(n: float, rows: int) -> Cell:
    return _number(n / rows) if rows else Cell("–", number=True)


def fidelity(of: Gathered) -> Section | None:
    """How the world model did against a real world, where the run required it."""
    found = of.fidelity
    if not found:
        return None
    about = f"{found['model']} against {found['world']}, before the run: {found['steps']:,} steps."
    blocks = (_whole(found), *_per_tool(found))
    return Section("fidelity", "Fidelity of the world model", about, blocks)


def _whole(found: Mapping[str, Any]) -> Table:
    applies, refused = (found["precondition"][key] for key in ("applicable", "inapplicable"))
    seen, replay = found["observation"], found["replay"]
    rows = [
        _right("calls that apply, not refused", applies, "correct"),
        _right("calls that do not apply, refused", refused, "correct"),
        _right("effects exact", found["effects"], "exact"),
        _right("observations exact", seen, "exact"),
        (word("fields of observations (F1)"), count(seen["n"]), share(seen["field_f1"], 1)),
    ]
    if replay.get("consistency_ratio") is not None:
        ratio = Cell(f"{replay['consistency_ratio']:.2f}", number=True)
        rows.append((word("consistency ratio of rollouts"), count(replay["n"]), ratio))
    return Table("What the world model got right", ("", "n", "right"), tuple(rows))


def _right(name: str, counts: Mapping[str, Any], key: str) -> tuple[Cell, ...]:
    return word(name), count(counts["n"]), share(counts[key], counts["n"], "kept")


def _per_tool(found: Mapping[str, Any]) -> Iterator[Table]:
    rows = []
    for name, by in list(found.get("per_tool", {}).items())[:TOOLS]:
        applies, refused = (by["precondition"][k] for k in ("applicable", "inapplicable"))
        parts = [(applies, "correct"), (refused, "correct")]
        parts += [(by["effects"], "exact"), (by["observation"], "exact")]
        rows.append((named(name), *(share(c[key], c["n"], "kept") for c, key in parts)))
    if rows:
        head = ("tool", "applies", "refused", "effects", "observed")
        yield Table("By tool", head, tuple(rows), wide=True)


def lineage(of: Gathered) -> Section:
    record = of.record
    rows = [(word("run"), named(record["run_id"])), (word("seeds"), _list(_sources(record)))]
    for name, values in of.tally.models.items():
        rows.append((word(name.replace("_", " ")), _list(sorted(filter(None, values)))))
    for group in ("digests", "versions"):
        ending = group.removesuffix("s")
        rows += [(word(f"{name} {ending}"), named(v)) for name, v in record.get(group, {}).items()]
    table = Table("What the rows were made with", ("", ""), tuple(rows))
    settings = json.dumps(record["pipeline"], indent=2, ensure_ascii=False)
    return Section(
        "lineage", "Lineage", "", (table, Code("Settings, as the run resolved them", settings))
    )


def _sources(record: Mapping[str, Any]) -> list[str]:
    seeds = record["pipeline"].get("seeds", [])
    return [seeds] if isinstance(seeds, str) else list(seeds)


def _list(values: list[str]) -> Cell:
    return named(", ".join(map(str, values)) or "–")
