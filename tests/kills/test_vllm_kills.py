"""A real vLLM on the CPU: its engine process is killed twice, and the run finishes by itself."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.crash.driven import driven, no_shared_memory_left
from tests.crash.left import committed
from trajgen.plan_file import plan_tasks
from trajgen.review.run import Run
from trajgen.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TASKS = 12
SMALL = [
    *("--limit", str(TASKS), "--set", "shards.rows=2", "--set", "engines.main.max_num_seqs=4"),
    *("--set", "engines.main.enforce_eager=true", "--set", "engines.main.cpu_kvcache_gb=1"),
]
AGENT = re.compile(r"process \d+ ray::\w+Agent\b")  # a minute later: test_local_ray.py
CORE = "VLLM::EngineCore"


def test_an_engine_killed_twice(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command_line = ("run", "pipelines/quickstart.yaml", "--out", run, *SMALL)
    with no_shared_memory_left(), driven(*command_line, cwd=tmp_path) as command:
        for least in (1, 3):
            command.wait_for(lambda least=least: committed(run) >= least, 300)
            command.wait_for(lambda: command.family(CORE), 120)
            (core,) = command.family(CORE)
            core.kill()
        ended = command.ended(400)
        assert ended.code == 0, ended.err
        assert command.left_over() == []
    opened = Run.open(run)
    ends = [*opened.frame()["id"], *opened.frame(rejected=True)["id"]]
    dead = [
        json.loads(line) for f in (run / "dead").iterdir() for line in f.read_text().splitlines()
    ]
    assert Counter([*ends, *(one["id"] for one in dead)]) == Counter(
        task.id for task in plan_tasks(run)
    )
    assert dead == []
    assert verify(run) == []
    now = opened.status()
    assert now["kept"] + now["rejected"] + now["dead"] == now["done"] == TASKS


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_engine_goes_with_its_driver(how: int, tmp_path: Path) -> None:
    """Killed or stopped: the engine's processes, which hold the memory, are gone with it."""
    run = tmp_path / "run"
    command_line = ("run", "pipelines/quickstart.yaml", "--out", run, *SMALL)
    with no_shared_memory_left(), driven(*command_line, cwd=tmp_path) as command:
        command.wait_for(lambda: committed(run) >= 1, 300)
        assert command.family(CORE)
        command.send(how)
        ended = command.ended(30)
        assert ended.seconds < 5
        left = [entry for entry in command.left_over() if not AGENT.match(entry)]
        if how == signal.SIGTERM:
            assert (ended.code, left) == (130, [])
        assert [entry for entry in left if entry.startswith("process")] == []
