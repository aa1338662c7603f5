"""What a driver says of itself, for another shell: there, gone, or silent."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import trajgen
from tests.small_pipeline import write_pipeline
from trajgen import heartbeat
from trajgen.heartbeat import Beat, Lines, end_beat, read_beat, write_beat
from trajgen.review.summary import driver_lines, now


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path


def test_a_beat_is_read_back_until_the_driver_ends(folder: Path) -> None:
    assert read_beat(folder) is None
    write_beat(folder, [("tasks", "3/8 tasks"), ("look", "a\ud800")])
    beat = read_beat(folder)
    assert beat is not None
    assert (beat.process, beat.lines[0]) == (os.getpid(), ("tasks", "3/8 tasks"))
    assert beat.age_s < 60
    end_beat(folder)
    end_beat(folder)
    assert read_beat(folder) is None
    assert list((folder / "logs").iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"at": "x"}', '{"at": 1, "lines": [1]}'])
def test_what_cannot_be_read_says_nothing(folder: Path, text: str) -> None:
    (folder / "logs" / "progress.json").write_text(text)
    assert read_beat(folder) is None


def test_status_tells_who_works_and_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert driver_lines(folder) == ["  driver    none is heard: run the same command to go on"]
    write_beat(folder, [("kept", "5/9 kept\x1b[2J")])
    who, kept = driver_lines(folder)
    assert f"process {os.getpid()} on " in who
    assert "works on it" in who
    assert kept == r"    kept    5/9 kept\x1b[2J"
    path = folder / "logs" / "progress.json"
    old = {**json.loads(path.read_bytes()), "at": heartbeat.time.time() - 7200}
    path.write_text(json.dumps(old))
    (silent,) = driver_lines(folder)
    assert "not heard for 2 h 00 min" in silent
    assert "run the same command to go on" in silent
    path.write_text(json.dumps({**old, "process": 2**22 + 1}))  # beyond what Linux gives
    (gone,) = driver_lines(folder)
    assert "is gone: run the same command to go on" in gone
    path.write_text(json.dumps({**old, "process": 2**22 + 1, "host": "elsewhere"}))
    assert "not heard for" in driver_lines(folder)[0]


def test_a_run_is_heard_while_it_works_and_not_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Beat | None] = []

    def spy(folder: Path, lines: Lines) -> None:
        write_beat(folder, lines)
        heard.append(read_beat(folder))

    monkeypatch.setattr(heartbeat, "write_beat", spy)
    target = tmp_path / "run"
    trajgen.run(write_pipeline(tmp_path, {"delay_ms": 20}), target, limit=4)
    assert heard[0] is not None
    assert "tasks" in dict(heard[0].lines)
    assert read_beat(target) is None
    assert "driver" not in now(target)


def test_a_clock_that_is_behind_makes_no_negative_age() -> None:
    assert Beat(heartbeat.time.time() + 1000, "h", 1, ()).age_s == 0
