"""Whole runs: the same bytes whatever happens on the way, and every task with one end."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import trajgen
from tests.small_pipeline import REPO, environment, made, start, tree, write_pipeline
from trajgen import cli, pipeline
from trajgen.cluster import Hire, open_cluster
from trajgen.config.engine import EngineConfig
from trajgen.engines import Completion, Request
from trajgen.engines.scripted import ScriptedEngine
from trajgen.errors import InputError, MachineError
from trajgen.loading import shipped
from trajgen.plan_file import plan_tasks
from trajgen.preview import preview
from trajgen.records import Trajectory
from trajgen.review.progress import Progress, Snapshot
from trajgen.review.run import Run
from trajgen.run_record import read_record
from trajgen.verify import verify

BADLY = {"quality": {"agent": 0.95, "user": 0.98, "world": 0.95}}
SLOWLY = {**BADLY, "delay_ms": 25}  # about 2 s for 40 tasks
LONGER = {"max_tasks": 40, "shards": {"rows": 5}}
STOP_S = 5.0


class Parrot(ScriptedEngine):
    """Every task of a seed says the same."""

    async def complete(self, request: Request) -> Completion:
        seed = request.context["task"].seed_id
        return await super().complete(
            replace(request, context={**request.context, "task": {"id": seed}})
        )


class Silent(ScriptedEngine):
    """Cannot be started: it wants a licence."""

    async def start(self) -> None:
        raise MachineError("the licence server is closed", "engines.main", "Come back later.")


class Clumsy(ScriptedEngine):
    """Has a bug that shows in some tasks."""

    async def complete(self, request: Request) -> Completion:
        if request.id.startswith("task-") and int(request.id[5:7], 16) < 64:
            raise KeyError("no such slot")
        return await super().complete(request)


def an_engine(name: str, config: EngineConfig | None = None) -> dict[str, Any]:
    return {"engines": {"main": {"kind": f"tests.test_pipeline:{name}", "max_num_seqs": 8}}}


def deaths(run: Path) -> list[dict[str, Any]]:
    files = sorted((run / "dead").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def ids_of(run: Path) -> list[str]:
    """The ids of all ends, in no order."""
    opened = Run.open(run)
    rows = [*opened.frame()["id"], *opened.frame(rejected=True)["id"]]
    return [*rows, *(death["id"] for death in deaths(run))]


def assert_whole(run: Path) -> None:
    """Each planned task of the run's shards has one end, and the sums hold."""
    status = Run.open(run).status()
    planned = [task.id for task in plan_tasks(run)]
    assert sorted(ids_of(run)) == sorted(planned[: status["done"]])
    assert status["kept"] + status["rejected"] + status["dead"] == status["done"]
    assert status["complete"]
    assert verify(run) == []


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 40 tasks in 8 shards that nothing disturbed."""
    folder = tmp_path_factory.mktemp("reference")
    trajgen.run(write_pipeline(folder, SLOWLY, **LONGER), folder / "run")
    return folder / "run"


def test_the_same_run_twice_has_the_same_bytes(tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, BADLY)
    trajgen.run(pipeline, tmp_path / "one")
    trajgen.run(pipeline, tmp_path / "far" / "away" / "two")
    one = made(tmp_path / "one")
    assert one == made(tmp_path / "far" / "away" / "two")
    assert {"shards/train-00002.parquet", "rejects/00002.parquet", "manifest.json"} <= one.keys()
    assert_whole(tmp_path / "one")
    assert len(Run.open(tmp_path / "one").frame(rejected=True)) > 0


def test_rows_do_not_depend_on_how_many_play_at_once(tmp_path: Path) -> None:
    """Nor on the number of workers: what is served where decides no row."""
    trajgen.run(write_pipeline(tmp_path / "a", BADLY), tmp_path / "one")
    cluster = {"address": "inline", "in_flight": 1}
    trajgen.run(write_pipeline(tmp_path / "b", BADLY, cluster=cluster), tmp_path / "two")
    engine = {"kind": "scripted", "script": BADLY, "max_num_seqs": 3, "replicas": 3}
    trajgen.run(write_pipeline(tmp_path / "c", engines={"main": engine}), tmp_path / "three")
    rows = rows_only(tmp_path / "one")
    assert rows == rows_only(tmp_path / "two")
    assert rows == rows_only(tmp_path / "three")


def rows_only(run: Path) -> dict[str, str]:
    """The files of a run that do not tell how it was served."""
    told = ("run.json", "manifest.json", "README.md")
    return {name: mark for name, mark in made(run).items() if name not in told}


def wait_for(check: Callable[[], bool], limit_s: float = 60) -> None:
    end = time.monotonic() + limit_s
    while not check():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def begin(folder: Path) -> subprocess.Popen[str]:
    """The reference's run as a process, once its first shard is there."""
    pipeline = write_pipeline(folder, SLOWLY, **LONGER)
    process = start("run", pipeline, "--out", folder / "run", cwd=folder)
    first = folder / "run" / "shards" / "train-00000.parquet"
    wait_for(lambda: first.exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()[1]
    return process


def go_on(folder: Path, reference: Path) -> None:
    """Whatever was left reads as a run; resumed, it is the reference."""
    status = Run.open(folder / "run").status()
    assert not status["complete"]
    assert 5 <= status["done"] < 40
    trajgen.run(folder / "pipeline.yaml", folder / "run")
    assert made(folder / "run") == made(reference)


@pytest.mark.slow
def test_killed_in_the_middle_and_run_again(tmp_path: Path, reference: Path) -> None:
    process = begin(tmp_path)
    process.kill()
    process.communicate()
    go_on(tmp_path, reference)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopped_politely_and_run_again(tmp_path: Path, reference: Path, how: int) -> None:
    process = begin(tmp_path)
    began = time.monotonic()
    process.send_signal(how)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < STOP_S
    assert process.returncode == 130
    assert err.splitlines()[-1] == (
        "trajgen: stopped. Committed shards are safe; run the same command to go on."
    )
    assert "Traceback" not in err
    assert not (tmp_path / "run" / "logs" / "driver.lock").exists()
    go_on(tmp_path, reference)


SLOW_SEEDS = """
import sys, time
from trajgen import cli, pipeline
pipeline.load_seeds = lambda *_: time.sleep(60)
sys.exit(cli.main(sys.argv[1:]))
"""


def test_sigterm_before_the_first_rollout(tmp_path: Path) -> None:
    """While seeds are read the signal is no less polite."""
    pipeline = write_pipeline(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_SEEDS, "run", str(pipeline), "--out", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(),
    )
    time.sleep(3)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (130, False)
    assert err.startswith("trajgen: stopped.")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_run_ends_at_the_first_shard_that_reaches_the_target(tmp_path: Path) -> None:
    whole = trajgen.run(write_pipeline(tmp_path / "a", BADLY, **LONGER), tmp_path / "whole")
    kept = [len(shard) for shard in shards_of(whole)]
    target = sum(kept[:2]) + 1  # reached in the third shard, not at its end
    changes = {**LONGER, "target": target}
    for name, in_flight in (("one", 1), ("many", 40)):
        cluster = {"address": "inline", "in_flight": in_flight}
        pipeline = write_pipeline(tmp_path / name, BADLY, **changes, cluster=cluster)
        run = trajgen.run(pipeline, tmp_path / name / "run")
        assert [len(shard) for shard in shards_of(run)] == kept[:3]
        assert len(run) >= target > sum(kept[:2])
        assert run.status()["done"] == 15
        assert_whole(run.path)
    assert rows_only(tmp_path / "one" / "run") == rows_only(tmp_path / "many" / "run")


def shards_of(run: Run) -> list[list[str]]:
    import pyarrow.parquet as pq

    files = sorted((run.path / "shards").glob("*.parquet"))
    return [pq.read_table(file, columns=["id"])["id"].to_pylist() for file in files]


def test_a_finished_run_is_not_touched(tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, BADLY)
    run = trajgen.run(pipeline, tmp_path / "run")
    before, files = stamps(run.path), tree(run.path)
    again = trajgen.run(pipeline, tmp_path / "run")
    assert stamps(run.path) == before
    assert tree(run.path) == files
    assert again.status() == run.status()


def stamps(path: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_ino) for p in [path, *path.rglob("*")]}


