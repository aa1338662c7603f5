"""A local Ray under a run: workers killed, signals at any moment, and nothing left of it."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import trajgen
from tests.crash.driven import Driven, driven, no_shared_memory_left
from tests.crash.left import committed, whole
from tests.small_pipeline import write_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

BADLY = {"quality": {"agent": 0.97, "user": 0.98, "world": 0.98}}
LOCAL = {"address": "local"}
STOPPED = "trajgen: stopped. Committed shards are safe; run the same command to go on."
AGENTS_S = 75.0  # Ray's agents try for a minute to tell of the death of those they told
TWO: dict[str, Any] = {  # the world's engine is an actor of its own
    "engines": {
        "main": {"kind": "scripted", "script": {**BADLY, "delay_ms": 20}, "max_num_seqs": 16},
        "world": {"kind": "scripted", "script": {**BADLY, "delay_ms": 10}, "replicas": 2},
    },
    "roles": {"user": "main", "agent": "main", "world": "world"},
    "shards": {"rows": 10},
}


def test_an_engine_killed_with_its_actor(tmp_path: Path) -> None:
    run, killed = tmp_path / "run", 0
    pipeline = write_pipeline(tmp_path, **TWO, max_tasks=120, target=120, cluster=LOCAL)
    with driven("run", pipeline, "--out", run, cwd=tmp_path) as command:
        while killed < 3:
            command.wait_for(lambda least=2 * killed: committed(run) >= least)
            for engine in command.family("ray::EngineActor")[:1]:
                engine.kill()
                killed += 1
        ended = command.ended(120)
        assert ended.code == 0, ended.err
        assert command.left_over() == []
    whole(run)


@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C", "twice"])
def test_stopped_in_the_middle(how: str, tmp_path: Path) -> None:
    """Of 130 the shell knows; no process, file or segment stays, and the run goes on."""
    run = tmp_path / "run"
    pipeline = write_pipeline(tmp_path, **TWO, max_tasks=400, target=400, cluster=LOCAL)
    with no_shared_memory_left(), driven("run", pipeline, "--out", run, cwd=tmp_path) as command:
        command.wait_for(lambda: committed(run) >= 2)
        assert command.family("ray::")
        if how == "Ctrl-C":
            command.press_ctrl_c()
        else:
            command.send(signal.SIGTERM)
            if how == "twice":
                time.sleep(0.1)
                command.send(signal.SIGTERM)
        ended = command.ended(30)
        assert (ended.code, ended.err.splitlines()[-1]) == (130, STOPPED)
        assert "Traceback" not in ended.err
        assert ended.seconds < (2 if how == "twice" else 5)
        assert command.left_over(5) == []
    assert trajgen.open(run).status()["done"] >= 20


def begun(run: Path, command: Driven) -> bool:
    """Whether this command is the one that works in the run."""
    lock = run / "logs" / "driver.lock"
    return lock.exists() and lock.read_text().split()[-1:] == [str(command.process.pid)]


def test_signals_while_ray_starts(tmp_path: Path) -> None:
    """At a dozen moments of its start, which takes seconds: none is lost."""
    pipeline = write_pipeline(tmp_path, **TWO, max_tasks=40, cluster=LOCAL)
    draw = random.Random(2)
    for attempt in range(12):
        with driven("run", pipeline, "--out", tmp_path / "run", cwd=tmp_path) as command:
            command.wait_for(lambda: begun(tmp_path / "run", command))
            time.sleep(draw.uniform(0, 4))
            command.send(signal.SIGTERM if attempt % 2 else signal.SIGINT)
            ended = command.ended(30)
            assert ended.seconds < 5
            assert "Traceback" not in ended.err
            if ended.code != 130:
                assert trajgen.open(tmp_path / "run").status()["complete"], ended.err
            assert command.left_over(5) == []


def test_killed_with_everything_it_started(tmp_path: Path) -> None:
    """kill -9 of the driver: its processes follow it, its files go with the next run."""
    run = tmp_path / "run"
    pipeline = write_pipeline(tmp_path, **TWO, max_tasks=60, target=60, cluster=LOCAL)
    with no_shared_memory_left(), driven("run", pipeline, "--out", run, cwd=tmp_path) as command:
        command.wait_for(lambda: committed(run) >= 2)
        command.send(signal.SIGKILL)
        command.ended()
        left = command.left_over()
        theirs = [entry for entry in left if entry.startswith("process")]
        assert [entry for entry in theirs if not entry.split()[2].endswith("Agent")] == []
        assert left, "kill -9 leaves what the next run has to sweep"
        assert not [e for e in command.left_over(AGENTS_S) if e.startswith("process")]
        temporary = str(command.temporary)
        with driven("run", pipeline, "--out", run, cwd=tmp_path, TMPDIR=temporary) as again:
            assert again.ended(120).code == 0
        assert command.left_over() == []
    whole(run)
