"""Workers and nodes lost in the middle of a run: the rows are those of one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

import trajgen
from tests.crash.driven import driven
from tests.crash.left import committed, rows, whole
from tests.crash.small_cluster import CHANGES, joined, lose, small_cluster
from tests.small_pipeline import write_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

QUICK = {"delay_ms": 5}
MANY: dict[str, Any] = {"max_tasks": 500, "target": 500, "shards": {"rows": 10}}


def test_twenty_workers_killed_in_500_tasks(tmp_path: Path) -> None:
    """kill -9 in the middle of its rollouts."""
    run, killed = tmp_path / "run", 0
    pipeline = write_pipeline(tmp_path, QUICK, **MANY, cluster={"address": "local"})
    with driven("run", pipeline, "--out", run, cwd=tmp_path) as command:
        while killed < 20:
            command.wait_for(lambda least=2 * killed: committed(run) >= least)
            for worker in command.family("ray::WorkerActor"):
                worker.kill()
                killed += 1
                psutil.wait_procs([worker], 5)
        ended = command.ended(200)
        assert ended.code == 0, ended.err
        assert command.left_over() == []
    whole(run)
    alone = trajgen.run(write_pipeline(tmp_path / "a", QUICK, **MANY), tmp_path / "alone")
    assert rows(run) == rows(alone.path)


def test_five_nodes_lost(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each time another node takes the place of the one that goes."""
    tmp_path = tmp_path_factory.mktemp("r")  # a short name: Ray's sockets lie below it
    run = tmp_path / "run"
    with small_cluster(tmp_path, num_cpus=2) as cluster:
        pipeline = joined(cluster, tmp_path)
        with driven("run", pipeline, "--out", run, cwd=tmp_path) as command:
            for lost in range(1, 6):
                command.wait_for(lambda lost=lost: committed(run) >= 2 * lost)
                (node,) = cluster.worker_nodes
                cluster.add_node(num_cpus=2)
                lose(cluster, node)
            ended = command.ended(120)
            assert ended.code == 0, ended.err
            assert command.left_over() == []
        assert cluster.remaining_processes_alive()
    whole(run)
    alone = trajgen.run(write_pipeline(tmp_path / "a", **CHANGES), tmp_path / "alone")
    assert rows(run) == rows(alone.path)
