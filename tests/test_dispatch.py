"""Every task ends as a row or a death, whatever dies, hangs or is slow on the way."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.crash.small_run import plan, row, run_record
from trajgen import dispatch as module
from trajgen.cast import Usage
from trajgen.collect import Collector
from trajgen.dispatch import FATAL_ALONE, TIMEOUTS, Dispatch, Handle, Live
from trajgen.errors import CommitError, EngineDead, InputError, MachineError
from trajgen.records import Task
from trajgen.run_folder import RunFolder
from trajgen.shards import read_rows, rejects_path, shard_path
from trajgen.verify import verify
from trajgen.worker import Outcome, Report


@dataclass
class Play:
    """What happens in a run, and what was seen of it."""

    poison: frozenset[str] = frozenset()  # kills the engine when in play
    fuse: int = 0  # exchanges that a poison needs
    reported: bool = False  # the worker lives on and says that its engine is dead
    late: frozenset[str] = frozenset()  # never ends in time
    ends: int = 5  # tasks that end in one exchange
    reasons: tuple[str, ...] = ()  # of every row
    error: Callable[[Task], Any] = lambda task: ""
    act: Callable[[Fake, list[Task]], Any] | None = None
    begin: Callable[[Fake], Any] | None = None
    hired: list[Fake] = field(default_factory=list)
    tried: Counter[str] = field(default_factory=Counter)
    closed: int = 0

    def hire(self, number: int) -> Handle:
        self.hired.append(Fake(self, number, len(self.hired)))
        return self.hired[-1]


@dataclass
class Fake:
    """A worker without engines: ends a few tasks an exchange."""

    play: Play
    number: int
    serial: int
    hand: list[Task] = field(default_factory=list)
    burning: Counter[str] = field(default_factory=Counter)
    exchanges: int = 0
    seen: list[list[str]] = field(default_factory=list)
    in_flight: int = 8

    async def start(self) -> None:
        if self.play.begin and (waiting := self.play.begin(self)):
            await waiting

    async def exchange(self, tasks: list[Task]) -> Report:
        self.exchanges += 1
        self.hand += tasks
        self.seen.append([t.id for t in self.hand])
        self.play.tried.update(t.id for t in tasks)
        await asyncio.sleep(0)
        if self.play.act and (waiting := self.play.act(self, tasks)):
            await waiting
        burning = [t for t in self.hand[: self.in_flight] if t.id in self.play.poison]
        self.burning.update(t.id for t in burning)
        if any(self.burning[t.id] > self.play.fuse for t in burning):
            if not self.play.reported:
                raise EngineDead("killed")
            outcomes = tuple(Outcome(t.id, error="engine", message="killed") for t in burning)
            return Report(outcomes, 0, Usage(), engine_dead=True)
        playing = self.hand[: self.in_flight]
        ended = [t for t in playing if t.id not in self.play.poison][: self.play.ends]
        self.hand = [t for t in self.hand if t not in ended]
        usage = Usage(10 * self.exchanges, 0, self.exchanges, self.exchanges)
        return Report(tuple(map(self._outcome, ended)), len(self.hand), usage)

    def _outcome(self, task: Task) -> Outcome:
        if task.id in self.play.late:
            return Outcome(task.id, error="timeout", message="too late")
        if error := self.play.error(task):
            return Outcome(task.id, error=error, message="as told")
        return Outcome(task.id, row(task.id, self.play.reasons), f"f-{task.id}")

    async def close(self) -> None:
        self.play.closed += 1


@dataclass
class Result:
    kept: list[str]
    dead: list[dict[str, Any]]
    dispatch: Dispatch
    folder: Path

    @property
    def causes(self) -> dict[str, str]:
        return {death["id"]: death["error"] for death in self.dead}


def run(
    path: Path,
    play: Play,
    planned: int = 200,
    workers: int = 2,
    in_flight: int = 8,
    restarts: int = 8,
    rows: int = 20,
    target: int = 10_000,
    limit_s: float = 30,
) -> Result:
    record = run_record(planned=planned)
    record["pipeline"]["shards"]["rows"] = rows
    with RunFolder.create_or_open(path, record, plan(planned), []) as folder:
        collector = Collector(folder, planned, rows, target)
        made = Dispatch(collector, play.hire, workers, in_flight, restarts, lambda _: None)

        async def limited() -> None:
            async with asyncio.timeout(limit_s):
                await made.run()

        asyncio.run(limited())
        folder.finish(collector.next_shard - 1)
        deaths = [
            death
            for n in range(collector.next_shard)
            for death in _lines(path / f"dead/{n:05d}.jsonl")
        ]
        kept = [
            r["id"]
            for n in range(collector.next_shard)
            for r in read_rows(shard_path(path, n), ["id"])
        ]
    assert play.closed == len(play.hired)
    assert verify(path) == []
    return Result(kept, deaths, made, path)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def ids(*numbers: int) -> frozenset[str]:
    return frozenset(f"task-{n:04d}" for n in numbers)


def complete(result: Result, planned: int = 200) -> None:
    assert sorted([*result.kept, *result.causes]) == sorted(ids(*range(planned)))


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_all_tasks_end_once(tmp_path: Path, workers: int) -> None:
    play = Play()
    result = run(tmp_path, play, workers=workers)
    complete(result)
    assert result.dead == []
    assert set(play.tried.values()) == {1}
    assert len(play.hired) == workers


def test_a_worker_is_given_twice_what_it_plays(tmp_path: Path) -> None:
    play = Play()
    run(tmp_path, play, workers=1, in_flight=8)
    assert max(len(hand) for hand in play.hired[0].seen) == 16
    assert len(play.hired[0].seen[0]) == 16


# Lost workers.


def test_a_worker_lost_midway_loses_no_task(tmp_path: Path) -> None:
    def act(fake: Fake, _: list[Task]) -> None:
        if fake.serial in (0, 2) and fake.exchanges == 4:
            raise EngineDead("node gone")

    play = Play(act=act)
    result = run(tmp_path, play)
    complete(result)
    assert result.dead == []
    assert len(play.hired) == 4


def test_a_worker_that_is_lost_again_and_again(tmp_path: Path) -> None:
    """Each lives for six exchanges: the tasks it ends in between keep the run going."""

    def act(fake: Fake, _: list[Task]) -> None:
        if fake.exchanges == 6:
            raise EngineDead("gone again")

    play = Play(act=act, ends=4)
    result = run(tmp_path, play, workers=1, restarts=2)
    complete(result)
    assert len(play.hired) > 5


def test_a_silent_worker_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXCHANGE_LIMIT_S", 0.1)

    def act(fake: Fake, _: list[Task]) -> Any:
        return asyncio.sleep(60) if (fake.serial, fake.exchanges) == (1, 3) else None

    play = Play(act=act)
    result = run(tmp_path, play)
    complete(result)
    assert result.dead == []
    assert len(play.hired) == 3


def test_a_worker_that_is_lost_while_starting_is_replaced(tmp_path: Path) -> None:
    def begin(fake: Fake) -> None:
        if fake.serial < 3:
            raise EngineDead("no room yet")

    play = Play(begin=begin)
    complete(run(tmp_path, play))
    assert len(play.hired) == 5


@pytest.mark.parametrize("error", [InputError("wrong"), MachineError("no GPU")])
def test_what_no_restart_mends_stops_the_run(tmp_path: Path, error: Exception) -> None:
    def begin(fake: Fake) -> None:
        if fake.number == 1:
            raise error

    play = Play(begin=begin, ends=0)
    with pytest.raises(type(error)):
        run(tmp_path, play)
    assert play.closed == len(play.hired)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_restart_budget_ends_in_a_machine_error(tmp_path: Path, workers: int) -> None:
    def begin(_: Fake) -> None:
        raise EngineDead("no engine")

    play = Play(begin=begin)
    with pytest.raises(MachineError, match="without one task done") as caught:
        run(tmp_path, play, workers=workers, restarts=4)
    assert "no engine" in str(caught.value)
    assert 4 * workers < len(play.hired) <= 5 * workers
    assert play.closed == len(play.hired)


def test_workers_that_are_lost_all_at_once_are_one_misfortune(tmp_path: Path) -> None:
    """A switch fails: more workers go at once than there are restarts for one."""

    def act(fake: Fake, _: list[Task]) -> None:
        if fake.serial < 6 and fake.exchanges == 1:
            raise EngineDead("network")

    complete(run(tmp_path, Play(act=act), workers=6, restarts=2))


# Poison.


def poisons(count: int, how: str) -> frozenset[str]:
    if how == "spread":
        return ids(*random.Random(count).sample(range(500), count))
    if how == "first":
        return ids(*range(count))
    return ids(*range(3, 3 + 12 * count, 12))  # all tasks of one seed of twelve


@pytest.mark.parametrize("fuse", [0, 3])
@pytest.mark.parametrize("how", ["spread", "first", "one seed"])
@pytest.mark.parametrize("count", [1, 3, 10])
def test_poison_tasks_die_and_no_others(tmp_path: Path, count: int, how: str, fuse: int) -> None:
    play = Play(poison=poisons(count, how), fuse=fuse, reported=bool(count % 2))
    result = run(tmp_path, play, planned=500, in_flight=64, rows=50)
    complete(result, 500)
    assert result.causes == dict.fromkeys(play.poison, "engine")
    restarts = len(play.hired) - 2
    assert restarts <= 6 * count, f"{restarts} restarts for {count} poison tasks"
    for death in result.dead:
        assert 1 + FATAL_ALONE <= death["attempts"] <= 6
        assert death["message"] in ("killed", "an engine died")


def test_one_worker_finds_poison_by_itself(tmp_path: Path) -> None:
    play = Play(poison=ids(0, 1, 150, 199))
    result = run(tmp_path, play, workers=1)
    assert result.causes == dict.fromkeys(play.poison, "engine")
    complete(result)


@pytest.mark.parametrize("workers", [1, 2])
def test_struck_tasks_are_played_without_others_beside_them(tmp_path: Path, workers: int) -> None:
    """Else a slow poison would take new ones with it, even when the other worker has done
    the rest of the struck ones, and would never be alone."""
    play = Play(poison=ids(5), fuse=40, ends=2)
    result = run(tmp_path, play, planned=400, workers=workers, rows=100)
    assert result.causes == {"task-0005": "engine"}
    alone = [fake for fake in play.hired if fake.seen and fake.seen[-1] == ["task-0005"]]
    assert len(alone) == FATAL_ALONE
    assert play.tried["task-0005"] == 1 + FATAL_ALONE
    assert max(n for id_, n in play.tried.items() if id_ != "task-0005") == 2


def test_a_seed_whose_every_task_is_poison_does_not_use_up_the_restarts(tmp_path: Path) -> None:
    play = Play(poison=ids(*range(0, 80, 8)))
    result = run(tmp_path, play, planned=500, workers=1, in_flight=64, rows=50, restarts=4)
    assert result.causes == dict.fromkeys(play.poison, "engine")
    complete(result, 500)


def test_a_poison_task_that_hangs_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXCHANGE_LIMIT_S", 0.03)

    def act(fake: Fake, _: list[Task]) -> Any:
        return asyncio.sleep(60) if any(t.id == "task-0042" for t in fake.hand) else None

    result = run(tmp_path, Play(act=act))
    assert result.causes == {"task-0042": "engine"}
    complete(result)


# Other ends.


def test_a_task_that_is_late_is_tried_three_times(tmp_path: Path) -> None:
    play = Play(late=ids(0, 77))
    result = run(tmp_path, play)
    assert result.causes == dict.fromkeys(play.late, "timeout")
    assert all(play.tried[i] == TIMEOUTS == 3 for i in play.late)
    assert [death["attempts"] for death in result.dead] == [3, 3]
    complete(result)


def test_a_task_that_is_late_once_is_kept(tmp_path: Path) -> None:
    play = Play()
    play.error = lambda task: "timeout" if play.tried[task.id] == 1 and task.index == 9 else ""
    result = run(tmp_path, play)
    assert result.dead == []
    complete(result)


@pytest.mark.parametrize("error", ["request", "internal"])
def test_what_cannot_run_is_dead_at_once(tmp_path: Path, error: str) -> None:
    play = Play(error=lambda task: error if task.index % 50 == 3 else "")
    result = run(tmp_path, play)
    assert result.causes == dict.fromkeys(ids(3, 53, 103, 153), error)
    assert set(play.tried.values()) == {1}
    for death in result.dead:
        assert set(death) == {"id", "index", "error", "message", "attempts"}
        assert death["message"] == "as told"


def test_an_input_error_stops_the_run(tmp_path: Path) -> None:
    play = Play(error=lambda task: "input" if task.index == 30 else "")
    with pytest.raises(InputError, match="as told"):
        run(tmp_path, play)
    assert play.closed == len(play.hired)


def test_rejected_rows_go_where_they_belong(tmp_path: Path) -> None:
    play = Play(reasons=("too_long",))
    result = run(tmp_path, play, planned=40)
    assert (result.kept, result.dead) == ([], [])
    assert len(list(read_rows(rejects_path(result.folder, 0), ["id"]))) == 20


# Window, waiting, ending.


def test_a_slow_first_task_bounds_what_is_taken(tmp_path: Path) -> None:
    """One worker sits on task 0; the other goes on by the window and no further."""
    reached: list[int] = []

    def act(fake: Fake, _: list[Task]) -> Any:
        reached.extend(t.index for t in fake.hand)
        slow = any(t.index == 0 for t in fake.hand)
        return asyncio.sleep(0.3) if slow and fake.exchanges == 1 else None

    first: list[int] = []

    def begin(fake: Fake) -> Any:
        return asyncio.sleep(0.05) if fake.number else None

    def error(task: Task) -> str:
        if task.index == 0:
            first.append(max(reached))
        return ""

    play = Play(act=act, begin=begin, error=error)
    result = run(tmp_path, play, planned=1000, in_flight=4, rows=10)
    assert first
    assert first[0] < result.dispatch.window == 128
    complete(result, 1000)


def test_a_worker_that_waits_takes_what_another_gives_back(tmp_path: Path) -> None:
    """Four tasks, three workers: two have nothing to do until the first is lost."""

    def act(fake: Fake, _: list[Task]) -> Any:
        if fake.serial == 0:
            return _lost_after(0.05)
        return None

    play = Play(act=act)
    result = run(tmp_path, play, planned=4, workers=3, rows=4, in_flight=8)
    complete(result, 4)
    assert {len(f.seen) > 0 for f in play.hired} == {True, False} or len(play.hired) == 4


async def _lost_after(seconds: float) -> None:
    await asyncio.sleep(seconds)
    raise EngineDead("lost")


def test_the_worker_that_ends_it_wakes_those_that_wait(tmp_path: Path) -> None:
    def act(fake: Fake, _: list[Task]) -> Any:
        return asyncio.sleep(0.05)

    play = Play(act=act)
    began = time.monotonic()
    complete(run(tmp_path, play, planned=3, workers=5, rows=3), 3)
    assert time.monotonic() - began < 5


def test_the_end_does_not_wait_for_a_worker_that_hangs_or_loads(tmp_path: Path) -> None:
    def begin(fake: Fake) -> Any:
        return asyncio.sleep(600) if fake.number == 1 else None

    def act(fake: Fake, _: list[Task]) -> Any:
        hangs = fake.number == 2 and all(t.index >= 60 for t in fake.hand)
        return asyncio.sleep(600) if hangs else None

    play = Play(begin=begin, act=act)
    began = time.monotonic()
    result = run(tmp_path, play, planned=400, workers=3, target=40)
    assert time.monotonic() - began < 10
    assert len(result.kept) == 40
    assert play.closed == 3


def test_the_target_ends_the_run(tmp_path: Path) -> None:
    result = run(tmp_path, Play(), target=50)
    assert len(result.kept) == 60  # the first shard at which 50 are reached


@pytest.mark.parametrize("seed", range(8))
def test_chaos(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers die, hang, report dead engines and are slow, with poison and late tasks."""
    monkeypatch.setattr(module, "EXCHANGE_LIMIT_S", 0.05)
    draw = random.Random(seed)

    def act(fake: Fake, _: list[Task]) -> Any:
        chance = draw.random()
        if chance < 0.02:
            raise EngineDead("chaos")
        return asyncio.sleep(60 if chance < 0.025 else draw.choice([0, 0, 0.002]))

    numbers = draw.sample(range(400), 8)
    play = Play(
        poison=ids(*numbers[:4]),
        late=ids(*numbers[4:]),
        fuse=draw.randrange(3),
        reported=bool(seed % 2),
        act=act,
    )
    result = run(tmp_path, play, planned=400, workers=1 + seed % 5, restarts=50, rows=25)
    complete(result, 400)
    assert {i for i, e in result.causes.items() if e == "timeout"} == play.late
    assert {i for i, e in result.causes.items() if e == "engine"} >= play.poison
    assert len(result.dead) <= 8 + 2  # two lone deaths by chance look like poison


