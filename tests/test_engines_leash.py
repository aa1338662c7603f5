"""A leashed process dies with the one that started it; nobody else notices anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import psutil
import pytest

from tests.small_pipeline import environment
from trajgen.engines import leash

# A parent starts a child by `spawn`, as vLLM does; the child starts one of its own.
PROGRAM = """
import multiprocessing, os, time
from pathlib import Path
from trajgen.engines.leash import held, leash

def inner():
    leash()
    print("inner", os.getpid(), flush=True)
    time.sleep(60)

def outer():
    leash()
    child = multiprocessing.get_context("spawn").Process(target=inner)
    child.start()
    print("outer", os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=outer)
    if HELD:
        with held(Path()):
            process.start()
    else:
        process.start()
    time.sleep(60)
"""


def wait_until(true: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


@pytest.mark.parametrize("held", [True, False])
def test_killed_with_its_parent(held: bool, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM.replace("HELD", str(held)))
    process = subprocess.Popen(
        [sys.executable, file], env=environment(), stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        found = dict(process.stdout.readline().split() for _ in range(2))
        children = [psutil.Process(int(pid)) for pid in found.values()]
        process.send_signal(signal.SIGKILL)
        process.wait()
        try:
            gone = wait_until(lambda: not any(map(running, children)), 5 if held else 0.3)
            assert gone is held
        finally:  # they hold our pipe open
            for child in filter(running, children):
                child.kill()


def running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_nothing_happens_where_nobody_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In any other process that uses vLLM, and in the one that holds the leash."""
    called: list[object] = []
    monkeypatch.setattr("ctypes.CDLL", called.append)
    for value in (None, str(os.getpid()), "1"):
        monkeypatch.delenv(leash.VARIABLE, raising=False)
        if value is not None:
            monkeypatch.setenv(leash.VARIABLE, value)
        leash.leash()
    assert called == []


def test_what_is_started_inside_finds_leash_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    monkeypatch.delenv("VLLM_PLUGINS", raising=False)
    before = dict(os.environ)
    with leash.held(tmp_path):
        assert os.environ[leash.VARIABLE] == str(os.getpid())
        assert os.environ["TMPDIR"] == os.environ["VLLM_RPC_BASE_PATH"] == str(tmp_path)
        assert "VLLM_PLUGINS" not in os.environ
    assert dict(os.environ) == before


def test_plugins_that_were_chosen_are_loaded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_PLUGINS", "mine")
    with leash.held(tmp_path):
        assert os.environ["VLLM_PLUGINS"] == f"mine,{leash.PLUGIN}"
    assert os.environ["VLLM_PLUGINS"] == "mine"


def test_vllm_finds_the_plugin() -> None:
    """An install that is older than the plugin lacks it: `pip install -e .` again."""
    (found,) = entry_points(group="vllm.general_plugins", name=leash.PLUGIN)
    assert found.load() is leash.leash
