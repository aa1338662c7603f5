"""Parts of a view written by several processes at once; each opens the run for itself.

Crash rule: a process writes into the folder of the export alone, and ends with the one that
started it, however that ended.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from trajgen.errors import MachineError
from trajgen.export.choose import Pick
from trajgen.export.parts import Part, Reader, parts_of
from trajgen.export.write import Written, write_part
from trajgen.exporters import Exporter, Source, make_exporter
from trajgen.exporters.templates import Template
from trajgen.objects import Place
from trajgen.review.run import Run

ENOUGH = 4  # parts a process, for less it is not worth its start


@dataclass(frozen=True)
class Maker:
    """All that turns parts of a run into files of a view."""

    run: Run
    template: Template | None
    exporter: Exporter
    reader: Reader
    parts: Sequence[Part]

    @classmethod
    def open(cls, run: str | Place, format: str, template: str | None) -> Maker:
        """`run` is a folder or an object store's URL. Raises InputError for what cannot be opened
        or made so."""
        opened = Run.open(run)
        named = Template(template) if template else None
        exporter = make_exporter(format, Source(opened, named))
        reader = Reader(opened, exporter, named)
        return cls(opened, named, exporter, reader, parts_of(opened, exporter.rejected))


@dataclass(frozen=True)
class Crew:
    """Writes the parts of a view, in `processes` of them where that is worth it."""

    maker: Maker
    format: str
    template: str | None
    processes: int

    def write(
        self, folder: Path, picks: Mapping[int, Sequence[Pick]], splits: Sequence[str]
    ) -> Iterator[Written]:
        """What was written of each part that has picks, in their order. Raises MachineError when
        a process is lost, and as `write_part` does."""
        jobs = [(folder, number, picks[number], splits) for number in sorted(picks)]
        hired = min(self.processes, len(jobs) // ENOUGH)
        if hired < 2:
            yield from (_written(self.maker, *job) for job in jobs)
            return
        opening = (str(self.maker.run.path), self.format, self.template)
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(hired, context, initializer=_begin, initargs=opening)
        try:
            yield from pool.map(_work, *zip(*jobs, strict=True))
        except BrokenProcessPool as error:
            raise MachineError(
                f"a process of the export was lost ({error})", str(self.maker.run.path)
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_MAKER: list[Maker] = []  # of this process, when it is one of a crew


def _begin(run: str, format: str, template: str | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that waits
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _MAKER.append(Maker.open(run, format, template))


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(folder: Path, number: int, picks: Sequence[Pick], splits: Sequence[str]) -> Written:
    return _written(_MAKER[0], folder, number, picks, splits)


def _written(
    maker: Maker, folder: Path, number: int, picks: Sequence[Pick], splits: Sequence[str]
) -> Written:
    return write_part(folder, maker.parts[number], picks, splits, maker.reader, maker.exporter)
