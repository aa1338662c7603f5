"""A run folder as Python sees it, finished or not: rows, samples, tables, a plot.

Crash rule: reading changes nothing and trusts only commits. Of an unfinished run, a shard
counts when its kept file is there; of a finished one, what `manifest.json` names. A `Run`
sees what was committed when it was opened; open the folder again to see more.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from trajgen.errors import InputError, MachineError
from trajgen.ids import stream
from trajgen.records import Json, Seed, Trajectory
from trajgen.review.rows import Rows

if TYPE_CHECKING:
    import pandas
    from datasets import Dataset
    from matplotlib.figure import Figure

    from trajgen.objects import Place
    from trajgen.review.browse.widget import Browser
    from trajgen.review.reviews import Judgement, Review

LONG = ("messages", "tools", "steps", "state_initial", "state_final")
_SHARD = re.compile(r"shards/train-(\d{5,})\.parquet")


class Sample(list[Trajectory]):
    """Trajectories that a notebook shows one below the other."""

    def _repr_html_(self) -> str:
        from trajgen.review.notebook import sample_html

        return sample_html(self)


class Run:
    """A run folder, read only. `len(run)` and `run[i]` are its kept rows, in plan order."""

    def __init__(self, path: Place, numbers: list[int]) -> None:
        from trajgen.shards import dead_path, rejects_path, shard_path

        self.path = path
        self.numbers = numbers
        self._kept = Rows([shard_path(path, number) for number in numbers])
        self._rejected = Rows([rejects_path(path, number) for number in numbers])
        self._dead = [dead_path(path, number) for number in numbers]

    @classmethod
    def open(cls, path: str | Place) -> Run:
        """The run in the folder `path`, or below an object store's URL. Raises InputError when
        there is none."""
        from trajgen.objects import place_of
        from trajgen.origin import remember

        folder = place_of(path)
        remember(folder)
        return cls(folder, _committed(folder))

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> Trajectory:
        """Kept row `index`; negative ones count from the end. Raises IndexError."""
        index = operator.index(index)
        return self._kept[index + len(self) if index < 0 else index]

    def __iter__(self) -> Iterator[Trajectory]:
        return (self._kept[index] for index in range(len(self)))

    def status(self) -> dict[str, Json]:
        """Progress and yield of the folder as it is now: the JSON of `trajgen status`."""
        from trajgen.status import status

        return status(self.path)

    def frame(self, rejected: bool = False) -> pandas.DataFrame:
        """One row a kept (or rejected) trajectory, without the long columns."""
        from trajgen.shards import COLUMNS

        columns = [name for name in COLUMNS if name not in LONG]
        frame: pandas.DataFrame = self.rows(rejected).table(columns).to_pandas()
        frame["reasons"] = [list(codes) for codes in frame["reasons"]]
        return frame

    def dataset(self) -> Dataset:
        """The kept rows as a `datasets.Dataset`, ready for a trainer.

        Its cache is a temporary folder that goes when Python ends.
        """
        from trajgen.review.corpus import load

        return load(self._kept.files, len(self))

    def sample(
        self, n: int = 5, rejected: bool = False, reason: str | None = None, seed: int = 0
    ) -> Sample:
        """At most `n` trajectories drawn by `seed`, in plan order; `reason` implies rejected.

        In a notebook they show themselves as conversations.
        """
        rows = self.rows(rejected or reason is not None)
        found = range(len(rows)) if reason is None else _with(reason, rows.column("reasons"))
        drawn = stream("sample", seed).sample(found, min(max(n, 0), len(found)))
        return Sample(rows[index] for index in sorted(drawn))

    def find(self, id: str) -> Trajectory:
        """The trajectory, kept or rejected, with this id or the only one that begins so.

        Raises InputError when there is none, or more than one.
        """
        found: dict[str, tuple[Rows, int]] = {}
        for rows in (self._kept, self._rejected):
            for index, known in enumerate(rows.column("id")):
                if known == id:
                    return rows[index]
                if id and known.startswith(id):
                    found[known] = (rows, index)
        if len(found) == 1:
            rows, index = next(iter(found.values()))
            return rows[index]
        raise InputError(*self._not_found(id, len(found)))

    def browse(self, by: str | None = None) -> Browser:
        """A widget to filter, search, read and judge the rows; `by` is who judges.

        Without `by` that is the login name. Raises InputError when anywidget is not installed.
        """
        from trajgen.review.browse.desk import Desk
        from trajgen.review.browse.index import Index

        desk = Desk(self.path, Index(self._kept, self._rejected), by)
        try:
            from trajgen.review.browse.widget import Browser
        except ImportError as error:
            raise InputError(
                "browsing needs anywidget, which is not installed", fix="pip install anywidget"
            ) from error
        return Browser(desk)

    def seed_of(self, trajectory: Trajectory) -> Seed:
        """The seed that a trajectory of this run came from; from then on it is shown beside it.

        An import source is read, which may take minutes. Raises InputError when the seed is
        not to be had any more.
        """
        from trajgen.origin import remember, seed_of

        remember(self.path)
        return seed_of(trajectory)

    def rows(self, rejected: bool = False) -> Rows:
        """The kept (or rejected) rows, file by file; a file for each of `numbers`."""
        return self._rejected if rejected else self._kept

    def judge(
        self, id: str, review: Review | None, note: str = "", by: str | None = None
    ) -> Judgement | None:
        """Put down a judgement, keep, drop or flag, on the trajectory that `find` finds by `id`.

        It replaces the one before; None takes it back. `by` is the login name when not given.
        Raises InputError, CommitError, RunLocked.
        """
        from trajgen.review.reviews import judge

        return judge(self.path, self.find(id).id, review, note, by)

    def reviews(self) -> pandas.DataFrame:
        """One row a judgement as it stands now: id, review, note, by, at."""
        import pandas

        from trajgen.review.reviews import COLUMNS, read_reviews

        judged = read_reviews(self.path).values()
        return pandas.DataFrame([asdict(judgement) for judgement in judged], columns=list(COLUMNS))

    def yield_table(self) -> pandas.DataFrame:
        """Per strategy: kept, rejected, dead, yield, and rejected rows by reason; then all."""
        from trajgen.review.tables import yield_table

        rejected = self._rejected.table(["strategy", "reasons"]).to_pylist()
        return yield_table(self._kept.column("strategy"), rejected, self._dead_strategies())

    def plot(self) -> Figure:
        """Yield by strategy and the reasons, as a matplotlib figure.

        Raises InputError when matplotlib is not installed.
        """
        from trajgen.review.tables import plot

        return plot(self.yield_table())

    def __repr__(self) -> str:
        now = self.status()
        finished = now["kept"] + now["rejected"] + now["dead"]
        share = f", yield {now['kept'] / finished:.0%}" if finished else ""
        state = "complete" if now["complete"] else "not finished"
        return (
            f"<Run {now['name']}: {state}, {now['done']:,} of {now['planned']:,} tasks, "
            f"{now['kept']:,} kept, {now['rejected']:,} rejected, {now['dead']:,} dead{share}>"
        )

    def _repr_html_(self) -> str:
        from trajgen.review.notebook import run_html

        return run_html(self)

    def dead(self) -> Iterator[dict[str, Json]]:
        """The records of the tasks that could not be run: id, error, message, attempts."""
        for file in self._dead:
            try:
                yield from [json.loads(line) for line in file.read_bytes().splitlines()]
            except (OSError, ValueError) as error:
                raise MachineError(
                    f"cannot be read ({error})", str(file), "`trajgen verify` checks the whole run."
                ) from error

    def _dead_strategies(self) -> list[str]:
        """The strategies of the dead tasks; the plan knows them."""
        from trajgen.plan_file import plan_tasks

        dead = {record["id"] for record in self.dead()}
        tasks = plan_tasks(self.path) if dead else iter(())
        return [task.strategy for task in tasks if task.id in dead]

    def _not_found(self, id: str, beginnings: int) -> tuple[str, str, str]:
        where = str(self.path)
        if beginnings:
            return f"{beginnings} ids begin with {id!r}", where, "Give more of the id."
        for record in self.dead():
            if record["id"] == id:
                return f"task {id} is dead: it gave no trajectory", where, json.dumps(record)
        return f"no trajectory has the id {id!r}", where, "`run.frame()` lists the ids."


def _committed(folder: Place) -> list[int]:
    """The numbers of the shards that count, in plan order."""
    from trajgen.run_record import read_manifest
    from trajgen.shards import shard_numbers

    if not (folder / "manifest.json").exists():
        return shard_numbers(folder)
    manifest = read_manifest(folder)
    if manifest is None:
        raise MachineError(
            "is damaged", str(folder / "manifest.json"), "`trajgen verify` checks the whole run."
        )
    numbers = (_SHARD.fullmatch(name) for name in manifest["files"])
    return sorted(int(number[1]) for number in numbers if number)


def _with(reason: str, column: list[list[str]]) -> list[int]:
    return [index for index, codes in enumerate(column) if reason in codes]
