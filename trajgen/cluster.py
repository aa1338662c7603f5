"""Ray: workers and shared engines as actors. The only file that imports ray.

Each worker holds the agent's engine and its rollouts in one event loop. Engines that only
speak to a server, or the scripted one, are made in every worker; a second model of its own
gets actors of its own, and each worker keeps to one of them.

Retries are ours: Ray restarts and retries nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from trajgen.config import EngineConfig, Pipeline
from trajgen.dispatch import Handle
from trajgen.engines import Completion, Engine, Request, make_engine
from trajgen.errors import EngineDead, InputError, MachineError, TrajgenError
from trajgen.records import Message, Task, Tool
from trajgen.worker import Job, Report, Worker

CLOSE_S = 5.0
Hire = Callable[[int], Handle]


def make_local_engines(pipeline: Pipeline) -> dict[str, Engine]:
    """Every engine of the pipeline, in this process."""
    return {name: make_engine(c, adapters(pipeline, name)) for name, c in pipeline.engines.items()}


def adapters(pipeline: Pipeline, engine: str) -> tuple[str, ...]:
    """The adapters that roles use on `engine`."""
    roles = (pipeline.roles.agent, pipeline.roles.user, pipeline.roles.world)
    named = [role.adapter for role in roles if role.engine == engine and role.adapter]
    return tuple(dict.fromkeys(named))


def n_workers(pipeline: Pipeline) -> int:
    """One worker for each replica of the agent's engine."""
    return pipeline.engines[pipeline.roles.agent.engine].replicas


def shared(pipeline: Pipeline) -> list[str]:
    """The engines with actors of their own."""
    return [
        name
        for name, config in pipeline.engines.items()
        if name != pipeline.roles.agent.engine and (config.kind == "vllm" or config.replicas > 1)
    ]


@contextmanager
def open_cluster(pipeline: Pipeline, job: Job) -> Iterator[Hire]:
    """Gives `hire(number)`, which makes the handle of a fresh worker."""
    if pipeline.cluster.address == "inline":
        yield lambda number: Worker(job, make_local_engines(pipeline))
        return
    with _ray(pipeline) as ray:
        yield _Hiring(ray, pipeline, job).hire


