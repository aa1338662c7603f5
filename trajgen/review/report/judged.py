"""What people said of rows so far. Crash rule: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from trajgen.review.report.blocks import Block, Section, Table, count, named, share, word
from trajgen.review.report.gather import Gathered

NOTES = 30  # judgements with a note that are shown, the latest


def judged(of: Gathered) -> Section | None:
    """The judgements in reviews.parquet, where there are any."""
    if not of.judgements:
        return None
    about = "Keep, drop or flag, given in a notebook; `export --where` reads them."
    return Section("reviews", "Reviews", about, tuple(_judged(of)))


def _judged(of: Gathered) -> Iterator[Block]:
    whole = len(of.judgements)
    for column, title in (("review", "judgement"), ("by", "reviewer")):
        counted = Counter(getattr(judgement, column) for judgement in of.judgements)
        rows = ((named(k), count(n), share(n, whole)) for k, n in counted.most_common())
        yield Table(f"Rows by {title}", (title, "rows", "share"), tuple(rows))
    noted = sorted((j for j in of.judgements if j.note), key=lambda j: (j.at, j.id), reverse=True)
    if noted:
        latest = ((named(j.id), word(j.review), word(j.by), word(j.note)) for j in noted[:NOTES])
        head = ("row", "judgement", "reviewer", "note")
        yield Table("The latest notes", head, tuple(latest), wide=True)
