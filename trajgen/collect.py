"""Outcomes -> shards, committed in plan order.

Order matters twice: the first of two equal trajectories is the one that is kept, and the
run ends at the first shard at which enough rows are kept. So what is in a run never
depends on which rollout was faster.

Crash rule: what waits here for its shard is lost with the driver and owed again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from trajgen.config.stop import StopConfig
from trajgen.firsts import Firsts
from trajgen.records import Json, Reason, Seed, Task, Trajectory
from trajgen.run_folder import RunFolder
from trajgen.shards import ShardInfo, ShardResult
from trajgen.sketches import Copies, sketch
from trajgen.thresholds import Passed, passed
from trajgen.trajectories import judged

Row = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Settled:
    """A task's end: a row with its fingerprint and sketch, or the record of its death."""

    row: Row | None = None
    fingerprint: str = ""
    sketch: str = ""
    death: Row | None = None


@dataclass(slots=True)
class Totals:
    """Counts over the committed shards up to the one that is next."""

    kept: int = 0
    rejected: int = 0
    dead: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, info: ShardInfo) -> None:
        self.kept += info.kept
        self.rejected += info.rejected
        self.dead += info.dead
        self.reasons.update(info.reasons)


class Known:
    """Sketches of the seeds and of what is committed: what a new row may not repeat."""

    def __init__(self, seeds: Sequence[Seed], at_least: float) -> None:
        self.seeds, self.at_least = seeds, at_least
        self._copies = Copies(at_least)
        for index, seed in enumerate(seeds):
            self._copies.add([sketch(seed.messages)], -1 - index)

    def add(self, sketches: Sequence[str], shard: int) -> None:
        """Remember the kept rows of a shard."""
        self._copies.add(sketches, shard)

    def reason(self, text: str, fresh: Copies, shard: int) -> Reason | None:
        """Why a row of `shard` is no new one; `fresh` holds the rows before it there."""
        found = self._copies.find(text)
        if found is None:
            found = shard if fresh.find(text) is not None else None
        if found is None:
            return None
        if found < 0:
            detail = f"nearly the same as {self.seeds[-1 - found].id}"
            return Reason("copy_of_seed", None, detail)
        return Reason("near_duplicate", None, f"nearly as in shard {found}")


