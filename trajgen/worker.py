"""A worker: engines and many rollouts in one event loop.

The driver hands tasks in and takes outcomes out in one exchange; between exchanges nothing
crosses a process border. A finished rollout's place is filled at once from the tasks that
wait here, so there is no barrier.

Crash rule: a worker owns nothing. Tasks it had when it died are given to another one.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trajgen.authored import author
from trajgen.cast import Usage
from trajgen.config import Pipeline
from trajgen.contamination import NO_BENCHMARKS, Benchmarks
from trajgen.engines import Engine
from trajgen.errors import (
    EngineDead,
    EngineHangs,
    InputError,
    MachineError,
    RequestError,
    Timeout,
)
from trajgen.filters.corpus import fingerprint
from trajgen.filters.reading import read_once
from trajgen.prompts import Prompts
from trajgen.records import Json, Task, cut
from trajgen.rollout import Rollout
from trajgen.seeds import SeedSet
from trajgen.sketches import sketch
from trajgen.stage import Stage, make_stage

EXCHANGE_S = 1.0  # the longest an exchange waits for an outcome: also the heartbeat
CLOSE_S = 2.0  # for rollouts that are abandoned to unwind
START_S = 10.0  # over its limit, before an engine that starts without end is given up
GATHER_S = 0.02  # after a first outcome, how long to wait for its neighbours
Error = Literal["", "request", "timeout", "engine", "hang", "input", "internal"]
FATAL = ("engine", "hang")  # to the engine


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs to know of a run."""

    pipeline: Pipeline
    seeds: SeedSet
    prompts: Prompts
    run_id: str
    in_flight: int
    benchmarks: Benchmarks = NO_BENCHMARKS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task: a row, or the error that stopped it; fingerprint and sketch are
    those of a row that nothing is against.

    request: it cannot run; timeout: try again; engine: the engine died; hang: it
    answered nobody in time, and is taken for dead; input: the job is
    wrong, stop; internal: a bug of ours or of a filter, kept with its message.
    """

    task_id: str
    row: dict[str, Json] | None = None
    fingerprint: str = ""
    sketch: str = ""
    error: Error = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One exchange's answer: what ended, how many tasks the worker still plays and holds, and
    how many its engines have room for at once. `usage` counts from the worker's start."""

    outcomes: tuple[Outcome, ...]
    in_flight: int
    usage: Usage
    engine_dead: bool = False
    waiting: int = 0
    room: int | None = None  # all that it may play


@dataclass(slots=True)
class Worker:
    """Plays tasks; made by the driver, in this process or in a Ray actor."""

    job: Job
    engines: Mapping[str, Engine]
    _stage: Stage | None = None
    _waiting: deque[Task] = field(default_factory=deque)
    _playing: set[asyncio.Task[None]] = field(default_factory=set)
    _done: list[Outcome] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _engine_dead: bool = False

    async def start(self) -> None:
        """Start the engines, then set the stage. Raises MachineError or InputError."""
        for name, engine in self.engines.items():
            await self._start(name, engine)
        job = self.job
        if job.pipeline.near_duplicate is not None:
            sketch(())  # loads numpy before the clock of any rollout runs
        self._stage = make_stage(
            job.pipeline, job.seeds, job.prompts, self.engines, job.run_id, job.benchmarks
        )

    async def _start(self, name: str, engine: Engine) -> None:
        limit = self.job.pipeline.engines[name].start_timeout_s
        try:
            async with asyncio.timeout(limit + START_S):  # engines keep to the limit themselves
                await engine.start()
        except TimeoutError as error:
            what, advice = f"was not ready within {limit:g} s", "Raise its start_timeout_s."
            raise MachineError(what, f"engines.{name}", advice) from error

    async def exchange(self, tasks: list[Task]) -> Report:
        """Take `tasks`, give back what has finished; waits up to EXCHANGE_S for something."""
        self._waiting.extend(tasks)
        self._fill()
        if not self._done and (self._playing or self._waiting):
            await self._wait_for_news()
        self._news.clear()
        done, self._done = tuple(self._done), []
        usage = self._stage.cast.usage if self._stage else Usage()
        held = len(self._playing), len(self._waiting)
        return Report(done, held[0], usage, self._engine_dead, held[1], self._room())

    async def close(self) -> None:
        """Abandon what is playing and stop the engines."""
        self._waiting.clear()  # or each place that a cancelled rollout leaves is filled again
        for playing in self._playing:
            playing.cancel()
        if self._playing:
            await asyncio.wait(self._playing, timeout=CLOSE_S)
        for engine in self.engines.values():
            await engine.close()

    async def _wait_for_news(self) -> None:
        try:
            async with asyncio.timeout(EXCHANGE_S):  # wait_for can lose a cancellation
                await self._news.wait()
            if self._playing:
                await asyncio.sleep(GATHER_S)
        except TimeoutError:
            pass  # a heartbeat without news

    def _fill(self) -> None:
        room = self._room()
        while self._waiting and len(self._playing) < room and not self._engine_dead:
            playing = asyncio.ensure_future(self._play(self._waiting.popleft()))
            self._playing.add(playing)
            playing.add_done_callback(self._finished)

    def _room(self) -> int:
        """Rollouts at once: fewer where an engine takes fewer requests than it is set up for."""
        share = min((getattr(e, "share", 1.0) for e in self.engines.values()), default=1.0)
        return max(1, math.ceil(self.job.in_flight * share))

    def _finished(self, playing: asyncio.Task[None]) -> None:
        self._playing.discard(playing)
        self._fill()
        self._news.set()

    async def _play(self, task: Task) -> None:
        outcome = await self._outcome(task)
        self._done.append(outcome)  # looked up after the wait: an exchange swaps the list

    async def _outcome(self, task: Task) -> Outcome:
        try:
            return await self._played(task)
        except RequestError as error:
            return _died(task, "request", error.what)
        except Timeout as error:
            return _died(task, "timeout", error.what)
        except EngineDead as error:
            self._engine_dead = True
            return _died(task, "hang" if isinstance(error, EngineHangs) else "engine", error.what)
        except InputError as error:
            return _died(task, "input", str(error))
        except asyncio.CancelledError:
            if self._is_cancelled():
                raise
            return _died(task, "internal", "cancelled from inside")
        except Exception as error:  # noqa: BLE001 - a bug, a filter's too, costs its task alone
            return _died(task, "internal", f"{type(error).__name__}: {error}")

    def _is_cancelled(self) -> bool:
        playing = asyncio.current_task()
        return playing is None or playing.cancelling() > 0

    async def _played(self, task: Task) -> Outcome:
        if self._stage is None:
            raise EngineDead("the worker has not been started")
        one_call = self.job.pipeline.rollout.mode == "one_call"
        played = author(self._stage, task) if one_call else Rollout(self._stage, task).play()
        trajectory = await played
        if trajectory.reasons:
            return Outcome(task.id, trajectory.row())
        near, said = self.job.pipeline.near_duplicate is not None, trajectory.messages
        with read_once(said):
            marks = fingerprint(said), sketch(said) if near else ""
        return Outcome(task.id, trajectory.row(), *marks)


def _died(task: Task, error: Error, message: str) -> Outcome:
    return Outcome(task.id, error=error, message=cut(message))
