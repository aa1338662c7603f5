"""Through Ray: the same rows as in one process, and every task with one end whatever dies."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

import trajgen
from tests.small_pipeline import made, pipeline_data, start, write_pipeline
from trajgen import cluster
from trajgen.cluster.session import ray_session
from trajgen.config import Pipeline
from trajgen.errors import InputError, MachineError
from trajgen.loading import shipped
from trajgen.plan_file import plan_tasks
from trajgen.review.run import Run
from trajgen.verify import verify

slow = pytest.mark.slow
BADLY = {"quality": {"agent": 0.97, "user": 0.98, "world": 0.98}}
LOCAL = {"address": "local"}
TOLD = ("run.json", "manifest.json", "README.md")  # they hold the address


def test_a_ray_that_does_not_come_up_is_a_machine_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: Any) -> None:
        raise Exception("The current node timed out during startup.")  # Ray raises just that

    ray = SimpleNamespace(init=init, shutdown=lambda: None)
    monkeypatch.setitem(sys.modules, "ray", ray)
    wanted = pytest.raises(MachineError, match=r"not start .*timed out")
    with wanted, ray_session({"address": "auto"}):
        pass


def engine(script: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    return {"kind": "scripted", "script": script or {}, "max_num_seqs": 8, **settings}


def two_engines(agents: int, worlds: int, script: dict[str, Any] | None = None) -> dict[str, Any]:
    """The world has an engine of its own, shared by the workers."""
    return {
        "engines": {
            "main": engine(BADLY, replicas=agents),
            "world": engine(script or BADLY, replicas=worlds),
        },
        "roles": {"user": "main", "agent": "main", "world": "world"},
        "max_tasks": 16,
    }


def rows(run: Path) -> dict[str, str]:
    return {name: mark for name, mark in made(run).items() if name not in TOLD}


def ends(run: Path) -> list[str]:
    """The ids of all rows and deaths."""
    opened = Run.open(run)
    ids = [*opened.frame()["id"], *opened.frame(rejected=True)["id"]]
    return [*ids, *(death["id"] for death in deaths(run))]


def deaths(run: Path) -> list[dict[str, Any]]:
    files = sorted((run / "dead").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def assert_whole(run: Path) -> None:
    """Every planned task has exactly one end."""
    planned = [task.id for task in plan_tasks(run)]
    assert sorted(ends(run)) == sorted(planned)
    status = Run.open(run).status()
    assert status["kept"] + status["rejected"] + status["dead"] == len(planned)
    assert verify(run) == []


def descendants(pid: int | None = None) -> list[psutil.Process]:
    return psutil.Process(pid or os.getpid()).children(recursive=True)


def ray_actors(name: str, pid: int | None = None) -> list[psutil.Process]:
    """The processes of the actors of class `name`: Ray titles them `ray::name...`."""
    found = []
    for process in descendants(pid):
        try:
            if process.cmdline()[:1] and process.cmdline()[0].startswith(f"ray::{name}"):
                found.append(process)
        except psutil.Error:  # ended meanwhile
            continue
    return found


@contextmanager
def nothing_left() -> Iterator[None]:
    """Whatever is started inside has ended a little after."""
    before = {process.pid for process in descendants()}
    yield
    end = time.monotonic() + 15
    while left := [p for p in descendants() if p.pid not in before and p.status() != "zombie"]:
        assert time.monotonic() < end, [p.cmdline() for p in left]
        time.sleep(0.2)


@slow
def test_the_smoke_pipeline_through_ray_as_in_one_process(tmp_path: Path) -> None:
    """As shipped, at fewer tasks: three domains, all strategies and faults."""
    smoke = shipped("pipelines") / "smoke.yaml"
    small = ["shards.rows=10"]
    trajgen.run(smoke, tmp_path / "inline", 40, [*small, "cluster.address=inline"])
    with nothing_left():
        run = trajgen.run(smoke, tmp_path / "ray", 40, small)
    assert rows(run.path) == rows(tmp_path / "inline")
    assert_whole(run.path)
    assert run.status()["tokens"]["generated"] > 0


@slow
@pytest.mark.parametrize(("agents", "worlds"), [(1, 2), (2, 1)])
def test_a_shared_engine_as_actors(
    agents: int, worlds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All replicas of the world serve, whether there are more of them or fewer than workers;
    the rows are those of one process."""
    monkeypatch.setattr(cluster, "shared", lambda pipeline: ["world"])  # of one replica, too
    changes = two_engines(agents, worlds)
    trajgen.run(write_pipeline(tmp_path / "a", **changes), tmp_path / "inline")
    pipeline = write_pipeline(tmp_path / "b", **changes, cluster=LOCAL)
    started: list[int] = []
    with nothing_left(), watched(lambda: started.append(len(ray_actors("EngineActor")))):
        run = trajgen.run(pipeline, tmp_path / "ray")
    assert rows(run.path) == rows(tmp_path / "inline")
    assert max(started) == worlds