def test_a_damaged_shard_is_made_anew(tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, BADLY)
    run = trajgen.run(pipeline, tmp_path / "run")
    whole, shard = made(run.path), run.path / "shards" / "train-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    assert verify(run.path)
    trajgen.run(pipeline, tmp_path / "run")
    found = {name: mark for name, mark in made(run.path).items() if "corrupt" not in name}
    assert found == whole


def test_exact_duplicates_are_rejected_in_plan_order(tmp_path: Path) -> None:
    variations = {"strategies": {"rephrase": 1}, "personas": ["plain"]}
    changes = {**an_engine("Parrot"), **LONGER, "variations": variations}
    run = trajgen.run(write_pipeline(tmp_path, **changes), tmp_path / "run")
    place = {task.id: task.index for task in plan_tasks(run.path)}
    kept, rejected = run.frame(), run.frame(rejected=True)
    first = {row.seed_id: place[row.id] for row in kept.itertuples()}
    assert len(kept) == kept["seed_id"].nunique() == 12
    assert len(rejected) == 28
    for row in rejected.itertuples():
        assert row.reasons == ["exact_duplicate"]
        assert place[row.id] > first[row.seed_id]
    assert_whole(run.path)


def test_poison_tasks_die_and_take_nobody_with_them(tmp_path: Path) -> None:
    tasks = planned_ids(tmp_path)
    poison = [tasks[3], tasks[4], tasks[21]]
    death = {"die": {"how": "error", "tasks": poison}}
    run = trajgen.run(write_pipeline(tmp_path / "b", death, **LONGER), tmp_path / "run")
    dead = deaths(run.path)
    assert [death["id"] for death in dead] == poison
    assert all(death["error"] == "engine" and death["attempts"] >= 2 for death in dead)
    assert run.status()["kept"] == 37
    assert_whole(run.path)


