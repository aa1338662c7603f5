"""Tasks to workers and back: every task ends as a row or a death, whatever dies meanwhile.

Each worker has one exchange under way at a time. A worker that is lost, hung or without its
engine is replaced; the tasks it had get a strike and are tried again in smaller groups, in
the end alone, so that a task that kills engines is found and does not take others with it.

Crash rule: nothing here is written; what is not committed is owed when the driver returns.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from trajgen.cast import Usage
from trajgen.collect import Collector, Settled
from trajgen.errors import EngineDead, EngineHangs, InputError, MachineError
from trajgen.objects import Place
from trajgen.records import Task, cut
from trajgen.roll_call import believed
from trajgen.shards import shard_path
from trajgen.worker import FATAL, Outcome, Report
from trajgen.writes import written_aside

EXCHANGE_LIMIT_S = 120.0  # silence after which a worker counts as hung
CLOSE_LIMIT_S = 30.0  # for a worker to stop what it started
FATAL_ALONE = 2  # deaths of the engine with only this task in play
TIMEOUTS = 3  # tries of a task that does not end in time
APART = 16  # struck tasks that are tried before one that was fatal alone is tried again
# Tasks that are begun beyond the oldest shard that is not whole: a task that takes as long as so
# many others leaves no place empty. Their rows wait in memory.
SHARDS_AHEAD, TASKS_AHEAD = 4, 16  # of every place
SHRINK = 8  # how much smaller each next group of struck tasks is


class Handle(Protocol):
    """A worker as the driver sees it, in this process or in an actor."""

    async def start(self) -> None:
        """Raises MachineError or InputError when it cannot work."""

    async def exchange(self, tasks: list[Task]) -> Report:
        """Raises EngineDead when the worker is lost."""

    async def close(self) -> None:
        """Stop it and everything it started; never raises."""


@dataclass(slots=True)
class Live:
    """What a worker has in hand."""

    tasks: dict[str, Task] = field(default_factory=dict)
    in_flight: int = 0
    room: int | None = None  # rollouts that its engines can take at once, if it said
    usage: Usage = field(default_factory=Usage)
    state: str = "starting"
    struck: bool = False  # its tasks are a group of struck ones


class Dispatch:
    """Plays the owed tasks on `n_workers` workers until the collector's run is over."""

    def __init__(
        self,
        collector: Collector,
        hire: Callable[[int], Handle],
        n_workers: int,
        in_flight: int,
        restarts: int,
        changed: Callable[[Dispatch], None],
    ) -> None:
        self.collector, self.hire, self.in_flight = collector, hire, in_flight
        self.restarts, self.changed = restarts, changed
        self.workers = [Live() for _ in range(n_workers)]
        self.spent = Usage()  # by workers that are gone
        self.window = max(SHARDS_AHEAD * collector.shard_rows, TASKS_AHEAD * n_workers * in_flight)
        self._owed: Iterator[Task] = collector.owed()
        self._next: Task | None = next(self._owed, None)
        self._struck: deque[tuple[Task, int]] = deque()
        self._again: deque[Task] = deque()
        self._strikes: Counter[str] = Counter()
        self._alone: Counter[str] = Counter()
        self._timeouts: Counter[str] = Counter()
        self._lost_in_a_row = 0
        self.trouble = self.death = ""  # what is wrong with an engine; why a task is dead
        self._news = asyncio.Event()
        self._committing = asyncio.Lock()

    async def run(self) -> None:
        """Until enough is committed. Raises MachineError, InputError or CommitError."""
        serving = [asyncio.ensure_future(self._serve(n)) for n in range(len(self.workers))]
        try:
            ended, _ = await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:  # the others may be loading an engine, or wait for one that hangs
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, number: int) -> None:
        """One worker after the other in place `number`, until all is done."""
        while not self.collector.over:
            self.workers[number] = live = Live()
            handle = self.hire(number)
            try:
                await handle.start()
                live.state = "working"
                await self._feed(handle, live)
            except EngineDead as error:
                self._lost(live, error)
                await self._commit()
            finally:
                self._add_usage(live)
                with suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_LIMIT_S):
                        await handle.close()

    async def _feed(self, handle: Handle, live: Live) -> None:
        while not self.collector.over:
            tasks = self._take(live)
            live.tasks.update({task.id: task for task in tasks})
            if not live.tasks:
                await self._wait()
                continue
            try:
                async with asyncio.timeout(EXCHANGE_LIMIT_S):
                    report = await handle.exchange(tasks)
            except TimeoutError as error:
                raise EngineDead(f"a worker was silent for {EXCHANGE_LIMIT_S:g} s") from error
            live.in_flight, live.room, live.usage = report.in_flight, report.room, report.usage
            await self._settle(report, live)

    async def _wait(self) -> None:
        """Nothing to do here now: another worker's tasks may yet come back."""
        self._news.clear()
        await self._news.wait()

    def _take(self, live: Live) -> list[Task]:
        if live.tasks and (live.struck or self._struck):
            return []
        live.struck = bool(self._struck)
        if live.struck:
            return self._take_struck()
        tasks: list[Task] = []
        room = 2 * self.in_flight - len(live.tasks)
        while len(tasks) < room and (task := self._next_task()) is not None:
            tasks.append(task)
        return tasks

    def _take_struck(self) -> list[Task]:
        """Struck tasks of one size of group, and nothing beside them."""
        size = self._struck[0][1]
        group: list[Task] = []
        while self._struck and len(group) < size and self._struck[0][1] == size:
            group.append(self._struck.popleft()[0])
        return group

    def _next_task(self) -> Task | None:
        if self._again:
            return self._again.popleft()
        task = self._next
        first_open = self.collector.next_shard * self.collector.shard_rows
        if task is None or task.index >= first_open + self.window:
            return None
        self._next = next(self._owed, None)
        return task

    async def _settle(self, report: Report, live: Live) -> None:
        """Raises EngineDead where the worker has to go: its engine died, or it forgets."""
        outcomes, wrong = believed(report, live.tasks)
        for outcome in outcomes:
            if outcome.error not in FATAL:
                self._lost_in_a_row, self.trouble = 0, ""
                self._end(live.tasks.pop(outcome.task_id), outcome)
        await self._commit()
        if report.engine_dead:
            raise _death_of_engine(outcomes)
        if wrong:
            raise EngineDead(f"a worker erred: {wrong}")

    async def _commit(self) -> None:
        """Commit what is whole now, and wake the workers that wait for it."""
        async with self._committing:  # one at a time, whichever worker completes a shard
            while self.collector.whole:
                await written_aside(self._next_shard(), self._commit_next)
        self._news.set()

    def _commit_next(self) -> None:
        self.collector.commit_next()
        self.changed(self)

    def _next_shard(self) -> Place:
        return shard_path(self.collector.folder.path, self.collector.next_shard)

    def _end(self, task: Task, outcome: Outcome) -> None:
        if outcome.error == "input":
            raise InputError(outcome.message)
        if outcome.error == "timeout":
            self._timeouts[task.id] += 1
            if self._timeouts[task.id] < TIMEOUTS:
                self._again.append(task)
                return
        if outcome.error:
            self._bury(task, outcome.error, outcome.message)
        else:
            self.collector.add(task, Settled(outcome.row, outcome.fingerprint, outcome.sketch))

    def _bury(self, task: Task, error: str, message: str) -> None:
        self.death = f"{error}: {message}"
        attempts = 1 + self._strikes[task.id] + max(0, self._timeouts[task.id] - 1)
        death = {
            "id": task.id,
            "index": task.index,
            "error": error,
            "message": cut(message),
            "attempts": attempts,
        }
        self.collector.add(task, Settled(death=death))

    def _lost(self, live: Live, error: EngineDead) -> None:
        """Give the tasks of a lost worker back, with a strike each."""
        self._lost_in_a_row += 1
        self.trouble = error.what
        lost = list(live.tasks.values())
        if self._lost_in_a_row > self.restarts * len(self.workers):
            raise MachineError(
                f"the engine was lost {self._lost_in_a_row} times without one task done in "
                f"between (last: {error.what})",
                fix="Committed shards are safe; mend the engine and run the same command again.",
            )
        for task in reversed(lost):
            self._strike(task, alone=len(lost) == 1, error=error)
        live.tasks.clear()
        live.state = "restarting"

    def _strike(self, task: Task, alone: bool, error: EngineDead) -> None:
        self._strikes[task.id] += 1
        self._alone[task.id] += alone
        if self._alone[task.id] >= FATAL_ALONE:
            self._strikes[task.id] -= 1  # the last try is counted by _bury itself
            kind = "timeout" if isinstance(error, EngineHangs) else "engine"
            self._bury(task, kind, error.what)
        elif alone:  # not again at once: somebody may be killing workers, whatever they play
            self._struck.insert(APART, (task, 1))
        else:
            size = self.in_flight // SHRINK ** self._strikes[task.id]
            self._struck.appendleft((task, max(1, size)))  # smaller groups first: some end well

    def _add_usage(self, live: Live) -> None:
        for name in ("prompt", "cached", "generated", "calls"):
            setattr(self.spent, name, getattr(self.spent, name) + getattr(live.usage, name))
        live.usage = Usage()

    def usage(self) -> Usage:
        """Tokens and calls of this session so far."""
        every = [self.spent, *(live.usage for live in self.workers)]
        return Usage(
            *(sum(getattr(u, n) for u in every) for n in ("prompt", "cached", "generated", "calls"))
        )

    def why_empty(self) -> str:
        """In a few words, why fewer rollouts are in play than there is room for; or ""."""
        states = {live.state for live in self.workers} - {"working"}
        if states:
            return f"engines are {' and '.join(sorted(states))}"
        if sum(live.in_flight for live in self.workers) >= self.in_flight * len(self.workers):
            return ""
        if self._struck:
            return "trying tasks again that an engine died of"
        if self._next is None:
            return "no tasks left to begin"
        rooms = [self.in_flight if live.room is None else live.room for live in self.workers]
        if (room := sum(rooms)) < self.in_flight * len(rooms):
            return f"the engines take {room} at once"
        return "waiting for the oldest shard to finish" if not self._room() else ""

    def _room(self) -> bool:
        first_open = self.collector.next_shard * self.collector.shard_rows
        return self._next is not None and self._next.index < first_open + self.window


def _death_of_engine(outcomes: Iterable[Outcome]) -> EngineDead:
    """The death of an engine, in the words of the first task that saw it."""
    for outcome in outcomes:
        if outcome.error in FATAL:
            return (EngineHangs if outcome.error == "hang" else EngineDead)(outcome.message)
    return EngineDead("an engine died")
