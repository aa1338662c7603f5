"""`trajgen report`: a run as one HTML page that needs nothing else.

Crash rule: reads the run and writes one file, there whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trajgen import __version__
from trajgen.durable import disk_errors, place_bytes
from trajgen.errors import InputError
from trajgen.objects import Place
from trajgen.review.report.blocks import Section, percent
from trajgen.review.report.costs import costs, fidelity, lineage
from trajgen.review.report.gather import Gathered, gather
from trajgen.review.report.judged import judged
from trajgen.review.report.notices import notices
from trajgen.review.report.page import page
from trajgen.review.report.reasons import reasons
from trajgen.review.report.samples import kept, rejected
from trajgen.review.report.tooling import tooling
from trajgen.review.report.variety import diversity, lengths
from trajgen.review.report.yields import headline, yields
from trajgen.review.run import Run
from trajgen.run_record import REPORT


def report(run: Run) -> str:
    """The page of `run`, finished or not; the same text for the same folder. Raises
    MachineError when a file of the run is damaged."""
    of = gather(run)
    context = {
        "name": of.record["name"],
        "run_id": of.record["run_id"],
        "state": "complete" if of.status["complete"] else "not finished",
        "headline": headline(of),
        "notices": notices(of),
        "tiles": list(_tiles(of)),
        "version": __version__,
    }
    return page(context, list(_sections(of)), {"kept": kept(of), "rejected": rejected(of)})


def write_report(run: Run, out: Path | None = None) -> Place:
    """Write the page to `out`, or into the run's folder; where it is. Raises InputError for a
    folder, CommitError when the disk fails."""
    target = run.path / REPORT if out is None else out
    if target.is_dir():
        raise InputError("is a folder", str(target), "Name a file, such as --out report.html.")
    if isinstance(target, Path):
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
    place_bytes(target, report(run).encode("utf-8", "replace"))
    return target


def _sections(of: Gathered) -> Iterator[Section]:
    yield yields(of)
    yield reasons(of)
    yield lengths(of)
    yield tooling(of)
    yield diversity(of)
    if (measured := fidelity(of)) is not None:
        yield measured
    yield costs(of)
    if (said := judged(of)) is not None:
        yield said
    yield lineage(of)


def _tiles(of: Gathered) -> Iterator[tuple[str, str]]:
    """Figures and what they are."""
    status, rows = of.status, of.status["kept"]
    yield f"{rows:,}", "kept rows"
    yield percent(rows / status["done"]) if status["done"] else "–", "yield"
    for name, what in (("n_tokens", "tokens a row"), ("n_tool_calls", "tool calls a row")):
        total = sum(n * count for n, count in of.tally.lengths[name].kept.items())
        yield f"{total / rows:,.1f}".removesuffix(".0") if rows else "–", what
    seconds, written = status["seconds"], status["tokens"]["generated"]
    yield f"{seconds / rows:,.2f} s" if rows and seconds else "–", "time a kept row"
    yield f"{written / rows:,.0f}" if rows and written else "–", "tokens written a kept row"
