"""Counts by value -> a histogram: kept rows above the line, rejected ones below it.

Crash rule: pure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from trajgen.review.report.blocks import Bin, Cell, Histogram, Kind, Table, count, word

WIDTH, HEIGHT = 360, 150  # of the drawing, in its own units
FOOT = 16  # room below for the numbers
BINS, TICKS = 30, 6  # at most
TAIL = 0.995  # of the kept rows; values beyond it share the last bar
QUARTILES = {"min": 0.0, "25%": 0.25, "median": 0.5, "75%": 0.75, "max": 1.0}

Counts = Mapping[int, int]


def histogram(title: str, unit: str, kept: Counts, rejected: Counts) -> Histogram:
    """Shares of the kept and of the rejected rows by value; `unit` follows a number."""
    low, high = quantile(Counter(kept) + Counter(rejected), 0), quantile(kept or rejected, TAIL)
    step = _nice((high - low + 1) / BINS)
    low -= low % step
    n = (high - low) // step + 1
    line, room = _line(kept, rejected)
    beyond = max((*kept, *rejected), default=0) >= low + n * step
    about = (low, step, unit, n - 1 if beyond else n)
    bins = [*_bars("kept", _shares(kept, low, step, n), -line, line, about)]
    bins += _bars("rejected", _shares(rejected, low, step, n), room - line, line, about)
    rows = {"kept": kept, "rejected": rejected}
    table = Table(
        f"{title}: quartiles", ("rows", "n", *QUARTILES),
        tuple(_quartiles(name, side) for name, side in rows.items() if side),
    )  # fmt: skip
    words = "; ".join(_words(name, side, unit) for name, side in rows.items() if side)
    return Histogram(title, words or "no rows", tuple(bins), _ticks(low, step, n), line, table)


def quantile(counts: Counts, part: float) -> int:
    """The value that `part` of the rows do not exceed; 0 of nothing."""
    wanted = max(math.ceil(part * sum(counts.values())), 1)
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return value
    return 0


def _shares(counts: Counts, low: int, step: int, n: int) -> list[float]:
    total = sum(counts.values()) or 1
    bins = [0.0] * n
    for value, rows in counts.items():
        bins[max(min((value - low) // step, n - 1), 0)] += rows / total
    return bins


def _line(kept: Counts, rejected: Counts) -> tuple[float, float]:
    """Where the line is, and how far down bars may reach."""
    room = HEIGHT - FOOT
    if kept and rejected:
        return room / 2, room
    return (0.0 if rejected else float(room)), room


def _bars(
    kind: Kind, shares: list[float], reach: float, line: float, about: tuple[int, int, str, int]
) -> Iterable[Bin]:
    """Bars from `line` up where `reach` is negative, else down; the longest goes that far."""
    low, step, unit, tail = about  # `tail` is the bar that holds what is beyond
    width, most = WIDTH / len(shares), max(shares)
    for at, part in enumerate(shares):
        if part:
            height = max(part / most * abs(reach), 0.75)  # what is there is seen
            first = low + at * step
            last = "" if step == 1 else f" to {first + step - 1:,}"
            range_ = f"{first:,}{' or more' if at == tail else last}"
            yield Bin(
                round(at * width + 0.5, 2), round(line - height if reach < 0 else line, 2),
                round(width - 1, 2), round(height, 2), kind,
                f"{range_} {unit}: {part:.1%} of {kind} rows",
            )  # fmt: skip


def _ticks(low: int, step: int, n: int) -> tuple[tuple[float, str], ...]:
    every = _nice(n * step / TICKS)
    first = -(-low // every) * every
    values = range(first, low + n * step, every)
    middle = 0.5 if step == 1 else 0  # of a bar that holds one value
    return tuple((round((v - low + middle) / (n * step) * WIDTH, 2), f"{v:,}") for v in values)


def _nice(wanted: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, … that is not below `wanted`."""
    power = int(10 ** math.floor(math.log10(max(wanted, 1))))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= wanted)


def _quartiles(name: str, counts: Counts) -> tuple[Cell, ...]:
    values = (count(quantile(counts, part)) for part in QUARTILES.values())
    return (word(name), count(sum(counts.values())), *values)


def _words(name: str, counts: Counts, unit: str) -> str:
    least, half, most = (quantile(counts, part) for part in (0, 0.5, 1))
    return f"{name} rows have {least:,} to {most:,} {unit}, half of them at most {half:,}"