def planned_ids(folder: Path) -> list[str]:
    """The ids that every small pipeline of these seeds and variations plans."""
    from trajgen.pipeline import load
    from trajgen.plan import plan

    loaded = load(write_pipeline(folder / "plan", **LONGER))
    variations = loaded.pipeline.variations
    return [task.id for task in plan(loaded.seeds.seeds, variations, 40, 0)]


def test_a_refused_request_is_a_dead_task(tmp_path: Path) -> None:
    task = planned_ids(tmp_path)[5]
    run = trajgen.run(write_pipeline(tmp_path, {"refuse": {"tasks": [task]}}), tmp_path / "run")
    (death,) = deaths(run.path)
    assert (death["id"], death["error"], death["attempts"]) == (task, "request", 1)
    assert "as the script says" in death["message"]
    assert run.status()["kept"] == 11
    assert_whole(run.path)


def test_a_rollout_that_hangs_is_tried_three_times(tmp_path: Path) -> None:
    task = planned_ids(tmp_path)[2]
    script = {"hang": {"tasks": [task]}}
    began = time.monotonic()
    pipeline = write_pipeline(tmp_path, script, limits={"seconds": 0.7})
    run = trajgen.run(pipeline, tmp_path / "run")
    assert time.monotonic() - began < 20
    (death,) = deaths(run.path)
    assert (death["id"], death["error"], death["attempts"]) == (task, "timeout", 3)
    assert run.status()["kept"] == 11
    assert_whole(run.path)


def test_a_bug_costs_its_tasks_alone(tmp_path: Path) -> None:
    run = trajgen.run(write_pipeline(tmp_path, **an_engine("Clumsy")), tmp_path / "run")
    dead = deaths(run.path)
    assert 0 < len(dead) < 12
    assert all(death["error"] == "internal" for death in dead)
    assert all("KeyError" in death["message"] for death in dead)
    assert_whole(run.path)


def test_an_engine_that_cannot_start_stops_the_run(tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, **an_engine("Silent"))
    with pytest.raises(MachineError, match="the licence server is closed"):
        trajgen.run(pipeline, tmp_path / "run")
    assert not list((tmp_path / "run" / "shards").iterdir())
    assert not (tmp_path / "run" / "logs" / "driver.lock").exists()


def test_an_engine_that_always_dies_stops_the_run(tmp_path: Path) -> None:
    script = {"die": {"rate": 1.0}}
    cluster = {"address": "inline", "restarts": 3}
    with pytest.raises(MachineError, match="lost 4 times without one task done") as caught:
        trajgen.run(write_pipeline(tmp_path, script, cluster=cluster), tmp_path / "run")
    assert "run the same command again" in str(caught.value)