@contextmanager
def _ray(pipeline: Pipeline) -> Iterator[Any]:
    """Ray, started here on loopback or joined at an address; left at the end."""
    cluster = pipeline.cluster
    local = cluster.address == "local"
    if not local and not cluster.trusted and os.environ.get("RAY_AUTH_MODE") != "token":
        raise InputError(
            f"will not join the Ray cluster {cluster.address!r} without token authentication",
            "cluster.address",
            "Set RAY_AUTH_MODE=token (see Ray's security page), or cluster.trusted: true.",
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if local:
        actors = n_workers(pipeline) + sum(pipeline.engines[n].replicas for n in shared(pipeline))
        cpus = max(os.cpu_count() or 1, actors)
        options |= {"include_dashboard": False, "num_cpus": cpus, "_node_ip_address": "127.0.0.1"}
    else:
        options["address"] = cluster.address
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, OSError, ValueError) as error:
        raise MachineError(
            f"Ray does not start ({error})", cluster.address, "`trajgen doctor` says more."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


class _Hiring:
    """Makes actors: workers on demand, shared engines once and again when one is lost."""

    def __init__(self, ray: Any, pipeline: Pipeline, job: Job) -> None:
        self.ray, self.pipeline = ray, pipeline
        self.job = ray.put(job)
        self.gpus = ray.cluster_resources().get("GPU", 0) > 0
        self.shared = shared(pipeline)
        self._engines: dict[tuple[str, int], Any] = {}

    def hire(self, number: int) -> Handle:
        """A fresh worker; its share of the shared engines is started with it."""
        remote = {name: self._engine(name, number) for name in self.shared}
        agent = self.pipeline.engines[self.pipeline.roles.agent.engine]
        actor = self._actor(_WorkerActor, agent).remote(self.job, remote)
        return _RayWorker(self.ray, actor)

    def _engine(self, name: str, number: int) -> Any:
        config = self.pipeline.engines[name]
        key = (name, number % config.replicas)
        if key not in self._engines or not self._alive(self._engines[key]):
            maker = self._actor(_EngineActor, config)
            self._engines[key] = maker.remote(config, adapters(self.pipeline, name))
        return self._engines[key]

    def _alive(self, actor: Any) -> bool:
        try:
            return bool(self.ray.get(actor.healthy.remote(), timeout=CLOSE_S))
        except (self.ray.exceptions.RayError, TimeoutError):
            with suppress(self.ray.exceptions.RayError):
                self.ray.kill(actor)
            return False

    def _actor(self, cls: type, config: EngineConfig) -> Any:
        gpus = config.tensor_parallel_size if self.gpus and config.kind == "vllm" else 0
        environment = {"OMP_NUM_THREADS": str(os.cpu_count())} if config.kind == "vllm" else {}
        return self.ray.remote(cls).options(
            num_cpus=1,
            num_gpus=gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=100_000,
            runtime_env={"env_vars": environment},
        )


class _WorkerActor:
    """A Worker as an actor. Errors go back as values: their types cross unchanged."""

    def __init__(self, job: Job, remote: dict[str, Any]) -> None:
        pipeline = job.pipeline
        local = {
            name: make_engine(config, adapters(pipeline, name))
            for name, config in pipeline.engines.items()
            if name not in remote
        }
        shared = {name: _RemoteEngine(pipeline.engines[name], a) for name, a in remote.items()}
        self.worker = Worker(job, {**local, **shared})

    async def start(self) -> TrajgenError | None:
        return await _or_error(self.worker.start())

    async def exchange(self, tasks: list[Task]) -> Report:
        return await self.worker.exchange(tasks)

    async def close(self) -> None:
        await self.worker.close()


class _RayWorker:
    """The driver's handle of a worker actor."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self.ray, self.actor = ray, actor

    async def start(self) -> None:
        try:
            error = await self.actor.start.remote()
        except self.ray.exceptions.RayError as lost:
            raise EngineDead(f"the worker was lost while starting ({_short(lost)})") from lost
        if error is not None:
            raise error

    async def exchange(self, tasks: list[Task]) -> Report:
        try:
            report: Report = await self.actor.exchange.remote(tasks)
        except self.ray.exceptions.RayError as lost:
            raise EngineDead(f"the worker was lost ({_short(lost)})") from lost
        return report

    async def close(self) -> None:
        import asyncio

        with suppress(self.ray.exceptions.RayError, TimeoutError):
            await asyncio.wait_for(self.actor.close.remote(), CLOSE_S)
        with suppress(self.ray.exceptions.RayError):
            self.ray.kill(self.actor)


class _EngineActor:
    """One replica of a shared engine."""

    def __init__(self, config: EngineConfig, adapters: tuple[str, ...]) -> None:
        self.engine, self._started = make_engine(config, adapters), False
        self._dead = False

    async def start(self) -> TrajgenError | None:
        if self._started:
            return None
        error = await _or_error(self.engine.start())
        self._started = error is None
        return error

    def healthy(self) -> bool:
        return not self._dead

    async def complete(self, request: Request) -> Completion | TrajgenError:
        try:
            return await self.engine.complete(request)
        except EngineDead as error:
            self._dead = True
            return error
        except TrajgenError as error:
            return error

    def count_tokens(self, messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> list[int]:
        return self.engine.count_tokens(messages, tools)


class _RemoteEngine:
    """A shared engine as rollouts see it: the Engine protocol over an actor."""

    def __init__(self, config: EngineConfig, actor: Any) -> None:
        self.model, self.actor = config.model or config.kind, actor

    async def start(self) -> None:
        error = await self._call(self.actor.start)
        if error is not None:
            raise error

    async def complete(self, request: Request) -> Completion:
        answer = await self._call(self.actor.complete, request)
        if isinstance(answer, TrajgenError):
            raise answer
        completion: Completion = answer
        return completion

    def count_tokens(self, messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> list[int]:
        raise MachineError("tokens are counted by the agent's engine, which is never remote")

    async def close(self) -> None:
        """The actor serves other workers too; it goes with the driver."""

    async def _call(self, method: Any, *arguments: Any) -> Any:
        import ray

        try:
            return await method.remote(*arguments)
        except ray.exceptions.RayError as lost:
            raise EngineDead(f"the engine's actor was lost ({_short(lost)})") from lost


async def _or_error(work: Any) -> TrajgenError | None:
    try:
        await work
    except TrajgenError as error:
        return error
    return None


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:300]
