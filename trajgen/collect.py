"""Outcomes -> shards, committed in plan order.

Order matters twice: the first of two equal trajectories is the one that is kept, and the
run ends at the first shard at which enough rows are kept. So what is in a run never
depends on which rollout was faster.

Crash rule: what waits here for its shard is lost with the driver and owed again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from trajgen.config.stop import StopConfig
from trajgen.known import Known
from trajgen.records import Json, Task, Trajectory
from trajgen.run_folder import RunFolder
from trajgen.shards import ShardInfo, ShardResult
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


class Collector:
    """The driver's books: what is owed, what waits, what is committed.

    Without `known` no copies of seeds and no near copies are looked for, without `stop` nothing
    is hopeless.
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
        self.known, self.stop = known or Known(), stop
        self.totals = Totals()
        self.next_shard = 0
        self._committed: dict[int, ShardInfo] = {}  # counts alone: what its rows are is in `known`
        self._waiting: dict[int, dict[int, Settled]] = {}
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
        self._remember(info)
        del self._waiting[number]
        self._pass_committed()
        return info

    def _size(self, shard: int) -> int:
        return min(self.shard_rows, self.planned - shard * self.shard_rows)

    def _result(self, number: int, ends: list[Settled]) -> tuple[ShardResult, list[str], list[str]]:
        rows = self._judged(number, [end for end in ends if end.row is not None])
        kept = [(row, end) for row, end in rows if not row["reasons"]]
        rejected = [row for row, _ in rows if row["reasons"]]
        dead = [end.death for end in ends if end.death is not None]
        first = number * self.shard_rows
        result = ShardResult(number, first, len(ends), [row for row, _ in kept], rejected, dead)
        sketches = [] if self.known.at_least is None else [end.sketch for _, end in kept]
        return result, [end.fingerprint for _, end in kept], sketches

    def _judged(self, number: int, ends: list[Settled]) -> list[tuple[Row, Settled]]:
        """The rows of a shard, those rejected too that repeat what is kept."""
        rows = [end.row or {} for end in ends]
        good = [place for place, row in enumerate(rows) if not row["reasons"]]
        marks = [(ends[place].fingerprint, ends[place].sketch) for place in good]
        for place, reason in zip(good, self.known.reasons(marks, number), strict=True):
            if reason is not None:
                rows[place] = judged(Trajectory.parse(rows[place]), [reason]).row()
        return list(zip(rows, ends, strict=True))

    def _remember(self, info: ShardInfo) -> None:
        self._committed[info.number] = info.counts()
        self.known.add(info.fingerprints, info.sketches, info.number)

    def _remember_committed(self) -> None:
        with closing(self.folder.each_committed()) as committed:
            for info in committed:
                self._remember(info)

    def _pass_committed(self) -> None:
        while not self.finished and self.next_shard in self._committed:
            self.totals.add(self._committed[self.next_shard])
            self.next_shard += 1
