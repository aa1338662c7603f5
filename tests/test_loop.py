"""Ctrl-C and SIGTERM: the first cancels what is under way, the second ends at once."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.small_pipeline import environment
from trajgen import loop
from trajgen.errors import MachineError
from trajgen.loop import Stop, run_to_end


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """As before: a command that was stopped keeps its own to its end, which does not come here."""
    before = {number: signal.getsignal(number) for number in loop.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", loop.SIGNALS)
def test_the_first_signal_cancels_the_work(number: int) -> None:
    unwound: list[str] = []

    async def work() -> None:
        asyncio.get_running_loop().call_later(0.01, send, number)
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.01)  # cleaning up may wait
            unwound.append("cleanly")

    before = [signal.getsignal(n) for n in loop.SIGNALS]
    with pytest.raises(KeyboardInterrupt):
        run_to_end(work)
    assert unwound == ["cleanly"]
    assert [signal.getsignal(n) for n in loop.SIGNALS] == before


def test_without_work_a_signal_is_an_interrupt() -> None:
    def wait() -> None:
        send(signal.SIGTERM)
        time.sleep(5)

    with pytest.raises(KeyboardInterrupt), Stop():
        wait()


DROPPED = """
import os, signal, time
from trajgen.loop import Stop

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(10): pass

try:
    with Stop(at_once):
        Finalized()
        time.sleep(5)
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.parametrize("at_once", ["None", "lambda: os._exit(1)"])
def test_an_interrupt_that_python_drops_is_raised_anew(at_once: str) -> None:
    """In a finalizer, as every import has one, it would be printed and forgotten."""
    program = DROPPED.replace("at_once", at_once)
    command = [sys.executable, "-c", program]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, env=environment(), timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"stopped\n", b"")
    assert time.monotonic() - began < 4


def test_other_errors_of_finalizers_are_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finalized:
        def __del__(self) -> None:
            raise ValueError

    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: told.append(lost.exc_type))
    hook = sys.unraisablehook
    with Stop():
        Finalized()
    assert told == [ValueError]
    assert sys.unraisablehook is hook


def test_a_signal_at_the_last_moment_counts() -> None:
    """The work is done when it is cancelled: what follows it must not go on."""

    async def work() -> str:
        send(signal.SIGINT)
        return "done"

    with pytest.raises(KeyboardInterrupt):
        run_to_end(work)


@pytest.mark.filterwarnings("error")
def test_a_signal_just_before_the_loop_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work does not begin, and no coroutine is left that nobody awaits."""
    begun: list[str] = []
    run = asyncio.run

    def interrupted(main: Coroutine[Any, Any, None]) -> None:
        send(signal.SIGINT)
        run(main)

    async def work() -> None:
        begun.append("it did")

    monkeypatch.setattr(asyncio, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_to_end(work)
    gc.collect()
    assert begun == []


def test_what_a_stop_breaks_is_a_stop() -> None:
    """A terminal's Ctrl-C hits the engine's process too."""

    async def work() -> None:
        try:
            send(signal.SIGINT)
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            raise MachineError("the engine is gone") from None

    with pytest.raises(KeyboardInterrupt):
        run_to_end(work)


def test_errors_without_a_stop_stay_what_they_are() -> None:
    async def work() -> None:
        raise MachineError("no disk")

    with pytest.raises(MachineError, match="no disk"):
        run_to_end(work)


def test_a_caller_of_the_library_gets_out_by_a_second_signal() -> None:
    async def work() -> None:
        asyncio.get_running_loop().call_later(0.01, send, signal.SIGINT)
        asyncio.get_running_loop().call_later(0.05, send, signal.SIGINT)
        try:
            await asyncio.sleep(30)
        finally:
            time.sleep(0.3)  # where nobody can be cancelled

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_to_end(work)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("again", [False, True])
def test_a_command_that_hangs_is_ended(again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """After GRACE_S, or at once by a second signal; the main thread is in a call meanwhile."""
    monkeypatch.setattr(loop, "GRACE_S", 30 if again else 0.05)
    ended = threading.Event()

    async def work() -> None:
        send(signal.SIGTERM)
        if again:
            send(signal.SIGINT)
        assert ended.wait(5)

    with pytest.raises(KeyboardInterrupt), Stop(ended.set):
        run_to_end(work)
    assert ended.is_set()


def test_a_command_that_stops_in_time_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "GRACE_S", 0.05)
    ended = threading.Event()
    before = threading.active_count()

    async def work() -> None:
        send(signal.SIGTERM)
        await asyncio.sleep(30)

    with pytest.raises(KeyboardInterrupt), Stop(ended.set):
        run_to_end(work)
    assert not ended.wait(0.1)
    assert threading.active_count() == before


STOPPED_TWICE = """
import os, signal, time
from trajgen.loop import Stop

def at_once():
    os.write(2, b"stopped")
    os._exit(130)

try:
    with Stop(at_once):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)
"""


def test_a_signal_while_a_stopped_command_says_so_does_not_kill_it() -> None:
    command = [sys.executable, "-c", STOPPED_TWICE]
    done = subprocess.run(command, capture_output=True, env=environment(), timeout=30)
    assert (done.returncode, done.stderr) == (130, b"stopped")


def test_an_ignored_signal_stays_ignored() -> None:
    """A shell starts what it runs in the background so."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stop():
            send(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_work_runs_without_signals() -> None:
    found: list[int] = []

    async def work() -> int:
        return 7

    thread = threading.Thread(target=lambda: found.append(run_to_end(work)))
    thread.start()
    thread.join(5)
    assert found == [7]


def test_a_stopped_command_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    """The command hangs in a thread that nothing can cancel; a child of it ignores SIGTERM."""
    program = (
        "import subprocess, sys, threading, time\n"
        "from trajgen import __main__, verbs\n"
        "from trajgen.scratch import scratch\n"
        "def hang(arguments):\n"
        "    ignoring = 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)'\n"
        "    child = subprocess.Popen([sys.executable, '-c', ignoring])\n"
        "    threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "    with scratch() as folder:\n"
        "        print(child.pid, folder, flush=True)\n"
        "        time.sleep(60)\n"
        "verbs.doctor = hang\n"
        "sys.argv = ['trajgen', 'doctor']\n"
        "sys.exit(__main__.main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    child, folder = process.stdout.readline().split()
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert err.splitlines() == ["trajgen: stopped."]
    assert not Path(f"/proc/{child}").exists()
    assert not Path(folder).exists()
    assert list(tmp_path.iterdir()) == []
