"""A hopeless run gives up at the same task however fast it goes, and says why and how to go on."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trajgen
from tests.crash.small_run import plan, row, run_record
from tests.pipeline_files import job, load, mistake
from tests.small_pipeline import made, tree, write_pipeline
from tests.test_dispatch import Fake, Play
from trajgen import cli
from trajgen.collect import Collector
from trajgen.config.stop import StopConfig
from trajgen.dispatch import Dispatch
from trajgen.errors import CheckFailed
from trajgen.giving_up import gave_up
from trajgen.records import Reason, Task, Trajectory
from trajgen.review.run import Run
from trajgen.run_folder import RunFolder
from trajgen.thresholds import Passed, passed
from trajgen.verify import verify
from trajgen.worker import Outcome

STOP = {"dead": "5%", "rejected": "95%", "after": 200}


@pytest.mark.parametrize(
    ("kept", "rejected", "dead", "what"),
    [
        (0, 0, 199, None),
        (0, 0, 200, "dead"),
        (0, 199, 0, None),
        (10, 190, 0, None),  # just 95%
        (9, 191, 0, "rejected"),
        (190, 0, 10, None),
        (189, 0, 11, "dead"),
        (0, 189, 11, "dead"),  # deaths first
    ],
)
def test_a_share_counts_once_enough_tasks_have_ended(
    kept: int, rejected: int, dead: int, what: str | None
) -> None:
    found = passed(StopConfig.model_validate(STOP), kept, rejected, dead)
    assert (found and found.what) == what


def test_a_limit_that_is_not_named_limits_nothing() -> None:
    assert passed(StopConfig(dead=0.05), 0, 1000, 0) is None
    assert passed(StopConfig(rejected=0.95), 0, 0, 1000) is None
    assert passed(None, 0, 500, 500) is None


@settings(max_examples=20)
@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 999), st.floats(0, 1))
def test_what_is_passed_is_more_than_its_limit(k: int, r: int, d: int, most: float) -> None:
    found = passed(StopConfig(dead=most, rejected=most, after=1), k, r, d)
    above = [n for n in (d, r) if n > most * (k + r + d)]
    assert (found and found.count) == (above[0] if above else None)


def test_what_is_told_are_counts_shares_and_the_three_first_reasons() -> None:
    found = Passed("dead", 31, 240, 0.05)
    assert str(found) == "31 of the 240 tasks that ended are dead (12.9%); stop.dead allows 5%"
    counts = {"request": 1, "engine": 20, "timeout": 9, "internal": 1}
    assert (
        found.reasons(counts.items()) == "engine 20 (8.33%), timeout 9 (3.75%), internal 1 (0.417%)"
    )


def test_shares_are_numbers_or_per_cent(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    plain = load(file, job(stop={"dead": 0.05, "rejected": 0.95}))
    assert load(file, job(stop=STOP)).stop == plain.stop == StopConfig(dead=0.05, rejected=0.95)
    assert load(file, job(), "stop.dead=12.5%").stop == StopConfig(dead=0.125)


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        ({"dead": "5"}, "stop.dead: "),
        ({"dead": "150%"}, "stop.dead: "),
        ({"dead": "many%"}, "stop.dead: 'many%' is no share such as 5% or 0.05"),
        ({"dead": -0.1}, "stop.dead: "),
        ({"dead": 0.1, "after": 0}, "stop.after: "),
        ({"ded": 0.1}, "did you mean 'dead'?"),
        ({}, "stop: name a limit, such as dead: 5%"),
        ({"after": 10}, "stop: name a limit"),
    ],
)
def test_a_wrong_threshold_is_named(tmp_path: Path, stop: Any, said: str) -> None:
    assert said in mistake(tmp_path / "job.yaml", job(stop=stop))


def test_a_threshold_is_no_part_of_the_run(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    assert load(file, job(stop=STOP)).decisive() == load(file, job()).decisive()


# Whatever the timing, the same shards.


@pytest.mark.parametrize("seed", range(4))
def test_a_run_gives_up_at_the_same_shard_however_fast_it_goes(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From task 100 on all are rejected: at 30% of the tasks, and no shard later."""
    draw = random.Random(seed)

    def act(fake: Fake, tasks: list[Task]) -> None:
        fake.play.ends = draw.randrange(1, 9)
        draw.shuffle(fake.hand)

    def outcome(self: Fake, task: Task) -> Outcome:
        reasons = ("too_long",) if task.index >= 100 else ()
        return Outcome(task.id, row(task.id, reasons), f"f-{task.id}")

    monkeypatch.setattr(Fake, "_outcome", outcome)
    stop = StopConfig(rejected=0.3, after=40)
    collector = stopped(tmp_path, Play(act=act), 1 + seed, stop)
    assert collector.next_shard == 8  # 160 tasks: 60 rejected are 37.5%; of 140 it were 28.6%
    assert not collector.finished
    told = gave_up(collector, collector.passed)
    assert told.what.startswith("the run was stopped: 60 of the 160 tasks that ended are rejected")
    assert "Most often: too_long 60 (37.5%)" in told.what
    assert "--set stop.rejected=43%" in told.fix
    assert verify(tmp_path) == []
    assert not (tmp_path / "manifest.json").exists()


