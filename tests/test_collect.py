"""Outcomes become shards in plan order, whatever the order they come in."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.crash.small_run import contents, plan, row, run_record
from trajgen.collect import Collector, Settled
from trajgen.durable import sha256_of
from trajgen.known import Known
from trajgen.records import Message, Seed, Task, Trajectory
from trajgen.run_folder import RunFolder
from trajgen.shards import read_rows, rejects_path, shard_path
from trajgen.sketches import sketch

ROWS, PLANNED = 4, 14  # shards of 4, 4, 4 and 2 tasks
WORDS = (
    "Somebody has put my old copper kettle on the upper shelf above the stove again and I cannot "
    "reach it without a ladder which stands in the shed under a pile of firewood so would you be "
    "so kind and bring it down to the table where the cups are"
)
CONVERSATION: list[Message] = [
    {"role": "user", "content": WORDS},
    {"role": "assistant", "content": "It stands beside the cups now, clean and filled with water."},
]


@contextmanager
def opened(path: Path, target: int = 100) -> Iterator[Collector]:
    with RunFolder.create_or_open(path, run_record(), plan(PLANNED), []) as folder:
        yield Collector(folder, PLANNED, ROWS, target)


TASKS = list(plan(PLANNED))


def kept(task: Task, said: str = "") -> Settled:
    return Settled(row(task.id), said or f"f-{task.id}")


def rejected(task: Task) -> Settled:
    return Settled(row(task.id, ("unknown_tool",)), f"f-{task.id}")


def dead(task: Task) -> Settled:
    return Settled(death={"id": task.id, "index": task.index, "error": "timeout"})


def an_end(task: Task) -> Settled:
    return (kept, kept, rejected, dead)[task.index % 4](task)


def commit_all(collector: Collector) -> list[int]:
    done = []
    while info := collector.commit_next():
        done.append(info.number)
    return done


def ids(path: Path) -> list[str]:
    return [r["id"] for r in read_rows(path, ["id"])]


def test_books_add_up(tmp_path: Path) -> None:
    with opened(tmp_path) as collector:
        assert [t.id for t in collector.owed()] == [t.id for t in TASKS]
        for task in TASKS:
            collector.add(task, an_end(task))
        assert collector.settled == PLANNED
        assert commit_all(collector) == [0, 1, 2, 3]
        totals = collector.totals
        assert (totals.kept, totals.rejected, totals.dead) == (8, 3, 3)
        assert totals.reasons == {"unknown_tool": 3}
        assert collector.finished
        assert collector.settled == PLANNED
        assert list(collector.owed()) == []
        assert collector.commit_next() is None
        sums = collector.folder.finish(collector.next_shard - 1)
        assert sums["done"] == PLANNED


@pytest.mark.parametrize("seed", range(6))
def test_the_order_of_arrival_leaves_no_trace(tmp_path: Path, seed: int) -> None:
    """Rows with the same words arrive in any order; what is written is the same."""

    def end(task: Task) -> Settled:
        return kept(task, f"same-{task.index % 5}") if task.index % 3 else an_end(task)

    def play(path: Path, order: list[Task]) -> dict[str, bytes]:
        with opened(path) as collector:
            committed = []
            for task in order:
                collector.add(task, end(task))
                committed += commit_all(collector)
            assert committed == [0, 1, 2, 3]
            collector.folder.finish(3)
        return contents(path)

    shuffled = TASKS.copy()
    random.Random(seed).shuffle(shuffled)
    assert play(tmp_path / "a", shuffled) == play(tmp_path / "b", TASKS)


def test_a_shard_waits_for_the_one_before_it(tmp_path: Path) -> None:
    with opened(tmp_path) as collector:
        for task in TASKS[4:]:
            collector.add(task, kept(task))
        assert collector.commit_next() is None
        assert collector.settled == 10
        for task in TASKS[:4]:
            collector.add(task, kept(task))
        assert commit_all(collector) == [0, 1, 2, 3]


def test_rows_and_deaths_stand_in_plan_order(tmp_path: Path) -> None:
    with opened(tmp_path) as collector:
        for task in reversed(TASKS[:4]):
            collector.add(task, kept(task))
        commit_all(collector)
    assert ids(shard_path(tmp_path, 0)) == [t.id for t in TASKS[:4]]


def test_the_first_end_of_a_task_counts(tmp_path: Path) -> None:
    with opened(tmp_path) as collector:
        collector.add(TASKS[0], kept(TASKS[0]))
        collector.add(TASKS[0], dead(TASKS[0]))
        for task in TASKS[1:4]:
            collector.add(task, dead(task))
        (number,) = commit_all(collector)
        assert (collector.totals.kept, collector.totals.dead) == (1, 3)
        collector.add(TASKS[1], kept(TASKS[1]))  # too late: its shard is committed
        assert collector.settled == 4
        assert number == 0
        assert commit_all(collector) == []


# Duplicates.


def test_the_first_of_equal_rows_is_kept_within_and_across_shards(tmp_path: Path) -> None:
    with opened(tmp_path) as collector:
        for task in TASKS:
            words = "same" if task.index in (2, 3, 6, 9) else ""
            collector.add(task, kept(task, words))
        commit_all(collector)
        assert collector.totals.reasons == {"exact_duplicate": 3}
    assert ids(rejects_path(tmp_path, 0)) == ["task-0003"]
    assert ids(rejects_path(tmp_path, 1)) == ["task-0006"]
    (copy,) = read_rows(rejects_path(tmp_path, 2))
    trajectory = Trajectory.parse(copy)
    assert trajectory.reasons == ("exact_duplicate",)
    assert trajectory.scores["reasons"] == [
        {"code": "exact_duplicate", "at": None, "detail": "as in shard 0"}
    ]


def test_a_rejected_row_is_no_first_one(tmp_path: Path) -> None:
    with opened(tmp_path) as collector:
        first = Settled(row(TASKS[0].id, ("too_long",)), "same")
        collector.add(TASKS[0], first)
        for task in TASKS[1:4]:
            collector.add(task, kept(task, "same" if task.index == 1 else ""))
        commit_all(collector)
        assert collector.totals.reasons == {"too_long": 1}
        assert collector.totals.kept == 3


def test_duplicates_are_known_after_a_resume(tmp_path: Path) -> None:
    with opened(tmp_path) as collector:
        for task in TASKS[:4]:
            collector.add(task, kept(task, f"said-{task.index}"))
        commit_all(collector)
    with opened(tmp_path) as collector:
        assert collector.next_shard == 1
        assert collector.totals.kept == 4
        for task in TASKS[4:8]:
            collector.add(task, kept(task, f"said-{task.index - 4}" if task.index < 6 else ""))
        commit_all(collector)
        assert collector.totals.reasons == {"exact_duplicate": 2}
        assert collector.totals.kept == 6


# Near copies.

SEED = Seed("seed-1", "small", tuple(CONVERSATION))


def talk(*changes: tuple[str, str]) -> list[Message]:
    """The seed's conversation with words changed."""
    text = json.dumps(CONVERSATION)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    messages: list[Message] = json.loads(text)
    return messages