def test_shards_are_committed_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker's report may complete a shard; the books know one thread at a time."""
    inside, most = 0, 0
    lock = threading.Lock()
    real = Collector.commit_next

    def slow(self: Collector) -> Any:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.002)
        try:
            return real(self)
        finally:
            with lock:
                inside -= 1

    monkeypatch.setattr(Collector, "commit_next", slow)
    complete(run(tmp_path, Play(), workers=6, rows=5))
    assert most == 1


def test_a_failed_commit_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise CommitError("disk full")

    monkeypatch.setattr(RunFolder, "commit", fail)
    play = Play()
    with pytest.raises(CommitError):
        run(tmp_path, play)
    assert play.closed == len(play.hired)


def test_cancelled_from_outside_every_worker_is_closed(tmp_path: Path) -> None:
    play = Play(act=lambda fake, _: asyncio.sleep(60))
    with pytest.raises(TimeoutError):
        run(tmp_path, play, limit_s=0.1)
    assert play.closed == len(play.hired) == 2


# What is told of it.


def test_a_worker_that_does_not_close_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_LIMIT_S", 0.05)
    real = Fake.close

    async def close(self: Fake) -> None:
        await real(self)
        await asyncio.Event().wait()

    monkeypatch.setattr(Fake, "close", close)
    complete(run(tmp_path, Play(), planned=40), 40)