def stopped(path: Path, play: Play, workers: int, stop: StopConfig) -> Collector:
    record = run_record(planned=400)
    record["pipeline"]["shards"]["rows"] = 20
    with RunFolder.create_or_open(path, record, plan(400), []) as folder:
        collector = Collector(folder, 400, 20, 10_000, stop=stop)
        asyncio.run(Dispatch(collector, play.hire, workers, 8, 8, lambda _: None).run())
    assert play.closed == len(play.hired)
    return collector


# Through the command.


def picky(trajectory: Trajectory, domain: Any) -> list[Reason]:
    """A filter of somebody's own that few trajectories please."""
    return [Reason("dull", None, "seen it all")] if int(trajectory.id[5:7], 16) % 4 else []


def hopeless(folder: Path, **stop: Any) -> Path:
    """12 tasks in 3 shards, most of them rejected."""
    filters = ["default", "tests.test_thresholds:picky"]
    return write_pipeline(folder, filters=filters, stop=stop or None)


@pytest.mark.slow
def test_a_hopeless_run_stops_and_goes_on_with_another_threshold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["run", str(hopeless(tmp_path, rejected="20%", after=4)), "--out", str(out)]
    assert cli.main(command) == 1
    told = capsys.readouterr().err
    assert "tasks that ended are rejected" in told
    assert "Most often: dull " in told
    assert "run the same command again" in told
    assert "Traceback" not in told
    assert Run.open(out).status()["done"] == 4
    assert verify(out) == []
    before = tree(out)
    assert cli.main(command) == 1  # nothing is played, nothing changes
    assert tree(out) == before
    assert cli.main([*command, "--set", "stop=null"]) == 0
    trajgen.run(hopeless(tmp_path / "b"), tmp_path / "whole")
    told_by_threshold = ("run.json", "manifest.json", "README.md")
    one, two = made(out), made(tmp_path / "whole")
    assert [n for n in one | two if one.get(n) != two.get(n) and n not in told_by_threshold] == []


def test_a_run_that_ends_past_its_threshold_is_complete_and_says_so(tmp_path: Path) -> None:
    pipeline = hopeless(tmp_path, rejected=0.2, after=4)
    for _ in range(2):
        with pytest.raises(CheckFailed, match="the run is complete, but") as caught:
            trajgen.run(pipeline, tmp_path / "run", limit=4)
        assert "go on" not in str(caught.value)
        assert Run.open(tmp_path / "run").status()["complete"]


@pytest.mark.slow
def test_deaths_are_told_by_their_errors(tmp_path: Path) -> None:
    engines = {"main": {"kind": "tests.test_pipeline:Clumsy", "max_num_seqs": 8}}
    pipeline = write_pipeline(tmp_path, engines=engines, stop={"dead": "1%", "after": 4})
    with pytest.raises(CheckFailed, match="are dead") as caught:
        trajgen.run(pipeline, tmp_path / "run")
    assert "Most often: internal " in caught.value.what
    assert "The first of them: KeyError: 'no such slot'" in caught.value.what
    assert caught.value.exit_code == 1