OTHER = [{**CONVERSATION[0], "content": " ".join(reversed(WORDS.split()))}, CONVERSATION[1]]
LIKE_OTHER = [{**m, "content": m["content"].replace("under", "over")} for m in OTHER]
TALKS: dict[int, list[Message]] = {
    1: talk(("shelf", "rack"), ("kettle", "pan")),  # two words off its seed
    2: OTHER,
    6: LIKE_OTHER,
    7: [{**m, "content": m["content"].replace("firewood", "coal")} for m in OTHER],
}


def played(task: Task) -> Settled:
    messages = TALKS.get(task.index)
    if messages is None:
        return kept(task)
    made = row(task.id, messages=tuple(messages))
    return Settled(made, f"f-{task.index}", sketch(messages))


@contextmanager
def watching(path: Path) -> Iterator[Collector]:
    with RunFolder.create_or_open(path, run_record(), plan(PLANNED), []) as folder:
        yield Collector(folder, PLANNED, ROWS, 100, Known([SEED], 0.98))


def rejects(path: Path) -> dict[str, dict[str, Any]]:
    rows = [r for n in range(4) for r in read_rows(rejects_path(path, n))]
    return {r["id"]: Trajectory.parse(r).scores["reasons"][0] for r in rows}


def test_near_copies_of_seeds_and_of_earlier_rows_are_rejected(tmp_path: Path) -> None:
    with watching(tmp_path) as collector:
        for task in TASKS:
            collector.add(task, played(task))
        commit_all(collector)
        assert collector.totals.reasons == {"copy_of_seed": 1, "near_duplicate": 2}
    found = rejects(tmp_path)
    assert found["task-0001"]["code"] == "copy_of_seed"
    assert found["task-0001"]["detail"] == "nearly the same as seed-1"
    assert found["task-0006"]["code"] == "near_duplicate"
    assert found["task-0006"]["detail"] == "nearly as in shard 0"