def test_preview_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = planned_ids(tmp_path)[1]
    pipeline = write_pipeline(tmp_path, {"refuse": {"tasks": [task]}})
    before, told = tree(tmp_path), list[str]()
    found = preview(str(pipeline), 3, (), told.append)
    assert [t.id for t in found] == [planned_ids(tmp_path)[n] for n in (0, 2)]
    assert told == [f"{task}: dead (request: refused, as the script says)"]
    assert all(not t.reasons and t.messages for t in found)
    assert tree(tmp_path) == before


def test_preview_says_why_its_engine_died(tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, {"die": {"rate": 1.0}})
    with pytest.raises(MachineError, match=r"the engine died \(the scripted engine is dead"):
        preview(str(pipeline), 2, (), lambda _: None)


def test_a_run_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pipeline = write_pipeline(tmp_path, BADLY)
    run = trajgen.run(pipeline, limit=8, overrides=["shards.rows=3", "name=mine"])
    assert run.path == Path("runs/mine")
    opened = trajgen.open("runs/mine")
    assert len(opened) == len(run) == run.status()["kept"] > 0
    frame = opened.frame()
    assert list(frame["id"]) == [trajectory.id for trajectory in opened]
    assert not {"messages", "tools"} & set(frame.columns)
    domain = trajgen.load_domain("seeds/household")
    assert all(trajgen.check(trajectory, domain) == [] for trajectory in opened)
    assert isinstance(run[0], Trajectory)
    broken = replace(run[0], messages=run[0].messages[:-1])
    assert trajgen.check(broken, domain)
    with pytest.raises(InputError):
        trajgen.open(tmp_path)


def test_a_data_set_of_the_result(tmp_path: Path) -> None:
    run = trajgen.run(write_pipeline(tmp_path, BADLY), tmp_path / "run")
    found = run.dataset()
    assert found["id"][:] == list(run.frame()["id"])
    assert found[0]["messages"][0]["role"] == "user"


def test_a_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run = trajgen.run(write_pipeline(tmp_path), "~/out", limit=2)
    assert run.path == tmp_path / "out"
    assert not (tmp_path / "~").exists()


@pytest.mark.slow
def test_a_run_in_a_notebook(tmp_path: Path) -> None:
    """Where an event loop runs already, as in every notebook."""
    pipeline = write_pipeline(tmp_path, BADLY)

    async def cell() -> tuple[Run, list[Trajectory]]:
        found = preview(str(pipeline), 1, (), lambda _: None)
        return trajgen.run(pipeline, tmp_path / "beside"), found

    run, found = asyncio.run(cell())
    assert len(found) == 1
    trajgen.run(pipeline, tmp_path / "plain")
    assert made(run.path) == made(tmp_path / "plain")


def test_a_run_in_a_thread(tmp_path: Path) -> None:
    runs: list[Run] = []
    pipeline = write_pipeline(tmp_path)
    thread = threading.Thread(target=lambda: runs.append(trajgen.run(pipeline, tmp_path / "run")))
    thread.start()
    thread.join(60)
    assert runs[0].status()["complete"]


@pytest.mark.slow
def test_ctrl_c_in_a_notebook(tmp_path: Path, reference: Path) -> None:
    """The run beside the notebook's loop ends too, and gives its folder back."""
    write_pipeline(tmp_path, SLOWLY, **LONGER)
    code = (
        "import asyncio, trajgen\n"
        "async def cell():\n"
        "    try:\n"
        "        trajgen.run('pipeline.yaml', 'run')\n"
        "    except KeyboardInterrupt:\n"
        "        print('stopped', flush=True)\n"
        "loop = asyncio.new_event_loop()\n"
        "loop.run_until_complete(cell())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((tmp_path / "run" / "shards" / "train-00000.parquet").exists)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert out == "stopped\n"
    assert time.monotonic() - began < STOP_S
    go_on(tmp_path, reference)


def test_signals_are_given_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert cli.main(["run", str(write_pipeline(tmp_path)), "--out", str(tmp_path / "run")]) == 0
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_progress_only_grows_and_ends_where_the_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Snapshot] = []
    monkeypatch.setattr(Progress, "update", lambda self, snapshot: shown.append(snapshot))
    monkeypatch.setattr("trajgen.watch.TICK_S", 0.001)
    run = trajgen.run(write_pipeline(tmp_path, SLOWLY), tmp_path / "run")
    done = [snapshot.done for snapshot in shown]
    assert done == sorted(done)
    assert (done[-1], shown[-1].committed_shards) == (12, 3)
    assert shown[-1].kept == len(run)
    assert dict(shown[-1].reasons) == run.status()["reasons"]
    assert any(0 < n < 12 for n in done)


