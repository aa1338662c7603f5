"""What a run left behind: its shards, its rows, and whether it is whole."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.small_pipeline import made
from trajgen.plan_file import plan_tasks
from trajgen.review.run import Run
from trajgen.verify import verify

TOLD = ("run.json", "manifest.json", "README.md")  # they hold the cluster's address


def committed(run: Path) -> int:
    return len(list((run / "shards").glob("train-*.parquet")))


def rows(run: Path) -> dict[str, str]:
    """The files of a run that do not say where it was played."""
    return {name: mark for name, mark in made(run).items() if name not in TOLD}


def whole(run: Path) -> None:
    """It is sound, every task of the plan has one end, and none died of what happened."""
    opened = Run.open(run)
    ends = Counter([*opened.frame()["id"], *opened.frame(rejected=True)["id"]])
    assert ends == Counter(task.id for task in plan_tasks(run))
    assert verify(run) == []
