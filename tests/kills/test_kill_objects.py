"""A run in a real S3 server whose driver is killed, doubled, overtaken or left without answers.

The bucket ends up as a folder does in which nothing ever happened.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from memory_store import objects
from s3_server import BUCKET, S3, s3_server
from small_pipeline import REPO, environment, made, start, write_pipeline

import trajgen
from trajgen.lease import LEASE
from trajgen.objects import ObjectPath, place_of
from trajgen.verify import verify

DRIVEN = REPO / "tests" / "kills" / "driven_objects.py"
KILLS = 30
TASKS, ROWS = 24, 2
PROMPTLY_S = 5.0
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server


@pytest.fixture
def pipeline(tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Path:
    """24 tasks in 12 shards, and the way to the server."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return write_pipeline(tmp_path, max_tasks=TASKS, shards={"rows": ROWS})


@pytest.fixture
def slow(tmp_path: Path, pipeline: Path) -> Path:
    """The same, by an engine that takes its time: something to interrupt."""
    return write_pipeline(
        tmp_path / "slow", {"delay_ms": 100}, max_tasks=TASKS, shards={"rows": ROWS}
    )


@pytest.fixture
def whole(tmp_path: Path, pipeline: Path) -> dict[str, str]:
    """Every file of an uninterrupted run in a folder, by sha256."""
    trajgen.run(pipeline, tmp_path / "whole")
    return {name: mark for name, mark in made(tmp_path / "whole").items() if mark != "folder"}


def at(name: str) -> ObjectPath:
    """A run in the bucket."""
    place = place_of(f"s3://{BUCKET}/{name}")
    assert isinstance(place, ObjectPath)
    return place


def marks(path: ObjectPath) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in objects(path).items()}


def driver(pipeline: Path, name: str, tmp_path: Path) -> subprocess.Popen[str]:
    return start("run", pipeline, "--out", f"s3://{BUCKET}/{name}", cwd=tmp_path)


def ended(running: subprocess.Popen[str]) -> int:
    """The exit code of a driver, with all that it said read."""
    running.communicate(timeout=120)
    return running.returncode


def committed(name: str, shards: int, running: subprocess.Popen[str]) -> None:
    """Wait for so many shards."""
    while running.poll() is None and len((at(name) / "shards").sizes()) < shards:
        time.sleep(0.05)
    assert running.poll() is None, running.communicate()


def look(path: ObjectPath, seen: dict[str, int]) -> int:
    """Read all that is committed by now: each shard is whole, and stays as it was."""
    if not (path / "run.json").exists():
        return 0
    run = trajgen.open(path)  # type: ignore[arg-type]
    for file in run.rows().files:
        rows = len(type(run.rows())([file]).column("id"))
        assert seen.setdefault(str(file), rows) == rows > 0, file
    return len(run)


def test_killed_thirty_times(pipeline: Path, whole: dict[str, str]) -> None:
    """At random, between requests and within them, while somebody reads."""
    drivers = subprocess.Popen(
        [sys.executable, DRIVEN, pipeline, f"s3://{BUCKET}/killed", str(KILLS)],
        env=environment(PYTHONPATH=f"{REPO}:{REPO / 'tests'}"),
        stdout=subprocess.PIPE,
        text=True,
    )
    seen: dict[str, int] = {}
    looks, runs = 0, 0
    while drivers.poll() is None:
        looks += bool(look(at(f"killed/{runs}"), seen))
        runs += (at(f"killed/{runs}") / "manifest.json").exists()
    told, _ = drivers.communicate()
    assert drivers.returncode == 0
    assert looks > 10
    for number in range(int(told)):
        assert verify(at(f"killed/{number}")) == []
        assert marks(at(f"killed/{number}")) == whole


def test_one_driver_at_a_time_and_the_next_at_once(
    slow: Path, whole: dict[str, str], tmp_path: Path
) -> None:
    """A second one is refused with exit 3 while the first lives; killed, it is succeeded."""
    first = driver(slow, "doubled", tmp_path)
    committed("doubled", 2, first)
    second = driver(slow, "doubled", tmp_path)
    _, told = second.communicate(timeout=120)
    assert (second.returncode, f"process {first.pid} on" in told) == (3, True), told
    first.kill()
    first.communicate()
    third = driver(slow, "doubled", tmp_path)
    _, told = third.communicate(timeout=120)
    assert third.returncode == 0, told
    assert rows_of(at("doubled")) == {f"shards/train-{n:05d}.parquet" for n in range(TASKS // ROWS)}
    assert verify(at("doubled")) == []


def rows_of(path: ObjectPath) -> set[str]:
    return {name for name in objects(path) if name.startswith("shards/")}


SLEEPER = """
import sys, trajgen.lease
from trajgen.__main__ import main
trajgen.lease.STALE_S, trajgen.lease.RENEW_S = 3, 0.5  # to sleep 3 s is to sleep a minute
sys.exit(main())
"""
SUCCESSOR = """
import sys, trajgen, trajgen.lease
trajgen.lease.TAKEN_S = 0  # as if two minutes had passed
trajgen.run(sys.argv[1], sys.argv[2])
"""


def test_a_driver_that_slept_through_its_lease_changes_nothing(slow: Path, tmp_path: Path) -> None:
    """Another one finishes the run meanwhile; waking up, the first stops with exit 3."""
    first = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, "run", slow, "--out", f"s3://{BUCKET}/slept"],
        env=environment(),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    committed("slept", 2, first)
    first.send_signal(signal.SIGSTOP)
    slept = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SUCCESSOR, slow, f"s3://{BUCKET}/slept"],
        env=environment(),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    before = versions(at("slept"))
    time.sleep(max(0.0, 4 - (time.monotonic() - slept)))
    first.send_signal(signal.SIGCONT)
    _, told = first.communicate(timeout=60)
    assert first.returncode == 3, told
    assert "trajgen: " in told
    assert "Traceback" not in told
    assert versions(at("slept")) == before
    assert verify(at("slept")) == []