def test_usage_counts_workers_that_are_gone(tmp_path: Path) -> None:
    def act(fake: Fake, _: list[Task]) -> None:
        if fake.serial == 0 and fake.exchanges == 3:
            raise EngineDead("gone")

    play = Play(act=act)
    result = run(tmp_path, play, workers=1)
    counted = sum(f.exchanges for f in play.hired) - 1  # the last of the first was lost
    assert result.dispatch.usage() == Usage(10 * counted, 0, counted, counted)


def test_why_places_are_empty(tmp_path: Path) -> None:
    told: set[str] = set()

    def act(fake: Fake, _: list[Task]) -> None:
        told.add(box[0].why_empty())

    box: list[Dispatch] = []
    play = Play(act=act, poison=ids(4))
    record = run_record(planned=60)
    record["pipeline"]["shards"]["rows"] = 10
    with RunFolder.create_or_open(tmp_path, record, plan(60), []) as folder:
        collector = Collector(folder, 60, 10, 100)
        box.append(Dispatch(collector, play.hire, 1, 8, 8, lambda _: None))
        assert box[0].why_empty() == "engines are starting"
        live = box[0].workers[0]
        live.state, live.room, live.in_flight = "working", 3, 3
        assert box[0].why_empty() == "the engines take 3 at once"
        box[0].workers[0] = Live()
        asyncio.run(box[0].run())
    assert "no tasks left to begin" in told
    assert "trying tasks again that an engine died of" in told


def test_workers_killed_in_a_row_do_not_bury_a_task_that_is_well(tmp_path: Path) -> None:
    """Killed five times in a row, whatever is played: nobody is fatal twice alone for that."""
    deaths = 0

    def act(fake: Fake, _: list[Task]) -> Any:
        nonlocal deaths
        if deaths < 5 and fake.hand:
            deaths += 1
            raise EngineDead("killed")
        return None

    result = run(tmp_path, Play(act=act), restarts=9)
    assert deaths == 5
    assert result.causes == {}
    complete(result)
