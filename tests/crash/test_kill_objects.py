"""A run in a real S3 server whose driver is killed, hung or doubled: the bucket holds the run.

The driver is a process forked from a clean one that has imported everything, so that a life
takes a second. It is ended by SIGKILL at a random moment, mostly in the middle of a request.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from memory_store import objects
from s3_server import BUCKET, S3, s3_server
from small_pipeline import made, start, write_pipeline

from trajgen.objects import ObjectPath, place_of
from trajgen.verify import verify

KILLS = 30
TASKS = 48
pytestmark = pytest.mark.slow
Driver = Callable[[str], None]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server


@pytest.fixture
def pipeline(tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Path:
    """48 tasks in 12 shards, and the way to the server."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return write_pipeline(tmp_path, max_tasks=TASKS)


# lives of a driver, in a clean process (see `__main__`)


def life(pipeline: str, url: str, seconds: float | None) -> bool:
    """A driver, killed after so many seconds; whether it was."""
    child = os.fork()
    if child == 0:
        _drive(pipeline, url)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, how = os.waitpid(child, 0)
    if not os.WIFSIGNALED(how) and how != 0:
        raise SystemExit("the driver failed by itself")
    return os.WIFSIGNALED(how)


def _drive(pipeline: str, url: str) -> None:
    import trajgen

    sys.stderr = open(os.devnull, "w")
    trajgen.run(pipeline, url)


def lives(pipeline: str, url: str, kills: int) -> int:
    """Runs under `url`/0, /1, ... until `kills` drivers were killed, each run to its end; how
    many runs that took."""

    draw, done, runs = random.Random(5), 0, 0
    while done < kills:
        while life(pipeline, f"{url}/{runs}", draw.uniform(0.05, 1.2) if done < kills else None):
            done += 1
        runs += 1
    return runs


# what a reader sees meanwhile


def look(url: str, path: ObjectPath, seen: dict[str, int]) -> int:
    """Read whatever is committed by now: each shard is whole, and stays as it is."""
    import trajgen

    if not (path / "run.json").exists():
        return 0
    run = trajgen.open(url)
    for file in run._kept.files:
        assert isinstance(file, ObjectPath)
        rows = len(type(run._kept)([file]).column("id"))
        assert seen.setdefault(str(file), rows) == rows, file
    return len(run)


def test_killed_thirty_times(pipeline: Path, tmp_path: Path) -> None:
    """The driver dies thirty times at random while somebody reads; the bucket ends up as a
    folder does in which nothing ever happened."""
    start("run", pipeline, "--out", tmp_path / "whole", cwd=tmp_path).communicate(timeout=300)
    wanted = made(tmp_path / "whole")
    url = f"s3://{BUCKET}/killed"
    source = str(Path(__file__).parents[2])
    drivers = subprocess.Popen(
        [sys.executable, __file__, str(pipeline), url, str(KILLS)],
        env={**os.environ, "PYTHONPATH": f"{source}:{source}/tests"},
        stdout=subprocess.PIPE,
        text=True,
    )
    seen: dict[str, int] = {}
    looks, runs = 0, 0
    while drivers.poll() is None:
        if (place_of(f"{url}/{runs}") / "manifest.json").exists():  # type: ignore[operator]
            runs += 1
        place = place_of(f"{url}/{runs}")
        assert isinstance(place, ObjectPath)
        looks += bool(look(f"{url}/{runs}", place, seen))
        time.sleep(0.05)
    told, _ = drivers.communicate(timeout=60)
    assert drivers.returncode == 0
    assert looks > 10
    for number in range(int(told)):
        path = place_of(f"{url}/{number}")
        assert isinstance(path, ObjectPath)
        assert verify(path) == []
        assert _marks(objects(path)) == {k: v for k, v in wanted.items() if v != "folder"}


def _marks(found: dict[str, bytes]) -> dict[str, str]:
    import hashlib

    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


if __name__ == "__main__":
    print(lives(sys.argv[1], sys.argv[2], int(sys.argv[3])))
