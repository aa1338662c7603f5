"""A few tasks rolled out in this process, to be looked at; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from trajgen.cluster import make_local_engines
from trajgen.errors import InputError, MachineError
from trajgen.loop import run_to_end
from trajgen.pipeline import load
from trajgen.plan import plan
from trajgen.records import Task, Trajectory
from trajgen.worker import Outcome, Worker


def preview(
    path: str, n: int, overrides: Iterable[str], tell: Callable[[str], None]
) -> list[Trajectory]:
    """The first `n` tasks of the plan as trajectories with their verdicts.

    Tasks that die are told of. Raises InputError or MachineError.
    """
    loaded = load(path, overrides, limit=n)
    loaded.check()
    pipeline = loaded.pipeline
    tasks = list(plan(loaded.seeds.seeds, pipeline.variations, pipeline.max_tasks, pipeline.seed))
    worker = Worker(loaded.job(), make_local_engines(pipeline))
    outcomes = run_to_end(lambda: _play(worker, tasks))
    for outcome in outcomes:
        if outcome.row is None:
            tell(f"{outcome.task_id}: dead ({outcome.error}: {outcome.message})")
    by_id = {o.task_id: Trajectory.parse(o.row) for o in outcomes if o.row is not None}
    return [by_id[task.id] for task in tasks if task.id in by_id]


async def _play(worker: Worker, tasks: list[Task]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    try:
        await worker.start()
        report = await worker.exchange(tasks)
        while True:
            outcomes += report.outcomes
            _raise_if_hopeless(report.outcomes)
            if len(outcomes) >= len(tasks):
                return outcomes
            report = await worker.exchange([])
    finally:
        await worker.close()


def _raise_if_hopeless(outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.error == "input":
            raise InputError(outcome.message)
        if outcome.error == "engine":
            raise MachineError(
                f"the engine died ({outcome.message})",
                outcome.task_id,
                "`trajgen doctor` says what works here.",
            )
