"""A run killed, or failing, at every step of its I/O and resumed equals one never stopped.

A step is whatever changes or opens a file: open, write, fsync, rename, remove, mkdir, lock.
One clean process forks a child for each step; the child ends itself by SIGKILL just before
it, half of a write done. The folder lies in memory where the machine has such a place.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crash import small_run
from crash.small_run import contents
from trajgen.errors import CommitError, TrajgenError
from trajgen.run_folder import status
from trajgen.verify import verify

Ending = Callable[[], None]
_STEPS = ("replace", "rename", "unlink", "mkdir", "fsync", "ftruncate", "open", "write")


def run_all(path: Path) -> None:
    """A run of two shards: about 130 steps."""
    small_run.run_all(path, last=1)


class _Stepwise(io.FileIO):
    """A file of which every write is a step; one that ends the process ends it half done."""

    step: Callable[[Callable[[], None]], None]

    def write(self, data: Any) -> int:
        half = bytes(data)[: len(data) // 2]
        _Stepwise.step(lambda: io.FileIO.write(self, half))
        return super().write(data)


@contextmanager
def stops_at(last: int, ending: Ending) -> Iterator[list[int]]:
    """Call `ending` just before step `last` of the I/O inside; counts the steps."""
    count = [0]

    def step(partly: Callable[[], None] = lambda: None) -> None:
        count[0] += 1
        if count[0] == last:
            partly()
            ending()

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*args: Any, **kwargs: Any) -> Any:
            step()
            return call(*args, **kwargs)

        return instead

    def opened(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if "w" not in mode:
            return real_open(path, mode, *args, **kwargs)
        step()
        raw = _Stepwise(path, mode.replace("b", ""))
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    real_open, real_lock = builtins.open, fcntl.flock
    kept = {name: getattr(os, name) for name in _STEPS}
    _Stepwise.step = staticmethod(step)
    builtins.open = opened  # type: ignore[assignment]
    fcntl.flock = counted(real_lock)
    for name, call in kept.items():
        setattr(os, name, counted(call))
    try:
        yield count
    finally:
        builtins.open, fcntl.flock = real_open, real_lock
        for name, call in kept.items():
            setattr(os, name, call)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(path: Path, step: int) -> bool:
    """Run in a child that is killed before `step`; whether it was."""
    child = os.fork()
    if child == 0:
        with stops_at(step, kill):
            run_all(path)
        os._exit(0)
    _, how = os.waitpid(child, 0)
    if not os.WIFSIGNALED(how) and how != 0:
        raise SystemExit(f"step {step}: the child failed by itself")
    return os.WIFSIGNALED(how)


def check(path: Path, step: int, wanted: dict[str, bytes]) -> None:
    """Whatever lies there reads as a sound run; resumed, it is the uninterrupted one."""
    if (path / "run.json").exists():
        done = status(path)
        if done["done"] != done["kept"] + done["rejected"] + done["dead"]:
            raise SystemExit(f"step {step}: the sums do not hold")
    complete = (path / "manifest.json").exists()
    if complete and verify(path):
        raise SystemExit(f"step {step}: a manifest over {verify(path)}")
    run_all(path)
    if contents(path) != wanted:
        found = contents(path)
        differ = [n for n in sorted(found.keys() | wanted) if found.get(n) != wanted.get(n)]
        raise SystemExit(f"step {step}: differs in {differ}")
    lock = (path / "logs" / "driver.lock").exists() and not complete  # then nothing is touched
    if list(path.rglob(".tmp-*")) or lock:
        raise SystemExit(f"step {step}: something was left over")


def sweep(root: Path) -> int:
    """Kill at every step in turn; the number of steps."""
    run_all(root / "whole")
    wanted, step = contents(root / "whole"), 1
    while killed(root / "run", step):
        check(root / "run", step, wanted)
        shutil.rmtree(root / "run")
        step += 1
    return step - 1


def repeated(root: Path, kills: int) -> int:
    """Kill again and again at a random step, resuming from what is left; kills done."""
    run_all(root / "whole")
    wanted, draw, done = contents(root / "whole"), random.Random(1), 0
    while done < kills:
        while killed(root / "run", draw.randrange(1, 60)):
            done += 1
        check(root / "run", done, wanted)
        shutil.rmtree(root / "run")
    return done


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder in memory if there is one: fsync of a disk would take most of the time."""
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        yield Path(name)


def clean_process(*arguments: str) -> int:
    """This file as a program: a process without threads, which may fork."""
    source = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, "PYTHONPATH": f"{source}:{source}/tests"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.slow
def test_killed_at_every_step(root: Path) -> None:
    assert clean_process("sweep", str(root)) >= 100


@pytest.mark.slow
def test_killed_again_and_again(root: Path) -> None:
    assert clean_process("repeated", str(root), "60") >= 60


@pytest.mark.slow
def test_killed_two_hundred_times(root: Path) -> None:
    assert clean_process("repeated", str(root), "200") >= 200


def _full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _error_of(call: Callable[[], Any]) -> BaseException | None:
    try:
        call()
    except (TrajgenError, KeyboardInterrupt) as error:
        return error
    return None


def _interrupted() -> None:
    raise KeyboardInterrupt


def failing(root: Path, ending: Ending, expected: type[BaseException], stride: int) -> int:
    """Fail at every `stride`-th step, resume, compare; the number of times."""
    run_all(root / "whole")
    wanted = contents(root / "whole")
    for step in range(1, 1000, stride):
        with stops_at(step, ending) as count:
            error = _error_of(lambda: run_all(root / "run"))
        if count[0] < step:
            break
        assert error is None or isinstance(error, expected), step
        assert not isinstance(error, CommitError) or "bytes are free" in str(error), step
        check(root / "run", step, wanted)
        shutil.rmtree(root / "run")
    return step // stride


FAILURES = [(_full, CommitError), (_interrupted, KeyboardInterrupt)]


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "expected"), FAILURES)
def test_failing_at_every_second_step(
    root: Path, ending: Ending, expected: type[BaseException]
) -> None:
    """A full disk is a CommitError wherever it strikes, Ctrl-C passes through."""
    assert failing(root, ending, expected, 2) >= 50


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "expected"), FAILURES)
def test_failing_at_every_step(root: Path, ending: Ending, expected: type[BaseException]) -> None:
    assert failing(root, ending, expected, 1) >= 100


if __name__ == "__main__":
    if sys.argv[1] == "sweep":
        print(sweep(Path(sys.argv[2])))
    else:
        print(repeated(Path(sys.argv[2]), int(sys.argv[3])))