def test_near_copies_in_one_shard(tmp_path: Path) -> None:
    with watching(tmp_path) as collector:
        for task in TASKS[:4]:
            talked = replace(task, index=2 if task.index == 0 else 6)
            collector.add(task, replace(played(talked), row=row(task.id), fingerprint=task.id))
        commit_all(collector)
        assert collector.totals.reasons == {"near_duplicate": 3}
    assert ids(shard_path(tmp_path, 0)) == ["task-0000"]


def test_a_run_in_two_halves_is_the_run_in_one_byte_for_byte(tmp_path: Path) -> None:
    with watching(tmp_path / "one") as collector:
        for task in TASKS:
            collector.add(task, played(task))
        commit_all(collector)
        collector.folder.finish(3)
    for half in (TASKS[:4], TASKS[4:]):
        with watching(tmp_path / "two") as collector:
            for task in reversed(half):
                collector.add(task, played(task))
            commit_all(collector)
            if collector.finished:
                collector.folder.finish(3)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(rejects(tmp_path / "two")) == 3


def test_a_copy_of_a_rejected_row_has_the_same_reason_after_a_resume(tmp_path: Path) -> None:
    def ends() -> Iterator[tuple[Task, Settled]]:
        for task in TASKS:
            again = replace(task, index=1) if task.index == 6 else task
            yield task, replace(played(again), row=(played(again).row or {}) | {"id": task.id})

    for folder, halves in (("one", (14,)), ("two", (4, 14))):
        for upto in halves:
            with watching(tmp_path / folder) as collector:
                for task, end in ends():
                    if task.index < upto:
                        collector.add(task, end)
                commit_all(collector)
        reasons = {id_: reason["code"] for id_, reason in rejects(tmp_path / folder).items()}
        assert reasons["task-0001"] == reasons["task-0006"] == "copy_of_seed"


def test_a_damaged_shard_comes_again_as_it_was(tmp_path: Path) -> None:
    with watching(tmp_path) as collector:
        for task in TASKS:
            collector.add(task, played(task))
        commit_all(collector)
    before = sha256_of(shard_path(tmp_path, 1))
    damaged(tmp_path, 1)
    with watching(tmp_path) as collector:
        for task in TASKS[4:8]:
            collector.add(task, played(task))
        commit_all(collector)
    assert sha256_of(shard_path(tmp_path, 1)) == before


def test_a_commit_that_failed_finds_no_copy_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watching(tmp_path) as collector:
        for task in TASKS[:4]:
            collector.add(task, played(task))
        with monkeypatch.context() as patched:
            patched.setattr(RunFolder, "commit", Mock(side_effect=OSError("disk full")))
            with pytest.raises(OSError, match="disk full"):
                collector.commit_next()
        assert commit_all(collector) == [0]
        assert collector.totals.reasons == {"copy_of_seed": 1}


def test_nothing_is_near_without_sketches(tmp_path: Path) -> None:
    with watching(tmp_path) as collector:
        for task in TASKS:
            collector.add(task, kept(task))
        commit_all(collector)
        assert collector.totals.kept == PLANNED


