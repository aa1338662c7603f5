"""What a run yielded, by strategy and by reason: a table and a plot of it.

Crash rule: pure; works on what was read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from trajgen.errors import InputError
from trajgen.records import Json

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FATES = ("kept", "rejected", "dead")
ALL = "all"
SHOWN = 15  # reasons a plot shows


def yield_table(
    kept: Iterable[str], rejected: Sequence[Mapping[str, Json]], dead: Iterable[str]
) -> pandas.DataFrame:
    """One row a strategy and a last one, `all`; columns kept, rejected, dead, yield, reasons.

    `kept` and `dead` are the strategies of those tasks; `rejected` rows have `strategy` and
    `reasons`. A row with two reasons counts under both. The yield of nothing is NaN.
    """
    import pandas

    fates = (Counter(kept), Counter(row["strategy"] for row in rejected), Counter(dead))
    pairs = Counter((row["strategy"], code) for row in rejected for code in set(row["reasons"]))
    total = Counter(code for row in rejected for code in set(row["reasons"]))
    codes = sorted(total, key=lambda code: (-total[code], code))
    table = pandas.DataFrame(
        [
            [*(fate[name] for fate in fates), 0.0, *(pairs[name, code] for code in codes)]
            for name in sorted(set().union(*fates))
        ],
        index=pandas.Index(sorted(set().union(*fates)), name="strategy", dtype="str"),
        columns=[*FATES, "yield", *codes],
    )
    table.loc[ALL] = table.sum()
    counts = [*FATES, *codes]
    table[counts] = table[counts].astype("int64")
    table["yield"] = table["kept"] / table[list(FATES)].sum(axis=1)
    return table


def plot(table: pandas.DataFrame) -> Figure:
    """A `yield_table` as two rows of bars. Raises InputError when matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            "plotting needs matplotlib, which is not installed", fix="pip install matplotlib"
        ) from error
    strategies = table.drop(index=ALL)
    codes = list(table.columns)[len(FATES) + 1 :][:SHOWN]
    reasons = {str(code): int(table[code].iloc[-1]) for code in codes}
    height = 1.6 + 0.3 * (len(strategies) + len(reasons))
    figure = Figure(figsize=(8, height), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=[len(strategies) + 1, len(reasons) + 1])
    _fates(above, strategies)
    _reasons(below, reasons)
    return figure


def _fates(axes: Axes, table: pandas.DataFrame) -> None:
    left = [0.0] * len(table)
    for fate, colour in zip(FATES, ("#2e9e5b", "#d98c21", "#777777"), strict=True):
        axes.barh(list(table.index), list(table[fate]), left=left, label=fate, color=colour)
        left = [a + b for a, b in zip(left, table[fate], strict=True)]
    for place, (end, share) in enumerate(zip(left, table["yield"], strict=True)):
        axes.text(end, place, f" {share:.0%}", va="center")
    axes.margins(x=0.1)
    axes.invert_yaxis()
    axes.set_title("Tasks by strategy, with yield")
    axes.legend(loc="best", fontsize="small")


def _reasons(axes: Axes, counts: dict[str, int]) -> None:
    bars = axes.barh(list(counts), list(counts.values()), color="#b5483a")
    axes.bar_label(bars, padding=3)
    axes.margins(x=0.1)
    axes.invert_yaxis()
    axes.set_title("Rejected rows by reason" if len(counts) else "No row was rejected")
