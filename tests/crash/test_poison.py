"""Tasks that kill their worker's process, through real Ray: exactly they are dead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import trajgen
from tests.small_pipeline import write_pipeline
from tests.test_cluster import assert_whole, deaths, nothing_left, rows
from trajgen.pipeline import load
from trajgen.plan import plan
from trajgen.plan_file import plan_tasks

TASKS = 500
SIZE: dict[str, Any] = {"max_tasks": TASKS, "target": TASKS, "shards": {"rows": 50}}


def engine(**script: Any) -> dict[str, Any]:
    return {"main": {"kind": "scripted", "script": script, "max_num_seqs": 64}}


def planned(folder: Path) -> list[str]:
    """The ids of the plan."""
    loaded = load(write_pipeline(folder, **SIZE))
    pipeline = loaded.pipeline
    return [t.id for t in plan(loaded.seeds.seeds, pipeline.variations, TASKS, pipeline.seed)]


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("count", [1, 3, 10])
def test_poison_tasks_in_500_die_and_no_others(tmp_path: Path, count: int) -> None:
    """Spread over the plan, two of them side by side; each kills its process with SIGKILL."""
    ids = planned(tmp_path / "plan")
    poison = [ids[(7 + 47 * n) % TASKS] for n in range(count - 1)] + [ids[8]]
    pipeline = write_pipeline(
        tmp_path,
        engines=engine(die={"how": "kill", "tasks": poison}),
        cluster={"address": "local"},
        **SIZE,
    )
    with nothing_left():
        run = trajgen.run(pipeline, tmp_path / "run")
    dead = deaths(run.path)
    assert sorted(death["id"] for death in dead) == sorted(poison)
    assert {death["error"] for death in dead} == {"engine"}
    assert all(3 <= death["attempts"] <= 8 for death in dead)
    assert_whole(run.path)
    assert [task.id for task in plan_tasks(run.path)] == ids
    inline = write_pipeline(tmp_path / "inline", engines=engine(refuse={"tasks": poison}), **SIZE)
    whole = trajgen.run(inline, tmp_path / "reference")
    kept = {name: mark for name, mark in rows(run.path).items() if name.startswith("shards/train")}
    assert len(kept) == 10
    assert sorted(run.frame()["id"]) == sorted(whole.frame()["id"])
