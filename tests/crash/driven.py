"""A command in a process of its own, which tests stop, kill and start again.

Everything it starts carries a mark in its environment, by which it is found whatever becomes
of its parents, and has a temporary folder of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.small_pipeline import environment

MARK = "TRAJGEN_DRIVEN"  # SPT_NOENV keeps it there when a process gives itself a title
SHARED_MEMORY = Path("/dev/shm")
GONE_S = 15.0  # for what was killed to be gone, on a busy machine


@dataclass(frozen=True)
class Ended:
    """How a command ended, and how long that took after it was told to."""

    code: int
    out: str
    err: str
    seconds: float


class Driven:
    """`trajgen ARGUMENTS`, started in a session of its own: as in a terminal of its own."""

    def __init__(self, *arguments: Any, cwd: Path, temporary: Path, **changes: str) -> None:
        self.mark = uuid.uuid4().hex
        self.temporary = temporary
        marks = {MARK: self.mark, "TMPDIR": str(self.temporary), "SPT_NOENV": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trajgen", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=environment(**{**marks, **changes}),
            preexec_fn=_own_session,
        )

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, true: Callable[[], object], seconds: float = 120) -> None:
        """Until `true`; the command must not end before."""
        end = time.monotonic() + seconds
        while not true():
            assert self.running, self.process.communicate()[1]
            assert time.monotonic() < end, "it did not come so far"
            time.sleep(0.02)

    def send(self, number: int) -> None:
        """As `kill` does: to this process alone."""
        self.process.send_signal(number)

    def press_ctrl_c(self) -> None:
        """As a terminal does: to all processes of its group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ended(self, limit_s: float = 60) -> Ended:
        """Wait for its end."""
        began = time.monotonic()
        try:
            out, err = self.process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            self.clear()
            raise
        return Ended(self.process.returncode, out, err, time.monotonic() - began)

    def family(self, title: str = "") -> list[psutil.Process]:
        """The other processes that it started, whoever is their parent now; those whose command
        line begins with `title`."""
        found = marked(self.mark)
        return [p for p in found if p.pid != self.process.pid and _title(p).startswith(title)]

    def clear(self) -> None:
        """Kill whatever is left."""
        for process in marked(self.mark):
            with suppress(psutil.Error):
                process.kill()

    def left_over(self, limit_s: float = GONE_S) -> list[str]:
        """Processes that are still there after a while, and files in its temporary folder."""
        end = time.monotonic() + limit_s
        while (family := self.family()) and time.monotonic() < end:
            time.sleep(0.1)
        files = [f"file {path}" for path in sorted(self.temporary.rglob("*"))]
        return [f"process {p.pid} {_title(p)}" for p in family] + files


@contextmanager
def driven(*arguments: Any, cwd: Path, **changes: str) -> Iterator[Driven]:
    """The command; whatever is left of it at the end is killed."""
    # of a short name: it holds sockets
    with tempfile.TemporaryDirectory(prefix="d-", ignore_cleanup_errors=True) as temporary:
        command = Driven(*arguments, cwd=cwd, temporary=Path(temporary), **changes)
        try:
            yield command
        finally:
            command.clear()
            with suppress(ValueError):  # its output was read already
                command.process.communicate(timeout=GONE_S)


def marked(mark: str) -> list[psutil.Process]:
    """The processes that carry a mark and are no zombies."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@contextmanager
def no_shared_memory_left(limit_s: float = GONE_S) -> Iterator[None]:
    """No segment that comes up inside is left without a process that has it mapped."""
    before = set(SHARED_MEMORY.iterdir())
    yield
    end = time.monotonic() + limit_s
    while left := (set(SHARED_MEMORY.iterdir()) - before) - mapped():
        assert time.monotonic() < end, sorted(left)
        time.sleep(0.2)


def mapped() -> set[Path]:
    """The shared memory that some process uses, whosever it is."""
    found = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            for line in maps.read_text("utf-8", "replace").splitlines():
                path = line.partition("/")[2]
                if path.startswith("dev/shm/"):
                    found.add(Path(f"/{path}"))
    return found


def _title(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _own_session() -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell may have set it aside
