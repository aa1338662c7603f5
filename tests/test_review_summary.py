"""What a run says at its end: the yield as it is, and where to look next."""

from __future__ import annotations

from pathlib import Path

import trajgen
from tests.small_pipeline import write_pipeline
from trajgen.review.summary import summary


def test_the_yield_and_where_to_look_next(tmp_path: Path) -> None:
    run = trajgen.run(write_pipeline(tmp_path), tmp_path / "run", limit=4)
    said = summary(run).splitlines()
    assert "  kept      4 (100.0%)" in said
    assert said[-1] == f"Read it: trajgen show {tmp_path / 'run'}"


def test_where_nothing_is_kept_the_rejected_are_to_be_read(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path, {"quality": {"agent": 0.0}})
    run = trajgen.run(path, tmp_path / "run", limit=4)
    said = summary(run).splitlines()
    assert "  kept      0 (0.0%)" in said
    assert said[-1] == f"Read it: trajgen show {tmp_path / 'run'} --rejected"