# Target.


@pytest.mark.parametrize(
    ("target", "last"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (8, 3), (9, 3)]
)
def test_the_run_ends_at_the_first_shard_that_reaches_the_target(
    tmp_path: Path, target: int, last: int
) -> None:
    with opened(tmp_path, target) as collector:
        for task in TASKS:
            collector.add(task, an_end(task))
        assert commit_all(collector) == list(range(last + 1))
        assert collector.finished
    with opened(tmp_path, target) as collector:
        assert collector.finished
        assert collector.next_shard == last + 1
        collector.folder.finish(collector.next_shard - 1)
    with opened(tmp_path, target) as collector:
        assert collector.finished
        assert collector.commit_next() is None


# Resume.


def damaged(path: Path, number: int) -> None:
    file = shard_path(path, number)
    file.write_bytes(file.read_bytes()[:-40])


def complete(path: Path, words: Any = lambda task: "") -> None:
    with opened(path) as collector:
        for task in TASKS:
            collector.add(task, kept(task, words(task)) if words(task) else an_end(task))
        commit_all(collector)


def test_a_damaged_shard_in_the_middle_is_owed_again_and_nothing_else(tmp_path: Path) -> None:
    complete(tmp_path)
    others = {n: sha256_of(shard_path(tmp_path, n)) for n in (0, 2, 3)}
    before = sha256_of(shard_path(tmp_path, 1))
    damaged(tmp_path, 1)
    with opened(tmp_path) as collector:
        assert [t.index for t in collector.owed()] == [4, 5, 6, 7]
        assert collector.next_shard == 1
        assert collector.settled == PLANNED - ROWS
        collector.add(TASKS[9], kept(TASKS[9]))  # committed already
        for task in TASKS[4:8]:
            collector.add(task, an_end(task))
        assert collector.settled == PLANNED
        assert commit_all(collector) == [1]
        assert collector.next_shard == 4
        assert collector.finished
        assert (collector.totals.kept, collector.totals.rejected, collector.totals.dead) == (
            8,
            3,
            3,
        )
        collector.folder.finish(3)
    assert sha256_of(shard_path(tmp_path, 1)) == before
    assert {n: sha256_of(shard_path(tmp_path, n)) for n in (0, 2, 3)} == others


def test_gaps_are_owed_in_plan_order_as_they_close(tmp_path: Path) -> None:
    complete(tmp_path)
    damaged(tmp_path, 0)
    damaged(tmp_path, 2)
    with opened(tmp_path) as collector:
        assert [t.index for t in collector.owed()] == [0, 1, 2, 3, 8, 9, 10, 11]
        for task in TASKS[8:12]:
            collector.add(task, an_end(task))
        assert commit_all(collector) == []
        for task in TASKS[:4]:
            collector.add(task, an_end(task))
        assert commit_all(collector) == [0, 2]
        assert collector.finished


def test_a_row_that_a_later_committed_shard_holds_is_no_second_one(tmp_path: Path) -> None:
    """Played again, a task may come out otherwise; what is committed stays the first."""
    complete(tmp_path, lambda task: f"said-{task.index}")
    damaged(tmp_path, 1)
    with opened(tmp_path) as collector:
        for task in TASKS[4:8]:
            collector.add(task, kept(task, "said-9" if task.index == 5 else ""))
        commit_all(collector)
        assert collector.totals.reasons == {"exact_duplicate": 1}
        assert collector.totals.kept == PLANNED - 1


def test_a_failed_commit_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as collector:
        for task in TASKS[:4]:
            collector.add(task, kept(task, "same" if task.index < 2 else ""))

        def fail(*_: Any) -> None:
            raise OSError("disk full")

        with monkeypatch.context() as patched:
            patched.setattr(RunFolder, "commit", fail)
            with pytest.raises(OSError, match="disk full"):
                collector.commit_next()
        assert collector.next_shard == 0
        assert commit_all(collector) == [0]
        assert collector.totals.kept == 3
