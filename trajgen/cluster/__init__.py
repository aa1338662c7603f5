"""Ray: workers and shared engines as actors. The only room that knows ray.

Each worker holds the agent's engine and its rollouts in one event loop. Engines that only
speak to a server, or the scripted one, are made in every worker; a second model of its own
gets actors of its own, which the workers share out among them.

Retries are ours: Ray restarts and retries nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trajgen.actors import EngineActor, WorkerActor, adapters, short
from trajgen.cluster.own import LOOPBACK
from trajgen.cluster.session import ray_session
from trajgen.config import ClusterConfig, Pipeline
from trajgen.config.engine import EngineConfig
from trajgen.dispatch import Handle
from trajgen.engines import Engine, make_engine
from trajgen.engines.watched import WatchedEngine
from trajgen.errors import EngineDead, InputError, MachineError
from trajgen.models import local_path
from trajgen.records import Task
from trajgen.worker import Job, Report, Worker

CLOSE_S = 2.0
GONE_S = 2.0  # for a killed worker to be gone
IN_A_MESSAGE = 100_000  # bytes that Ray sends with a call; more than that lies in its store
PLACE_S = 60.0  # for Ray to find room for an actor, over what its engines may take to start
Hire = Callable[[int], Handle]


def check(pipeline: Pipeline) -> None:
    """Raises InputError for what is wrong with engines and cluster before one is started."""
    make_local_engines(pipeline)
    here = pipeline.cluster.address in ("inline", "local")
    for config in pipeline.engines.values():
        if here and config.kind == "vllm":
            local_path(config.model)
    _refuse_open(pipeline.cluster)


def make_local_engines(pipeline: Pipeline) -> dict[str, Engine]:
    """Every engine of the pipeline, in this process."""
    return {
        name: WatchedEngine(make_engine(config, adapters(pipeline, name)), config)
        for name, config in pipeline.engines.items()
    }


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
def open_cluster(pipeline: Pipeline, job: Job, logs: Path | None = None) -> Iterator[Hire]:
    """Gives `hire(number)`, which makes the handle of a fresh worker. What workers wrote is in
    the folder `logs` when the machine fails."""
    if pipeline.cluster.address == "inline":
        yield lambda number: Worker(job, make_local_engines(pipeline))
        return
    _refuse_open(pipeline.cluster)
    with ray_session(_options(pipeline), logs) as ray:
        hiring = _Hiring(ray, pipeline, job)
        try:
            yield hiring.hire
        finally:
            hiring.close()


def _options(pipeline: Pipeline) -> dict[str, Any]:
    """`local` is said outright: without an address Ray would join what RAY_ADDRESS names."""
    address = pipeline.cluster.address
    options = {"address": address, "log_to_driver": False, "logging_level": logging.ERROR}
    if address != "local":
        return options
    actors = n_workers(pipeline) + sum(pipeline.engines[n].replicas for n in shared(pipeline))
    cpus = max(os.cpu_count() or 1, actors)
    return options | {
        "include_dashboard": False,
        "num_cpus": cpus,
        "_node_ip_address": LOOPBACK,
        # Nobody looks at Ray's list of tasks, and its last message would keep a socket for good.
        "_system_config": {"task_events_report_interval_ms": 0},
    }


def _refuse_open(cluster: ClusterConfig) -> None:
    """A cluster that anybody can join runs anybody's code."""
    joins = cluster.address not in ("inline", "local")
    if joins and not cluster.trusted and os.environ.get("RAY_AUTH_MODE") != "token":
        raise InputError(
            f"will not join the Ray cluster {cluster.address!r} without token authentication",
            "cluster.address",
            "Set RAY_AUTH_MODE=token (see Ray's security page), or cluster.trusted: true.",
        )