def test_the_usage_of_a_run(tmp_path: Path) -> None:
    run = trajgen.run(write_pipeline(tmp_path), tmp_path / "run")
    tokens = run.status()["tokens"]
    assert tokens["generated"] > 0
    assert tokens["prompt"] > tokens["generated"]
    assert run.status()["seconds"] > 0


def test_the_record_of_a_run(tmp_path: Path) -> None:
    run = trajgen.run(write_pipeline(tmp_path, BADLY), tmp_path / "run", limit=4)
    record = read_record(run.path / "run.json")
    assert record is not None
    assert record["planned"] == record["pipeline"]["max_tasks"] == 4
    assert record["pipeline"]["engines"]["main"]["script"] == BADLY
    assert record["run_id"] == run[0].run_id
    assert {"python", "trajgen", "pyarrow"} <= record["versions"].keys()


OURS = sorted(path.name for path in (REPO / "pipelines").glob("*.yaml"))
REAL = ("tau2", "textworld")  # environments that take seconds to import


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n.startswith(REAL) else n for n in OURS],
)
def test_every_pipeline_of_ours_plans(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = shipped("pipelines") / name
    assert cli.main(["plan", str(path), "--limit", "50", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    small = name in ("quickstart.yaml", "household_untaught.yaml")
    assert found["tasks"] == (48 if small else 50)
    assert len(found["strategies"]) > 1


def test_a_run_is_sealed_before_its_cluster_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = []

    @contextmanager
    def cluster(*given: Any) -> Iterator[Hire]:
        with open_cluster(*given) as hire:
            yield hire
        sealed.append((tmp_path / "run" / "manifest.json").exists())

    monkeypatch.setattr(pipeline, "open_cluster", cluster)
    trajgen.run(write_pipeline(tmp_path), tmp_path / "run", limit=4)
    assert sealed == [True]


def test_near_copies_are_the_same_ones_after_a_resume(tmp_path: Path) -> None:
    data = {"max_tasks": 60, "shards": {"rows": 5}, "near_duplicate": 0.9}
    path = write_pipeline(tmp_path, **data, variations={"strategies": {"rephrase": 1}})
    run = trajgen.run(path, tmp_path / "run")
    found = run.status()["reasons"]
    assert found["near_duplicate"] > 0
    before = made(tmp_path / "run")
    (tmp_path / "run" / "manifest.json").unlink()
    for number in range(5, 12):
        (tmp_path / "run" / "shards" / f"train-{number:05d}.parquet").unlink()
    trajgen.run(path, tmp_path / "run")
    assert made(tmp_path / "run") == before
    assert verify(tmp_path / "run") == []


def test_a_judge_rejects_in_a_run_and_its_scores_are_in_the_rows(tmp_path: Path) -> None:
    roles = {"user": "main", "agent": "main", "world": "main", "judge": "main"}
    path = write_pipeline(tmp_path, {"quality": {"judge": 0.5}}, max_tasks=24, roles=roles)
    run = trajgen.run(path, tmp_path / "run")
    low = {"policy_violation", "goal_not_reached", "low_quality"}
    assert set(run.status()["reasons"]) <= low
    assert set(run.status()["reasons"])
    kept = [run[n].scores["judge"] for n in range(len(run))]
    assert {"policy", "error"} & kept[0].keys()
    assert all(scores.get("policy", 5) >= 3 for scores in kept)


def test_agreement_is_measured_in_a_run(tmp_path: Path) -> None:
    script = {"quality": {"world": 0.8}}
    world = {"declared": False, "agreement": {"samples": 3, "at_least": 0.67}}
    path = write_pipeline(tmp_path, script, world=world)
    run = trajgen.run(path, tmp_path / "run")
    shares = [
        step.agreement or 0 for n in range(len(run)) for step in run[n].steps if not step.fault
    ]
    assert min(shares) >= 2 / 3
    assert 1.0 in shares
    assert all(run[n].scores["agreement"]["min"] >= 0.66 for n in range(len(run)))
