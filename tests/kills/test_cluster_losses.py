"""A Ray cluster that loses nodes, or whose driver is lost: the run goes on, or resumes clean."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

import trajgen
from tests.crash.driven import driven
from tests.crash.left import committed, whole
from tests.crash.small_cluster import SCRIPT, joined, lose, of, small_cluster
from trajgen import cluster as hiring
from trajgen.config import Pipeline
from trajgen.errors import MachineError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def somebodys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one worker node, whose folder has a short name: it holds sockets."""
    with small_cluster(tmp_path_factory.mktemp("r"), num_cpus=2) as cluster:
        yield cluster


def actors(cluster: Cluster) -> list[int]:
    """The processes of our actors on it."""
    below = (c for node in cluster.list_all_nodes() for p in of(node) for c in p.children(True))
    return [p.pid for p in below if words(p).startswith(("ray::Worker", "ray::Engine"))]


def words(process: psutil.Process) -> str:
    """Its command line; "" when it is gone meanwhile."""
    try:
        return "".join(process.cmdline())
    except psutil.Error:
        return ""


def test_no_node_left(tmp_path: Path, somebodys: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 3 when none comes; with one there again, the same command finishes."""
    monkeypatch.setattr(hiring, "PLACE_S", 3.0)
    engines = {"main": {"kind": "scripted", "script": SCRIPT, "start_timeout_s": 1}}
    pipeline = joined(somebodys, tmp_path, engines=engines)
    (node,) = somebodys.worker_nodes
    lose(somebodys, node)
    with pytest.raises(MachineError, match="a worker was not ready within 4 s") as caught:
        trajgen.run(pipeline, tmp_path / "run")
    assert caught.value.exit_code == 3
    somebodys.add_node(num_cpus=2)
    monkeypatch.setattr(hiring, "PLACE_S", 60.0)
    whole(trajgen.run(pipeline, tmp_path / "run").path)


def test_the_driver_is_lost_and_returns(tmp_path: Path, somebodys: Cluster) -> None:
    """Killed, then stopped: its actors are gone from the cluster, which is otherwise untouched."""
    pipeline, run = joined(somebodys, tmp_path), tmp_path / "run"
    before = len(somebodys.list_all_nodes())
    for number, after in ((signal.SIGKILL, 2), (signal.SIGTERM, 4)):
        with driven("run", pipeline, "--out", run, cwd=tmp_path) as command:
            command.wait_for(lambda after=after: committed(run) >= after)
            assert actors(somebodys)
            command.send(number)
            assert command.ended().code in (-number, 130)
            end = time.monotonic() + 15
            while left := actors(somebodys):
                assert time.monotonic() < end, left
                time.sleep(0.2)
    with driven("run", pipeline, "--out", run, cwd=tmp_path) as command:
        assert command.ended(120).code == 0
    whole(run)
    assert len(somebodys.list_all_nodes()) == before
    assert somebodys.remaining_processes_alive()


class Probe:
    """An actor that says where it is and which GPUs it was given; of coroutines, as ours are."""

    async def where(self) -> tuple[str, list[str]]:
        found = ray.get_runtime_context()
        return found.get_node_id(), sorted(map(str, found.get_accelerator_ids()["GPU"]))

    async def seen(self) -> str:
        return os.environ.get("CUDA_VISIBLE_DEVICES", "")


def test_engines_are_placed_on_gpus(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two nodes of four GPUs: an engine has GPUs of its own, all on one node."""
    folder = tmp_path_factory.mktemp("g")
    with small_cluster(folder, num_cpus=4, num_gpus=4) as cluster:
        cluster.add_node(num_cpus=4, num_gpus=4)
        ray.init(address=cluster.address, log_to_driver=False)
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # there it is not found
        try:
            check_placement()
        finally:
            ray.shutdown()


def check_placement() -> None:
    hire = hiring._Hiring(ray, gpu_pipeline(), None)  # type: ignore[arg-type]
    assert hire.gpus == 8
    pairs = [hire._actor(Probe, gpu_pipeline().engines["world"]).remote() for _ in range(2)]
    taken = ray.get([actor.where.remote() for actor in pairs], timeout=60)
    singles = [hire._actor(Probe, gpu_pipeline().engines["main"]).remote() for _ in range(4)]
    taken += ray.get([actor.where.remote() for actor in singles], timeout=60)
    assert [len(ids) for _, ids in taken] == [2, 2, 1, 1, 1, 1]
    each = [(node, gpu) for node, ids in taken for gpu in ids]
    assert len(set(each)) == 8, "a GPU was given to two engines"
    for actor, (_, ids) in zip([*pairs, *singles], taken, strict=True):
        assert ray.get(actor.seen.remote()).split(",") == ids
    waiting = hire._actor(Probe, gpu_pipeline().engines["main"]).remote()
    assert ray.wait([waiting.where.remote()], timeout=1)[0] == [], "there is no ninth GPU"
    ray.kill(singles[0])
    assert ray.get(waiting.where.remote(), timeout=60) == taken[2]


def gpu_pipeline() -> Pipeline:
    """Four agents with one GPU each, two world models with two each."""
    engines = {
        "main": {"kind": "vllm", "model": "a", "replicas": 4},
        "world": {"kind": "vllm", "model": "b", "replicas": 2, "tensor_parallel_size": 2},
    }
    data = {"name": "gpus", "seeds": "seeds/household", "target": 1, "engines": engines}
    roles = {"user": "main", "agent": "main", "world": "world"}
    return Pipeline.model_validate({**data, "roles": roles, "cluster": {"address": "auto"}})