@contextmanager
def watched(look: Callable[[], None]) -> Iterator[None]:
    """Calls `look` again and again beside what happens inside."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@slow
def test_a_worker_killed_again_and_again(tmp_path: Path) -> None:
    """200 tasks, 5 times kill -9 of the worker in the middle of its rollouts."""
    changes: dict[str, Any] = {"max_tasks": 200, "target": 200, "shards": {"rows": 20}}
    changes["engines"] = {"main": engine({**BADLY, "delay_ms": 40}, max_num_seqs=64)}
    pipeline = write_pipeline(tmp_path, **changes, cluster=LOCAL)
    killed: list[int] = []
    next_at = [0.0]

    def kill() -> None:
        now = time.monotonic()
        committed = len(list((tmp_path / "run" / "shards").glob("train-*.parquet")))
        if now < next_at[0] or len(killed) >= 5 or committed < len(killed):
            return
        for actor in ray_actors("WorkerActor"):
            if actor.pid not in killed:
                actor.send_signal(signal.SIGKILL)
                killed.append(actor.pid)
                next_at[0] = now + 1.0

    with nothing_left(), watched(kill):
        run = trajgen.run(pipeline, tmp_path / "run")
    assert len(killed) == 5
    assert_whole(run.path)
    assert deaths(run.path) == []
    inline = write_pipeline(tmp_path / "inline", **changes)
    trajgen.run(inline, tmp_path / "reference")
    assert rows(run.path) == rows(tmp_path / "reference")


@slow
def test_poison_kills_its_worker_and_no_other_task(tmp_path: Path) -> None:
    run = trajgen.run(write_pipeline(tmp_path / "a"), tmp_path / "fine")
    poison = run[7].id
    script = {"die": {"how": "kill", "tasks": [poison]}}
    with nothing_left():
        struck = trajgen.run(write_pipeline(tmp_path, script, cluster=LOCAL), tmp_path / "run")
    (death,) = deaths(struck.path)
    assert (death["id"], death["error"]) == (poison, "engine")
    assert "lost" in death["message"]
    assert len(struck) == 11
    assert_whole(struck.path)


@slow
def test_a_shared_engine_that_dies_is_replaced(tmp_path: Path) -> None:
    """A poison task of the world: its engine's actor is killed, then made anew."""
    fine = trajgen.run(write_pipeline(tmp_path / "a", **two_engines(1, 2)), tmp_path / "fine")
    poison = next(t.id for t in fine if t.n_tool_calls)
    for how in ("kill", "error"):
        changes = two_engines(1, 2, {**BADLY, "die": {"how": how, "tasks": [poison]}})
        pipeline = write_pipeline(tmp_path / how, **changes, cluster=LOCAL)
        with nothing_left():
            run = trajgen.run(pipeline, tmp_path / how / "run")
        assert [death["id"] for death in deaths(run.path)] == [poison]
        assert_whole(run.path)


@slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopped_politely(tmp_path: Path, how: int) -> None:
    """In the middle of rollouts; Ray would take SIGTERM for itself."""
    script = {**BADLY, "delay_ms": 100}
    pipeline = write_pipeline(tmp_path, script, max_tasks=200, cluster=LOCAL)
    process = start("run", pipeline, "--out", tmp_path / "run", cwd=tmp_path)
    first = tmp_path / "run" / "shards" / "train-00000.parquet"
    end = time.monotonic() + 60
    while not first.exists() and time.monotonic() < end:
        time.sleep(0.05)
    ours = descendants(process.pid)
    began = time.monotonic()
    process.send_signal(how)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("trajgen: stopped. Committed shards are safe")
    assert Run.open(tmp_path / "run").status()["done"] >= 4
    _, alive = psutil.wait_procs(ours, 15)
    assert [p.name() for p in alive] == []


