"""The long proof through Ray: 5,000 tasks, more than a hundred kills, the same bytes."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.crash.driven import Driven, driven
from tests.crash.left import committed, rows, whole
from tests.small_pipeline import write_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

BADLY = {"quality": {"agent": 0.97, "user": 0.98, "world": 0.98}}
CHANGES: dict[str, Any] = {
    "engines": {
        "main": {"kind": "scripted", "script": {**BADLY, "delay_ms": 5}, "max_num_seqs": 32},
        "shared": {"kind": "scripted", "script": BADLY, "replicas": 2},  # actors of its own
    },
    "roles": {"user": "shared", "agent": "main", "world": "main"},
    "max_tasks": 5000,
    "target": 5000,
    "shards": {"rows": 25},
    "cluster": {"address": "local"},
}
KILLS = {"driver": 15, "WorkerActor": 45, "EngineActor": 45}


def test_more_than_a_hundred_kills_change_no_byte(tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, **CHANGES)
    in_one_process = ("--set", "cluster.address=inline", "--out", tmp_path / "whole")
    with driven("run", pipeline, *in_one_process, cwd=tmp_path) as command:
        ended = command.ended(600)
        assert ended.code == 0, ended.err
    done = killed_again_and_again(pipeline, tmp_path / "run")
    assert done == Counter(KILLS)
    whole(tmp_path / "run")
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")


def killed_again_and_again(pipeline: Path, run: Path) -> Counter[str]:
    """Start, kill at random what there is to kill, start again; in the end, finish."""
    draw = random.Random(7)
    planned = [what for what, count in KILLS.items() for _ in range(count)]
    draw.shuffle(planned)
    done: Counter[str] = Counter()
    while planned:
        with driven("run", pipeline, "--out", run, cwd=run.parent) as command:
            what = ""
            while planned and what != "driver":
                what = planned.pop()
                command.wait_for(progress(run))
                time.sleep(draw.uniform(0, 0.5))
                kill(command, what, draw)
                done[what] += 1
    with driven("run", pipeline, "--out", run, cwd=run.parent) as command:
        ended = command.ended(600)
        assert ended.code == 0, ended.err
        assert command.left_over() == []
    return done


def progress(run: Path) -> Callable[[], bool]:
    """Whether a further shard is committed: between two kills the run gets a little on."""
    before = committed(run)
    return lambda: committed(run) > before


def kill(command: Driven, what: str, draw: random.Random) -> None:
    """kill -9 the driver, or an actor of this class as soon as there is one."""
    if what == "driver":
        return command.process.kill()
    command.wait_for(lambda: command.family(f"ray::{what}"))
    chosen = draw.choice(command.family(f"ray::{what}"))
    chosen.kill()
    psutil.wait_procs([chosen], 5)
    return None
