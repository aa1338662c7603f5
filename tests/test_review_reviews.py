"""Judgements are put down once, by whom and when, and never get lost or half written; the
seed of a row is found."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

import trajgen
from tests.small_pipeline import tree, write_pipeline
from trajgen import origin
from trajgen.errors import CommitError, InputError, MachineError, RunLocked
from trajgen.review import reviews
from trajgen.review.run import Run
from trajgen.verify import verify


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("reviewed")
    return trajgen.run(write_pipeline(folder), folder / "run")


@pytest.fixture
def run(made: Run) -> Run:
    reviews.reviews_path(made.path).unlink(missing_ok=True)
    return made


def test_a_judgement_says_what_by_whom_and_when(run: Run) -> None:
    run.judge(run[0].id, "drop", note="agent guesses\n\ud800", by="Ada")
    run.judge(run[1].id, "flag")
    told = run.reviews().set_index("id")
    assert list(told.columns) == ["review", "note", "by", "at"]
    assert told.loc[run[0].id, ["review", "note", "by"]].tolist() == [
        "drop", "agent guesses\n?", "Ada",
    ]  # fmt: skip
    assert told.loc[run[1].id, "by"] == reviews.reviewer()
    assert timedelta(0) <= datetime.now(UTC) - told.loc[run[0].id, "at"] < timedelta(minutes=1)


def test_the_last_word_counts_and_can_be_taken_back(run: Run) -> None:
    for word in ("keep", "drop", "drop"):
        run.judge(run[0].id, word, by="Ada")
    run.judge(run[1].id, "keep", by="Ada")
    assert run.reviews()["review"].tolist() == [
        {run[0].id: "drop", run[1].id: "keep"}[id] for id in sorted((run[0].id, run[1].id))
    ]
    run.judge(run[0].id, None)
    assert list(reviews.read_reviews(run.path)) == [run[1].id]


def test_what_cannot_be_put_down_is_told_and_changes_nothing(run: Run) -> None:
    run.judge(run[0].id, "keep")
    before = reviews.reviews_path(run.path).read_bytes()
    with pytest.raises(InputError, match="Known: keep, drop, flag"):
        run.judge(run[0].id, "maybe")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no trajectory has the id"):
        run.judge("nobody", "keep")
    with pytest.raises(InputError, match="At most 10,000"):
        run.judge(run[0].id, "keep", note="x" * 10_001)
    assert reviews.reviews_path(run.path).read_bytes() == before


def test_judgements_of_many_at_once_are_all_there(run: Run) -> None:
    ids = [trajectory.id for trajectory in run]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda id: reviews.judge(run.path, id, "keep"), ids))
    assert list(reviews.read_reviews(run.path)) == sorted(ids)


def test_a_writer_that_does_not_end_is_waited_for_and_named(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reviews, "PATIENCE_S", 0.05)
    with reviews._alone(run.path), pytest.raises(RunLocked, match="Nothing was put down"):
        run.judge(run[0].id, "keep")
    assert run.judge(run[0].id, "keep") is not None


def test_a_writer_that_dies_leaves_the_judgements_as_they_were(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.judge(run[0].id, "keep")
    before = reviews.reviews_path(run.path).read_bytes()

    def full(file: BinaryIO, *rest: object) -> None:
        file.write(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reviews, "write_parquet", full)
    with pytest.raises(CommitError, match="No space left"):
        run.judge(run[1].id, "drop")
    assert reviews.reviews_path(run.path).read_bytes() == before
    assert [path for path in tree(run.path) if ".tmp-" in path] == []


def test_a_run_with_judgements_is_sound_and_runs_again_untouched(run: Run) -> None:
    run.judge(run[0].id, "drop")
    before = tree(run.path)
    assert verify(run.path) == []
    again = trajgen.run(run.path.parent / "pipeline.yaml", run.path)
    assert tree(run.path) == before
    assert again.reviews()["review"].tolist() == ["drop"]


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flip(data: bytes) -> bytes:
    return data[:40] + bytes([data[40] ^ 4]) + data[41:]


@pytest.mark.parametrize("damage", [_cut, _flip])
def test_damage_to_the_judgements_is_found(run: Run, damage: Callable[[bytes], bytes]) -> None:
    run.judge(run[0].id, "drop", note="a longer note, so that there is something to damage")
    path: Path = reviews.reviews_path(run.path)
    path.write_bytes(damage(path.read_bytes()))
    assert verify(run.path) == [{"file": "reviews.parquet", "what": "is damaged or cut off"}]
    with pytest.raises(MachineError, match=r"reviews\.parquet: cannot be read"):
        run.reviews()


# --- the seed of a row


def test_a_row_of_an_opened_run_is_shown_beside_its_seed(run: Run) -> None:
    assert "Beside its seed" in run[0]._repr_html_()
    assert run.seed_of(run[0]).id == run[0].seed_id
    assert run.sample(2)._repr_html_().count("Beside its seed") == 2


def test_why_a_seed_is_not_shown_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def because(*sources: str) -> str:
        monkeypatch.setitem(origin._SOURCES, run[0].run_id, sources)
        return str(origin.seed_at_hand(run[0]))

    assert "one of household:train/1, which takes a while" in because("household:train/1")
    assert "cannot be shown: no seed has the id" in because("seeds/retail_support")
    assert "cannot be shown:" in because("no/such/folder")
    assert origin.seed_at_hand(replace(run[0], run_id="run-unknown")) == ""