class _Hiring:
    """Makes actors: workers on demand, shared engines once and again when one is lost."""

    def __init__(self, ray: Any, pipeline: Pipeline, job: Job) -> None:
        self.ray, self.pipeline = ray, pipeline
        large = len(ray.cloudpickle.dumps(job)) > IN_A_MESSAGE
        self.job = ray.put(job) if large else job
        self.gpus = ray.cluster_resources().get("GPU", 0)
        self.shared = shared(pipeline)
        self._engines: dict[tuple[str, int], Any] = {}
        self._hired: set[int] = set()
        if pipeline.cluster.address == "local":
            self._refuse_too_few_gpus()

    def hire(self, number: int) -> Handle:
        """A fresh worker; its share of the shared engines is started with it."""
        again = number in self._hired
        self._hired.add(number)
        remote = {name: self._replicas(name, number, again) for name in self.shared}
        agent = self.pipeline.engines[self.pipeline.roles.agent.engine]
        lost = self.ray.exceptions.RayError
        actor = self._actor(WorkerActor, agent).remote(self.job, remote, lost)
        limit_s = PLACE_S + sum(c.start_timeout_s for c in self.pipeline.engines.values())
        return _RayWorker(self.ray, actor, limit_s)

    def close(self) -> None:
        """Stop the shared engines, their child processes included."""
        closing = [actor.close.remote() for actor in self._engines.values()]
        if closing:
            self.ray.wait(closing, num_returns=len(closing), timeout=CLOSE_S)
        self._engines.clear()
        self.job = None

    def _replicas(self, name: str, number: int, again: bool) -> list[Any]:
        """The replicas of a shared engine that worker `number` speaks to: one, or several
        where there are more of them than workers."""
        replicas = self.pipeline.engines[name].replicas
        chosen = range(number % replicas, replicas, n_workers(self.pipeline))
        return [self._engine(name, replica, again) for replica in chosen]

    def _engine(self, name: str, replica: int, again: bool) -> Any:
        """The actor of a replica; one that may have died with a worker is looked at first."""
        key = (name, replica)
        if key not in self._engines or (again and not self._alive(self._engines[key])):
            config = self.pipeline.engines[name]
            maker = self._actor(EngineActor, config)
            self._engines[key] = maker.remote(config, adapters(self.pipeline, name))
        return self._engines[key]

    def _alive(self, actor: Any) -> bool:
        """False when it is gone or its engine is dead; one that is busy loading is alive."""
        try:
            healthy = bool(self.ray.get(actor.healthy.remote(), timeout=CLOSE_S))
        except self.ray.exceptions.GetTimeoutError:
            return True
        except self.ray.exceptions.RayError:
            return False
        if not healthy:
            with suppress(self.ray.exceptions.RayError):
                self.ray.get(actor.close.remote(), timeout=CLOSE_S)
            self.ray.kill(actor)
        return healthy

    def _refuse_too_few_gpus(self) -> None:
        own = [self.pipeline.roles.agent.engine, *self.shared]
        engines = [self.pipeline.engines[name] for name in own]
        wanted = sum(c.replicas * c.tensor_parallel_size for c in engines if c.kind == "vllm")
        if 0 < self.gpus < wanted:
            raise InputError(
                f"the engines want {wanted} GPUs and this machine has {self.gpus:g}",
                "engines",
                "Lower replicas or tensor_parallel_size, or name a cluster in cluster.address.",
            )

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


class _RayWorker:
    """The driver's handle of a worker actor."""

    def __init__(self, ray: Any, actor: Any, limit_s: float) -> None:
        self.ray, self.actor, self.limit_s = ray, actor, limit_s

    async def start(self) -> None:
        try:
            async with asyncio.timeout(self.limit_s):
                error = await self.actor.start.remote()
        except self.ray.exceptions.RayError as lost:
            raise EngineDead(f"the worker was lost while starting ({short(lost)})") from lost
        except TimeoutError as late:
            raise MachineError(
                f"a worker was not ready within {self.limit_s:g} s",
                "cluster",
                "`ray status` shows whether the cluster has room for it; a slow model wants a "
                "longer start_timeout_s.",
            ) from late
        if error is not None:
            raise error

    async def exchange(self, tasks: list[Task]) -> Report:
        try:
            report: Report = await self.actor.exchange.remote(tasks)
        except self.ray.exceptions.RayError as lost:
            raise EngineDead(f"the worker was lost ({short(lost)})") from lost
        return report

    async def close(self) -> None:
        """Closed, killed and gone: Ray never lets go of a connection on which something is still
        asked, be it about an actor that somebody refers to."""
        lost = (self.ray.exceptions.RayError, TimeoutError)
        with suppress(*lost):
            async with asyncio.timeout(CLOSE_S):
                await self.actor.close.remote()
        with suppress(*lost):
            self.ray.kill(self.actor)
            async with asyncio.timeout(GONE_S):
                while True:
                    await self.actor.__ray_ready__.remote()
        self.actor = None