def versions(path: ObjectPath) -> dict[str, Any]:
    """Every object outside logs/ as the store knows it, time of writing included."""
    return {name: path.store.head(name) for name in objects(path)}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["at once", "at work"])
def test_a_hung_store_does_not_hold_up_ctrl_c(
    sent: signal.Signals, when: str, s3: S3, slow: Path, tmp_path: Path
) -> None:
    """The driver is gone in 5 s whatever it waits for, and the run goes on afterwards."""
    name = f"hung/{sent.name}/{when.replace(' ', '-')}"
    running = driver(slow, name, tmp_path)
    if when == "at work":
        committed(name, 1, running)
    with s3.hung():
        time.sleep(1.5)  # now it waits for an answer
        began = time.monotonic()
        running.send_signal(sent)
        _, told = running.communicate(timeout=60)
        took = time.monotonic() - began
    assert running.returncode == 130, told
    assert "Traceback" not in told
    assert "panicked" not in told
    assert took < PROMPTLY_S, told
    again = driver(slow, name, tmp_path)
    _, told = again.communicate(timeout=120)
    assert again.returncode == 0, told
    assert verify(at(name)) == []


def test_a_store_that_goes_away_ends_the_run_with_exit_3(
    s3: S3, slow: Path, tmp_path: Path
) -> None:
    """Within its limit, naming the object; what is committed stays."""
    code = "import sys, trajgen.object_store as o; o.LIMIT_S = 1.5; o.ObjectStore.__init__."
    code += "__defaults__ = (1.5,); from trajgen.cli import main; sys.exit(main())"
    running = subprocess.Popen(
        [sys.executable, "-c", code, "run", slow, "--out", f"s3://{BUCKET}/away"],
        env=environment(),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    committed("away", 1, running)
    with s3.hung():
        _, told = running.communicate(timeout=60)
    assert running.returncode == 3
    assert f"s3://{BUCKET}/away/" in told
    assert "does not answer in time" in told
    assert ended(driver(slow, "away", tmp_path)) == 0


def test_every_reader_reads_it_there(
    pipeline: Path, whole: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """status, verify, show, frame, sample, dataset, and `trajgen run` once more."""
    url = f"s3://{BUCKET}/read"
    done = trajgen.run(pipeline, url)
    assert marks(at("read")) == whole
    for command in (["status", url, "--json"], ["verify", url, "--json"], ["show", url, "-n", "1"]):
        running = start(*command, cwd=tmp_path)
        out, told = running.communicate(timeout=120)
        assert running.returncode == 0, told
        if command[0] == "status":
            assert json.loads(out)["done"] == TASKS
        if command[0] == "verify":
            assert json.loads(out) == {"ok": True, "problems": []}
        if command[0] == "show":
            assert "task-" in out
    here = trajgen.open(tmp_path / "whole")
    assert done.frame().equals(here.frame())
    assert done.dataset().to_list() == here.dataset().to_list()
    assert done.sample(3) == here.sample(3)
    before = versions(at("read"))
    assert ended(driver(pipeline, "read", tmp_path)) == 0
    assert versions(at("read")) == before


def test_no_secret_is_in_the_bucket_or_an_error(s3: S3, pipeline: Path, tmp_path: Path) -> None:
    """The keys of the environment go into signatures and nowhere else."""
    secret = s3.environment["AWS_SECRET_ACCESS_KEY"]
    url = f"s3://{BUCKET}/secret"
    trajgen.run(pipeline, url)
    every = objects(at("secret")) | {LEASE: (at("secret") / "logs" / LEASE).read_bytes()}
    assert not [name for name, data in every.items() if secret.encode() in data]
    gone = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    running = start("status", url, "--debug", cwd=tmp_path, **gone)
    out, told = running.communicate(timeout=120)
    assert running.returncode == 3
    assert secret not in out + told


def test_a_missing_bucket_is_told(pipeline: Path, tmp_path: Path) -> None:
    running = start("run", pipeline, "--out", "s3://no-such-bucket/x", cwd=tmp_path)
    _, told = running.communicate(timeout=120)
    assert running.returncode == 3
    assert "NoSuchBucket" in told
    assert "Traceback" not in told
    assert os.listdir(tmp_path) == ["pipeline.yaml"]
