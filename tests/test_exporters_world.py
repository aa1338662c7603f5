"""The world's own view: every step as it was asked, with what was right and what was not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import trajgen
from tests.small_pipeline import write_pipeline
from trajgen.exporters import Source, make_exporter
from trajgen.pipeline import open_pipeline
from trajgen.records import Trajectory
from trajgen.review.run import Run
from trajgen.train.examples import MAKERS, load_source

FLAWED = {"quality": {"world": 0.7}}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A run whose world often errs, and its pipeline."""
    folder = tmp_path_factory.mktemp("world")
    setting = {"declared": False, "history": False}
    path = write_pipeline(
        folder, FLAWED, world=setting, max_tasks=8, rollout={"attempts": 1}, shards={"rows": 8}
    )
    return path, trajgen.run(path, folder / "run")


def lessons(run: Run, rejected: bool) -> list[tuple[Trajectory, list[dict[str, Any]]]]:
    exporter = make_exporter("world-model", Source(run))
    return [(made, list(exporter.rows(made))) for made in run.rows(rejected)]


def chat(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(message) for message in (*row["prompt"], *row["completion"])]


def test_kept_steps_are_right_and_are_what_a_training_on_the_run_learns(
    played: tuple[Path, Run],
) -> None:
    path, run = played
    rows = [row for _, rows in lessons(run, rejected=False) for row in rows]
    assert {row["label"] for row in rows} == {True}
    assert {row["applies"] for row in rows} == {True, False}
    examples = MAKERS["world"](open_pipeline(path), load_source(str(run.path), None))
    assert [chat(row) for row in rows] == [list(example.messages) for example in examples]
    assert [m["role"] for m in chat(rows[0])] == ["system", "user", "assistant"]
    answer = json.loads(chat(rows[0])[-1]["content"])
    assert list(answer) == ["applies", "why", "effects", "observation"]


def test_a_rejected_trajectory_gives_its_steps_up_to_the_wrong_one_which_is_the_last(
    played: tuple[Path, Run],
) -> None:
    found = lessons(played[1], rejected=True)
    ends: Sequence[tuple[Trajectory, dict[str, Any]]] = [(t, rows[-1]) for t, rows in found if rows]
    wrong = [(made, row) for made, row in ends if not row["label"]]
    assert wrong
    for _, rows in found:
        assert all(row["label"] for row in rows[:-1])
    for made, row in wrong:
        (step,) = (step for step in made.steps if step.call_id == row["call_id"])
        assert step.verdicts or made.reasons
        said = json.loads(chat(row)[-1]["content"])
        assert (said["applies"], said["effects"]) == (step.applies, list(step.effects))