class Collector:
    """The driver's books: what is owed, what waits, what is committed.

    Without `known` no near copies are looked for, without `stop` nothing is hopeless.
    """

    def __init__(
        self,
        folder: RunFolder,
        planned: int,
        shard_rows: int,
        target: int,
        known: Known | None = None,
        stop: StopConfig | None = None,
    ) -> None:
        self.folder, self.planned, self.shard_rows, self.target = (
            folder,
            planned,
            shard_rows,
            target,
        )
        self.known, self.stop = known, stop
        self.totals = Totals()
        self.next_shard = 0
        self._committed: dict[int, ShardInfo] = {}  # counts alone: rows are in `known`, `_firsts`
        self._waiting: dict[int, dict[int, Settled]] = {}
        self._firsts = Firsts()
        self._remember_committed()
        self._pass_committed()

    @property
    def n_shards(self) -> int:
        """Shards of the whole plan."""
        return -(-self.planned // self.shard_rows)

    @property
    def finished(self) -> bool:
        """Enough rows are kept, or the plan is done."""
        return self.totals.kept >= self.target or self.next_shard >= self.n_shards

    @property
    def passed(self) -> Passed | None:
        """The threshold of `stop` that the shards up to the next one pass."""
        return passed(self.stop, self.totals.kept, self.totals.rejected, self.totals.dead)

    @property
    def over(self) -> bool:
        """Nothing more is to be played: the run is finished, or hopeless."""
        return self.finished or self.passed is not None

    @property
    def settled(self) -> int:
        """Tasks with an end, committed or waiting."""
        waiting = {n: len(ends) for n, ends in self._waiting.copy().items()}
        committed = {n: info.tasks for n, info in self._committed.copy().items()}
        return sum((waiting | committed).values())

    def owed(self) -> Iterator[Task]:
        """The tasks of shards not committed, in plan order."""
        for task in self.folder.plan_tasks(self.next_shard * self.shard_rows):
            if task.index // self.shard_rows not in self._committed:
                yield task

    def add(self, task: Task, settled: Settled) -> None:
        """Keep a task's end until its shard is whole. The first end counts, others are dropped."""
        shard = task.index // self.shard_rows
        if shard >= self.next_shard and shard not in self._committed:
            self._waiting.setdefault(shard, {}).setdefault(task.index, settled)

    @property
    def whole(self) -> bool:
        """Whether every task of the next shard in plan order has its end, so that it can be
        committed."""
        number = self.next_shard
        return not self.over and len(self._waiting.get(number, ())) == self._size(number)

    def commit_next(self) -> ShardInfo | None:
        """Commit the next shard in plan order if it is whole. Raises CommitError."""
        if not self.whole:
            return None
        number = self.next_shard
        ends = [end for _, end in sorted(self._waiting[number].items())]
        result, fingerprints, sketches = self._result(number, ends)
        info = self.folder.commit(result, fingerprints, sketches)
        self._committed[number] = info.counts()
        self._remember_sketches(info)
        del self._waiting[number]
        self._pass_committed()
        return info

    def _size(self, shard: int) -> int:
        return min(self.shard_rows, self.planned - shard * self.shard_rows)

    def _result(self, number: int, ends: list[Settled]) -> tuple[ShardResult, list[str], list[str]]:
        kept: list[Row] = []
        rejected: list[Row] = []
        fingerprints: list[str] = []
        sketches: list[str] = []
        seen: set[str] = set()
        fresh = Copies(self.known.at_least) if self.known else None
        for end in ends:
            if end.row is None:
                continue
            row = end.row if end.row["reasons"] else self._unless_known(number, end, seen)
            if fresh is not None and not row["reasons"]:
                row = self._unless_near(number, row, end.sketch, fresh)
            if row["reasons"]:
                rejected.append(row)
            else:
                kept.append(row)
                fingerprints.append(end.fingerprint)
                sketches += [end.sketch] if fresh is not None else []
        dead = [end.death for end in ends if end.death is not None]
        first = number * self.shard_rows
        return ShardResult(number, first, len(ends), kept, rejected, dead), fingerprints, sketches

    def _unless_known(self, number: int, end: Settled, seen: set[str]) -> Row:
        """The row, rejected when an earlier one of the run says the same, or one of a later
        shard that was committed before this one was damaged."""
        row = end.row or {}
        first = self._firsts.first(end.fingerprint, number)
        if first == number and end.fingerprint not in seen:
            seen.add(end.fingerprint)
            return row
        reason = Reason("exact_duplicate", None, f"as in shard {first}")
        return judged(Trajectory.parse(row), [reason]).row()

    def _unless_near(self, number: int, row: Row, text: str, fresh: Copies) -> Row:
        """The row, rejected when it nearly repeats a seed, a committed row or one before it."""
        reason = self.known.reason(text, fresh, number) if self.known else None
        if reason is None:
            fresh.add([text], number)
            return row
        return judged(Trajectory.parse(row), [reason]).row()

    def _remember_sketches(self, info: ShardInfo) -> None:
        if self.known is not None:
            self.known.add(info.sketches, info.number)

    def _remember_committed(self) -> None:
        with closing(self.folder.each_committed()) as committed:
            for info in committed:
                self._committed[info.number] = info.counts()
                self._remember_sketches(info)
                for fingerprint in info.fingerprints:
                    self._firsts.first(fingerprint, info.number)

    def _pass_committed(self) -> None:
        while not self.finished and self.next_shard in self._committed:
            self.totals.add(self._committed[self.next_shard])
            self.next_shard += 1
