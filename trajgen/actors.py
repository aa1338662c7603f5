"""What runs in an actor: a worker with its rollouts, and one replica of a shared engine.

Errors go back as values, so that their types cross process borders unchanged. Nothing here
knows Ray: an actor that is lost shows as an error of the type that the cluster names.

Crash rule: an actor owns nothing; what it had in hand is given to another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from trajgen.config import Pipeline
from trajgen.config.engine import EngineConfig
from trajgen.engines import Completion, Engine, Request, make_engine
from trajgen.engines.watched import MARGIN_S, WatchedEngine
from trajgen.errors import EngineDead, MachineError, TrajgenError
from trajgen.ids import digest
from trajgen.records import Message, Task, Tool
from trajgen.worker import Job, Report, Worker


def adapters(pipeline: Pipeline, engine: str) -> tuple[str, ...]:
    """The adapters that roles use on `engine`."""
    roles = (role for _, role in pipeline.roles if role is not None)
    named = [role.adapter for role in roles if role.engine == engine and role.adapter]
    return tuple(dict.fromkeys(named))


class WorkerActor:
    """A Worker as an actor. Errors go back as values: their types cross unchanged."""

    def __init__(self, job: Job, remote: dict[str, list[Any]], lost: type[Exception]) -> None:
        self.job, self.remote, self.lost = job, remote, lost
        self.worker: Worker | None = None

    async def start(self) -> TrajgenError | None:
        return await _or_error(self._start())

    async def exchange(self, tasks: list[Task]) -> Report:
        if self.worker is None:
            raise EngineDead("the worker has not been started")
        return await self.worker.exchange(tasks)

    async def close(self) -> None:
        if self.worker is not None:
            await self.worker.close()

    async def _start(self) -> None:
        pipeline = self.job.pipeline
        local = {
            name: WatchedEngine(make_engine(config, adapters(pipeline, name)), config)
            for name, config in pipeline.engines.items()
            if name not in self.remote
        }
        far = {
            name: _watched_far(pipeline.engines[name], actors, self.lost)
            for name, actors in self.remote.items()
        }
        self.worker = Worker(self.job, {**local, **far})
        await self.worker.start()


class EngineActor:
    """One replica of a shared engine. Several workers start it; it starts once."""

    def __init__(self, config: EngineConfig, adapters: tuple[str, ...]) -> None:
        self.config, self.adapters = config, adapters
        self.engine: Engine | None = None
        self._starting = asyncio.Lock()
        self._dead = False

    async def start(self) -> str | TrajgenError:
        """The name of the model that answers."""
        async with self._starting:
            error = None if self.engine else await _or_error(self._start())
        return error or (self.engine.model if self.engine else "")

    def healthy(self) -> bool:
        return not self._dead

    async def complete(self, request: Request) -> Completion | TrajgenError:
        if self.engine is None:
            return EngineDead("the engine has not been started")
        try:
            return await self.engine.complete(request)
        except EngineDead as error:
            self._dead = True
            return error
        except TrajgenError as error:
            return error

    async def close(self) -> None:
        if self.engine is not None:
            await self.engine.close()

    async def _start(self) -> None:
        engine = WatchedEngine(make_engine(self.config, self.adapters), self.config)
        await engine.start()
        self.engine = engine


class _RemoteEngine:
    """A shared engine as rollouts see it: the Engine protocol over the actors of replicas.

    A task keeps to one replica, whose prefix cache knows it.
    """

    def __init__(self, config: EngineConfig, actors: list[Any], lost: type[Exception]) -> None:
        self.model, self.actors, self.lost = config.model or config.kind, actors, lost

    async def start(self) -> None:
        for answer in await asyncio.gather(*(self._call(a.start) for a in self.actors)):
            if isinstance(answer, TrajgenError):
                raise answer
            self.model = answer

    async def complete(self, request: Request) -> Completion:
        task = request.id.partition("/")[0]
        actor = self.actors[int(digest(task)[:8], 16) % len(self.actors)]
        answer = await self._call(actor.complete, request)
        if isinstance(answer, TrajgenError):
            raise answer
        completion: Completion = answer
        return completion

    def count_tokens(self, messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> list[int]:
        raise MachineError("tokens are counted by the agent's engine, which is never remote")

    async def close(self) -> None:
        """The actors serve other workers too; they go with the driver."""

    async def _call(self, method: Any, *arguments: Any) -> Any:
        try:
            return await method.remote(*arguments)
        except self.lost as lost:
            raise EngineDead(f"the engine's actor was lost ({short(lost)})") from lost


def _watched_far(config: EngineConfig, actors: list[Any], lost: type[Exception]) -> Engine:
    """Watched here as well: an actor may hang whole. Its own watch is the first to tell."""
    return WatchedEngine(_RemoteEngine(config, actors, lost), config, 2 * MARGIN_S)


async def _or_error(work: Coroutine[Any, Any, None]) -> TrajgenError | None:
    try:
        await work
    except TrajgenError as error:
        return error
    return None


def short(error: BaseException) -> str:
    """Type and first line of an error of somebody else's."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:300]
