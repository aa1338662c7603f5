"""A Ray cluster of several nodes on this machine: somebody's own, which runs join."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from ray.cluster_utils import Cluster

from tests.small_pipeline import write_pipeline

# Ray takes half a minute to miss a node; here it looks more often.
QUICK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 3,
}

SCRIPT = {"quality": {"agent": 0.97, "user": 0.98, "world": 0.98}, "delay_ms": 20}
CHANGES: dict[str, Any] = {
    "engines": {"main": {"kind": "scripted", "script": SCRIPT, "max_num_seqs": 4}},
    "max_tasks": 160,
    "target": 160,
    "shards": {"rows": 10},
}


@contextmanager
def small_cluster(folder: Path, **node: Any) -> Iterator[Cluster]:
    """A head that runs nothing and one node with the resources given."""
    before = signal.getsignal(signal.SIGTERM)
    (folder / "ray").mkdir()
    head = {"num_cpus": 0, "_system_config": QUICK, "include_dashboard": False}
    with notes_below(folder):
        cluster = Cluster(initialize_head=True, head_node_args={**head, "temp_dir": str(folder)})
    try:
        cluster.add_node(**node)
        yield cluster
    finally:
        with notes_below(folder):
            cluster.shutdown()
        signal.signal(signal.SIGTERM, before)


def joined(cluster: Cluster, folder: Path, **changes: Any) -> Path:
    """The pipeline file of a run on `cluster`."""
    section = {"address": cluster.address, "trusted": True}
    return write_pipeline(folder, **{**CHANGES, "cluster": section, **changes})


def notes_below(folder: Path) -> AbstractContextManager[None]:
    """Ray notes its cluster's address below a folder of the machine, which has to be there."""
    return mock.patch.dict(os.environ, RAY_TMPDIR=str(folder))


def lose(cluster: Cluster, node: Any) -> None:
    """A node goes as a machine does: without a word."""
    theirs = [process for process in of(node) for process in (process, *process.children(True))]
    cluster.remove_node(node, allow_graceful=False)
    for process in theirs:
        if process.is_running():
            process.kill()


def of(node: Any) -> list[psutil.Process]:
    """The processes of a node that Ray itself started."""
    started: Mapping[str, list[Any]] = node.all_processes
    return [psutil.Process(info.process.pid) for infos in started.values() for info in infos]
