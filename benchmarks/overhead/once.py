"""One measurement, in a process of its own: `once record FILE N` or `once measure FILE N`.

Prints the figures as JSON, all in microseconds of the processor but for `calls` and written
`tokens` a task, and `bytes` a row.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from benchmarks.overhead.engine import Recording, Replay
from trajgen import filters, worker
from trajgen.collect import Collector, Settled
from trajgen.engines.watched import WatchedEngine
from trajgen.pipeline import Loaded, load
from trajgen.plan import plan
from trajgen.records import Task, Trajectory
from trajgen.run_folder import RunFolder
from trajgen.worker import Outcome, Worker

PIPELINE = "pipelines/smoke.yaml"
WARM = 6  # tasks that fill what is made once: compiled schemas, templates, shapes
PART = 128  # tasks given at once, and rows of a shard
US = 1e6


def main() -> None:
    """What the command line asks for."""
    what, file, tasks = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    settings = (
        "cluster.address=inline",
        f"shards.rows={PART}",
        f"target={tasks}",
        f"max_tasks={tasks}",
    )
    loaded = load(PIPELINE, settings, tasks)
    planned = list(
        plan(loaded.seeds.seeds, loaded.pipeline.variations, tasks, loaded.pipeline.seed)
    )
    if what == "record":
        answers: dict[str, Any] = {}
        engines = {n: Recording(c, answers) for n, c in loaded.pipeline.engines.items()}
        asyncio.run(_play(Worker(loaded.job(), engines), planned))
        file.write_text(json.dumps(answers), "utf-8")
        return
    sys.stdout.write(json.dumps(_measure(loaded, planned, file)) + "\n")


def _measure(loaded: Loaded, planned: list[Task], file: Path) -> dict[str, float]:
    replays = {n: Replay(c, file) for n, c in loaded.pipeline.engines.items()}
    engines = {n: WatchedEngine(e, loaded.pipeline.engines[n]) for n, e in replays.items()}
    spent = _watch(list(replays.values()))
    player = Worker(loaded.job(), engines)
    rows = asyncio.run(_play(player, planned, spent, replays))
    calls, tasks = sum(e.calls for e in replays.values()), len(planned) - WARM
    apart = spent["filters"] + spent["row"] + spent["marks"] + spent["engine"]
    message, size = _message(rows)
    committed = _commit(loaded, planned, rows)
    marks, row = (spent[part] / tasks for part in ("marks", "row"))
    parts = {"text": row, "marks": marks, "message": message, "commit": committed}
    return {
        "call": (spent["all"] - apart) / calls * US,
        "trajectory": spent["filters"] / tasks * US,
        "row": sum(parts.values()) * US,
        **{f"row: {name}": value * US for name, value in parts.items()},
        "calls": calls / tasks,
        "tokens": sum(e.tokens for e in replays.values()) / tasks,
        "bytes": size,
    }


def _watch(engines: list[Replay]) -> Counter[str]:
    """Sums of processor seconds by part, from now on."""
    spent: Counter[str] = Counter()

    def timed(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*given: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return call(*given, **named)
            finally:
                spent[part] += time.thread_time() - began

        return measured

    filters.check = timed("filters", filters.check)
    worker.sketch, worker.fingerprint = (  # type: ignore[attr-defined]
        timed("marks", call) for call in (worker.sketch, worker.fingerprint)
    )
    Trajectory.row = timed("row", Trajectory.row)  # type: ignore[method-assign]
    for engine in engines:
        engine.count_tokens = timed("engine", engine.count_tokens)  # type: ignore[method-assign]
    return spent


async def _play(
    player: Worker,
    planned: list[Task],
    spent: Counter[str] | None = None,
    engines: dict[str, Replay] | None = None,
) -> list[Outcome]:
    """The outcomes of all tasks in plan order; what the first WARM cost is forgotten."""
    await player.start()
    first = await _outcomes(player, planned[:WARM])
    for engine in (engines or {}).values():
        engine.calls = engine.tokens = 0
    if spent is not None:
        spent.clear()
    began, rest = time.process_time(), list[Outcome]()
    for at in range(WARM, len(planned), PART):
        rest += await _outcomes(player, planned[at : at + PART])
    if spent is not None:
        spent["all"] = time.process_time() - began
    await player.close()
    found = {outcome.task_id: outcome for outcome in first + rest}
    if broken := [o.message for o in found.values() if o.error]:
        raise SystemExit(f"{len(broken)} tasks did not end: {broken[0]}")
    return [found[task.id] for task in planned]


async def _outcomes(player: Worker, tasks: list[Task]) -> list[Outcome]:
    found, given = list[Outcome](), tasks
    while len(found) < len(tasks):
        report = await player.exchange(given)
        found, given = found + list(report.outcomes), []
    return found


def _message(outcomes: list[Outcome]) -> tuple[float, float]:
    """Seconds and bytes of an outcome on its way to the driver."""
    began = time.process_time()
    parts = [bytes(ForkingPickler.dumps(o, protocol=5)) for o in outcomes]
    for part in parts:
        ForkingPickler.loads(part)
    return (time.process_time() - began) / len(parts), sum(map(len, parts)) / len(parts)


def _commit(loaded: Loaded, planned: list[Task], outcomes: list[Outcome]) -> float:
    """Seconds a row from the driver's books to the shard."""
    with tempfile.TemporaryDirectory() as place:
        record = loaded.record()
        with RunFolder.create_or_open(Path(place) / "run", record, planned, ()) as folder:
            rows, target = loaded.pipeline.shards.rows, len(planned)
            collector = Collector(folder, len(planned), rows, target, loaded.known())
            began = time.process_time()
            for task, outcome in zip(planned, outcomes, strict=True):
                end = Settled(outcome.row, outcome.fingerprint, outcome.sketch)
                collector.add(task, end)
                while collector.whole:
                    collector.commit_next()
            return (time.process_time() - began) / len(planned)


if __name__ == "__main__":
    main()
