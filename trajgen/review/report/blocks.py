"""What a page is made of: sections of tables and histograms, as plain data.

Every picture is a table with bars or shades in its cells, so that it reads aloud, prints and
fits a phone; a histogram is a picture with a table of its own. Crash rule: pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

LEVELS = 5  # shades of a heat map

Kind = Literal["", "kept", "rejected", "dead", "plain"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, a bar of `bar` (0 to 1) of a colour, or a shade from 0 to LEVELS."""

    text: str
    bar: float | None = None
    kind: Kind = "plain"
    shade: int | None = None
    number: bool = False
    code: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under a head; the first cell of a row names it. `wide` tables scroll."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    wide: bool = False
    form: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a histogram: place and size in the drawing, and the words for it."""

    x: float
    y: float
    width: float
    height: float
    kind: Kind
    words: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """How values are spread: kept rows above the line, rejected ones below it.

    `ticks` are (x, text); `table` holds the quartiles.
    """

    title: str
    words: str
    bins: tuple[Bin, ...]
    ticks: tuple[tuple[float, str], ...]
    line: float
    table: Table
    form: Literal["histogram"] = "histogram"


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph, or with `items` a list under it."""

    text: str
    items: tuple[str, ...] = ()
    form: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class Code:
    """Text of many lines, folded away under a title."""

    title: str
    text: str
    form: Literal["code"] = "code"


Block = Table | Histogram | Text | Code


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page with a heading; `name` is its anchor."""

    name: str
    title: str
    about: str
    blocks: Sequence[Block] = field(default=())


def word(text: str) -> Cell:
    return Cell(text)


def named(text: str) -> Cell:
    """A name out of the data, such as a tool or a code."""
    return Cell(text, code=True)


def count(n: int) -> Cell:
    return Cell(f"{n:,}", number=True)


def share(part: float, whole: float, kind: Kind = "plain") -> Cell:
    """A share as a bar with its percentage; a dash of nothing."""
    if not whole:
        return Cell("–", number=True)
    return Cell(percent(part / whole), bar=part / whole, kind=kind, number=True)


def shaded(n: float, most: float, text: str) -> Cell:
    """`text` in a shade as deep as `n` beside `most`, the deepest; empty where there is none."""
    if not n or not most:
        return Cell("", shade=0, number=True)
    return Cell(text, shade=max(1, math.ceil(min(n / most, 1) * LEVELS)), number=True)


def percent(ratio: float) -> str:
    """A share in a few characters; what is there is never shown as nothing."""
    if 0 < ratio < 0.001:
        return "<0.1%"
    return f"{ratio:.0%}" if ratio in (0, 1) or 0.1 <= ratio < 0.995 else f"{ratio:.1%}"
