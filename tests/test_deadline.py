"""What may hang for ever has a limit, and what guards it is let go only when it is over."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.crash.small_run import open_run, result
from tests.small_pipeline import write_pipeline
from tests.test_dispatch import Play, run
from trajgen import cli, pipeline, shards, writes
from trajgen.deadline import awaited_within, done_within
from trajgen.errors import CommitError, MachineError, RunLocked
from trajgen.run_folder import RunFolder

T = TypeVar("T")
LATE = MachineError("too late")


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hangs waits for it; nothing hangs after the test."""
    event, before = threading.Event(), set(threading.enumerate())
    yield event
    event.set()
    for thread in set(threading.enumerate()) - before:
        if thread.daemon:
            thread.join(5)


def both(limit_s: float, work: Any) -> list[Any]:
    """What it gives, beside an event loop and without one."""
    return [asyncio.run(awaited_within(limit_s, work, LATE)), done_within(limit_s, work, LATE)]


def test_what_is_done_in_time_gives_its_result_or_error() -> None:
    assert both(60, lambda: 7) == [7, 7]

    def fail() -> None:
        raise CommitError("disk full")

    for call in (
        lambda: asyncio.run(awaited_within(60, fail, LATE)),
        lambda: done_within(60, fail, LATE),
    ):
        with pytest.raises(CommitError, match="disk full"):
            call()


def test_an_error_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio logs, with its traceback, what nobody has asked for."""

    def fail() -> None:
        raise LATE

    with pytest.raises(MachineError):
        asyncio.run(awaited_within(5, fail, LATE))
    gc.collect()
    assert caplog.text == ""


def test_what_hangs_raises_and_is_left_behind(gate: threading.Event) -> None:
    for call in (
        lambda: asyncio.run(awaited_within(0.05, gate.wait, LATE)),
        lambda: done_within(0.05, gate.wait, LATE),
    ):
        began = time.monotonic()
        with pytest.raises(MachineError, match="too late"):
            call()
        assert time.monotonic() - began < 20


def hangs_at(monkeypatch: pytest.MonkeyPatch, gate: threading.Event, number: int) -> None:
    """The disk stops to answer when shard `number` is written."""
    real = shards.commit

    def commit(folder: Path, shard: Any, *rest: Any) -> Any:
        if shard.number == number:
            gate.wait()
        return real(folder, shard, *rest)

    monkeypatch.setattr(shards, "commit", commit)


def test_a_commit_that_hangs_ends_the_run_and_names_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: threading.Event
) -> None:
    monkeypatch.setattr(writes, "LIMIT_S", 0.2)
    monkeypatch.setattr(writes, "END_S", 0.1)
    hangs_at(monkeypatch, gate, 1)
    play = Play()
    with pytest.raises(CommitError, match="the disk does not answer") as caught:
        run(tmp_path, play, planned=60, rows=20)
    assert caught.value.where == str(tmp_path / "shards" / "train-00001.parquet")
    assert caught.value.exit_code == 3
    assert play.closed == len(play.hired)
    lock = tmp_path / "logs" / "driver.lock"
    with pytest.raises(RunLocked):  # it may yet be written: nobody else works here
        RunFolder.create_or_open(tmp_path, {"digest": "d" * 64}, [], [])
    gate.set()
    end = time.monotonic() + 60
    while lock.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_manifest_that_hangs_ends_the_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gate: threading.Event,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def soon_late(path: Path, write: Callable[[], T]) -> T:
        monkeypatch.setattr(writes, "LIMIT_S", 0.2)  # of the manifest alone
        return writes.written(path, write)

    monkeypatch.setattr(writes, "END_S", 0.1)
    monkeypatch.setattr(pipeline, "written", soon_late)
    monkeypatch.setattr(RunFolder, "_finish", lambda *_: gate.wait())
    out = tmp_path / "run"
    assert cli.main(["run", str(write_pipeline(tmp_path)), "--out", str(out), "--limit", "2"]) == 3
    told = capsys.readouterr().err.splitlines()[-2:]
    assert told[0].startswith(f"trajgen: {out / 'manifest.json'}: not written within 0.2 s")
    assert "run the same command again" in told[1]


def test_after_the_end_nothing_is_written(tmp_path: Path) -> None:
    """A commit that comes late, when another driver may have the folder, is none."""
    folder = open_run(tmp_path)
    folder.close()
    with pytest.raises(CommitError, match="the run was stopped"):
        folder.commit(result(0))
    with open_run(tmp_path) as again:
        assert again.committed() == {}
