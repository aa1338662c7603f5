"""What in a run is worth a second look, in sentences. Crash rule: pure."""

from __future__ import annotations

from collections.abc import Iterator

from trajgen.review.codes import explain
from trajgen.review.report.blocks import percent
from trajgen.review.report.gather import Gathered
from trajgen.review.report.reasons import ordered
from trajgen.review.report.tooling import never_called
from trajgen.review.report.yields import fates, values

FEW = 20  # tasks below which a share says little
LOW_YIELD, MOST, DEAD = 0.5, 0.3, 0.01
COPIED, MANY = 0.8, 0.1  # a row that is mostly its seed; a share of rows that is many
SAME = 0.5  # distinct calls by calls


def notices(of: Gathered) -> list[str]:
    """At most a handful of sentences, the gravest first."""
    return [] if of.status["done"] < FEW else [*_yield(of), *_rows(of)]


def _yield(of: Gathered) -> Iterator[str]:
    done, kept = of.status["done"], of.status["kept"]
    target = of.record["pipeline"].get("target", 0)
    if of.status["complete"] and kept < target:
        missed = f"The plan ended at {kept:,} of {target:,} kept rows"
        yield f"{missed}; a larger max_tasks, in another folder, goes further."
    if kept / done < LOW_YIELD:
        yield f"Only {percent(kept / done)} of the tasks gave a row that was kept."
    for code in ordered(of)[:1]:
        if (part := of.tally.codes[code] / done) >= MOST:
            yield f"{percent(part)} of the tasks end with {code}: {explain(code)}"
    if (dead := of.status["dead"]) / done >= DEAD:
        yield f"{dead:,} tasks could not be run; dead/ says why."
    for strategy in values(of, "strategy"):
        here, *lost = fates(of, "strategy", strategy)
        whole = here + sum(lost)
        if whole >= FEW and here / whole < kept / done / 2:
            yield f"The strategy {strategy} keeps {percent(here / whole)} of its tasks."


def _rows(of: Gathered) -> Iterator[str]:
    for domain in sorted(of.tools):
        if never := never_called(of, domain):
            some = ", ".join(never[:5]) + (", …" if len(never) > 5 else "")
            yield f"No kept row of {domain} calls {len(never)} of its tools: {some}."
    copied = of.diversity.copied
    close = sum(ratio >= COPIED for ratio in copied)
    if copied and close / len(copied) >= MANY:
        yield (
            f"{percent(close / len(copied))} of the kept rows share at least {COPIED:.0%} of their "
            "word pairs with their seed."
        )
    whole = of.diversity.whole
    if whole.calls >= FEW and len(whole.distinct) / whole.calls < SAME:
        yield f"Of {whole.calls:,} calls in kept rows, {len(whole.distinct):,} are distinct."