@slow
def test_stopped_while_ray_starts(tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, cluster=LOCAL)
    process = start("run", pipeline, "--out", tmp_path / "run", cwd=tmp_path)
    end = time.monotonic() + 60
    while not (ours := descendants(process.pid)) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("trajgen: stopped.")
    _, alive = psutil.wait_procs(ours, 15)
    assert [p.name() for p in alive] == []
    assert trajgen.run(pipeline, tmp_path / "run", overrides=["cluster.address=inline"])


@slow
def test_a_wrong_engine_is_told_once(tmp_path: Path) -> None:
    """What only a worker can find is no lost worker: no restarts, the error as it is."""
    engines = {"main": {"kind": "tests.test_pipeline:Silent"}}
    pipeline = write_pipeline(tmp_path, engines=engines, cluster=LOCAL)
    with pytest.raises(MachineError, match="the licence server is closed"):
        trajgen.run(pipeline, tmp_path / "run")
    written = list((tmp_path / "run" / "logs" / "workers").glob("worker-*.err"))
    assert written, "what a worker wrote may say more"


@slow
def test_local_means_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RAY_ADDRESS names a cluster that was not asked for, and that is not even there."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    run = trajgen.run(write_pipeline(tmp_path, cluster=LOCAL), tmp_path / "run", limit=2)
    assert run.status()["complete"]


@pytest.mark.parametrize("address", ["auto", "10.0.0.1:6379", "ray://host:10001"])
def test_an_open_cluster_is_not_joined(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = write_pipeline(tmp_path, cluster={"address": address})
    for mode in (None, "", "disabled"):
        monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
        if mode is not None:
            monkeypatch.setenv("RAY_AUTH_MODE", mode)
        with pytest.raises(InputError, match="without token authentication") as caught:
            trajgen.run(pipeline, tmp_path / "run")
        assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_joining_is_allowed_with_a_token_or_in_so_many_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    cluster.check(small(cluster={"address": "auto", "trusted": True}))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    cluster.check(small(cluster={"address": "auto"}))


def small(**changes: Any) -> Pipeline:
    from tests.small_pipeline import pipeline_data

    return Pipeline.model_validate(pipeline_data(**changes))


class _FakeRay:
    """As much of Ray as hiring touches; keeps who was made."""

    cloudpickle = pickle

    def __init__(self, gpus: float = 0) -> None:
        self.gpus = gpus

    def put(self, value: Any) -> Any:
        return value

    def cluster_resources(self) -> dict[str, float]:
        return {"GPU": self.gpus} if self.gpus else {}


@pytest.mark.parametrize(
    ("workers", "replicas", "chosen"),
    [
        (1, 1, [[0]]),
        (1, 3, [[0, 1, 2]]),
        (2, 3, [[0, 2], [1]]),
        (3, 2, [[0], [1], [0]]),
        (4, 2, [[0], [1], [0], [1]]),
    ],
)
def test_every_replica_serves_some_worker(
    workers: int, replicas: int, chosen: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = small(**two_engines(workers, replicas))
    hiring = cluster._Hiring(_FakeRay(), pipeline, None)  # type: ignore[arg-type]
    monkeypatch.setattr(hiring, "_engine", lambda name, replica, again: replica)
    assert [hiring._replicas("world", n, False) for n in range(workers)] == chosen


def test_more_gpus_than_there_are_is_an_input_error() -> None:
    engines = {"main": {"kind": "vllm", "model": "m", "replicas": 3, "tensor_parallel_size": 2}}
    pipeline = small(engines=engines, cluster=LOCAL)
    with pytest.raises(InputError, match="want 6 GPUs and this machine has 4"):
        cluster._Hiring(_FakeRay(4), pipeline, None)  # type: ignore[arg-type]
    cluster._Hiring(_FakeRay(6), pipeline, None)  # type: ignore[arg-type]
    cluster._Hiring(_FakeRay(0), pipeline, None)  # type: ignore[arg-type]  # on the CPU


def test_the_judge_counts_among_the_roles_of_an_engine() -> None:
    judge = {"engine": "main", "adapter": "adapters/judge"}
    roles = {"user": "main", "agent": "main", "world": "main", "judge": judge}
    data = pipeline_data(roles=roles)
    found = cluster.adapters(Pipeline.model_validate(data), "main")
    assert found == ("adapters/judge",)
