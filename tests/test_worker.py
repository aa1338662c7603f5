"""A worker: tasks in, outcomes out, nothing lost between, whatever happens to a rollout."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.playing import DOMAIN, PROMPTS, SEED, TASK, Actor, good, pipeline, task
from trajgen import worker as module
from trajgen.config.engine import EngineConfig
from trajgen.engines import Engine, Request, make_engine
from trajgen.errors import EngineDead, InputError, MachineError, RequestError, Timeout
from trajgen.filters.corpus import fingerprint
from trajgen.records import Reason, Task, Trajectory
from trajgen.seeds import SeedSet
from trajgen.shards import COLUMNS
from trajgen.worker import Job, Outcome, Report, Worker

SEEDS = SeedSet({"shop": DOMAIN}, (SEED,), ())


def job(in_flight: int = 8, **changes: Any) -> Job:
    return Job(pipeline(**changes), SEEDS, PROMPTS, "run-1", in_flight)


def tasks(count: int) -> list[Task]:
    return [task(id=f"task-{n}", index=n) for n in range(count)]


def scripted(**script: Any) -> Engine:
    return make_engine(EngineConfig(kind="scripted", script=script))


def by_position(request: Request) -> Any:
    """Everyone plays well, whoever asks first."""
    answers = good()[request.role]
    done = len([m for m in request.context.get("messages", ()) if m["role"] == _own(request.role)])
    return answers[min(done, len(answers) - 1)]


def _own(role: str) -> str:
    return {"user": "user", "agent": "assistant", "world": "tool"}.get(role, "")


@asynccontextmanager
async def working(engine: Engine, in_flight: int = 8, **changes: Any) -> AsyncIterator[Worker]:
    worker = Worker(job(in_flight, **changes), {"main": engine})
    await worker.start()
    try:
        yield worker
    finally:
        await worker.close()


async def drain(worker: Worker, given: list[Task]) -> list[Report]:
    """Exchanges until every task has an outcome."""
    reports = [await worker.exchange(given)]
    while sum(len(r.outcomes) for r in reports) < len(given):
        reports.append(await worker.exchange([]))
        assert len(reports) < 500
    return reports


def run(engine: Engine, given: list[Task], in_flight: int = 8, **changes: Any) -> list[Outcome]:
    async def all_of_it() -> list[Outcome]:
        async with working(engine, in_flight, **changes) as worker:
            reports = await drain(worker, given)
        return [outcome for report in reports for outcome in report.outcomes]

    return asyncio.run(all_of_it())


def test_an_outcome_is_a_row_with_its_fingerprint() -> None:
    (outcome,) = run(Actor(by=by_position), [TASK])
    assert outcome.error == ""
    assert outcome.row is not None
    assert set(outcome.row) == set(COLUMNS)
    trajectory = Trajectory.parse(outcome.row)
    assert trajectory.reasons == ()
    assert trajectory.id == TASK.id
    assert outcome.fingerprint == fingerprint(trajectory.messages)


def test_many_tasks_come_back_once_each_and_in_batches() -> None:
    async def batches() -> None:
        async with working(
            scripted(delay_ms={"base": 1, "tail": 8, "tail_rate": 0.2}), 64
        ) as worker:
            reports = await drain(worker, tasks(300))
        ids = [o.task_id for report in reports for o in report.outcomes]
        assert Counter(ids) == Counter(t.id for t in tasks(300))
        assert len(reports) < 150
        assert max(report.in_flight for report in reports) <= 64
        assert reports[-1].usage.calls >= 300 * 5

    asyncio.run(batches())


def test_a_free_place_is_filled_without_an_exchange() -> None:
    async def fill() -> None:
        async with working(scripted(delay_ms=1), 2) as worker:
            first = await worker.exchange(tasks(12))
            async with asyncio.timeout(10):
                while len(first.outcomes) + len(worker._done) < 12:
                    await asyncio.sleep(0.01)
            last = await worker.exchange([])
            assert len(first.outcomes) < 12
            assert len(first.outcomes + last.outcomes) == 12

    asyncio.run(fill())


def test_no_more_are_played_at_once_than_in_flight() -> None:
    playing: Counter[str] = Counter()
    most = 0

    async def counted(request: Request) -> Any:
        nonlocal most
        playing[request.context["task"].id] += 1
        most = max(most, sum(n > 0 for n in playing.values()))
        await asyncio.sleep(0.001)
        playing[request.context["task"].id] -= 1
        return by_position(request)

    assert len(run(Actor(by=counted), tasks(30), in_flight=5)) == 30
    assert 3 <= most <= 5


def test_fewer_are_played_where_an_engine_takes_fewer() -> None:
    playing: set[str] = set()
    most: list[int] = []

    async def counted(request: Request) -> Any:
        playing.add(request.context["task"].id)
        most.append(len(playing))
        await asyncio.sleep(0.001)
        playing.discard(request.context["task"].id)
        return by_position(request)

    class Full(Actor):
        share = 0.4

    async def play() -> list[Report]:
        async with working(Full(by=counted), in_flight=8) as worker:
            return await drain(worker, tasks(30))

    reports = asyncio.run(play())
    assert {report.room for report in reports} == {4}
    assert sum(len(report.outcomes) for report in reports) == 30
    assert 2 <= max(most) <= 4


def test_exchanges_at_the_same_time_lose_and_double_nothing() -> None:
    """Rollouts end while an exchange waits, swaps its list, or returns."""
    draw = random.Random(3)

    async def jittered(request: Request) -> Any:
        await asyncio.sleep(draw.choice([0, 0, 0.001, 0.004]))
        return by_position(request)

    async def hammer() -> None:
        found: list[str] = []
        given = tasks(240)
        async with working(Actor(by=jittered), 40) as worker:

            async def driver(mine: list[Task]) -> None:
                while mine or len(found) < 240:
                    batch, mine = mine[:3], mine[3:]
                    report = await worker.exchange(batch)
                    found.extend(o.task_id for o in report.outcomes)

            async with asyncio.timeout(30):
                await asyncio.gather(*(driver(given[n::6]) for n in range(6)))
        assert Counter(found) == Counter(t.id for t in given)

    asyncio.run(hammer())


def test_without_news_an_exchange_is_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXCHANGE_S", 0.05)

    async def beat() -> None:
        async with working(scripted(hang={"tasks": ["task-0"]})) as worker:
            report = await worker.exchange(tasks(1))
            assert (report.outcomes, report.in_flight, report.engine_dead) == ((), 1, False)
            report = await worker.exchange([])
            assert (report.outcomes, report.in_flight) == ((), 1)

    asyncio.run(beat())


def test_with_nothing_to_do_an_exchange_returns_at_once() -> None:
    async def idle() -> None:
        async with working(scripted()) as worker:
            before = asyncio.get_running_loop().time()
            report = await worker.exchange([])
            assert asyncio.get_running_loop().time() - before < 0.5
            assert report.outcomes == ()

    asyncio.run(idle())


# What can happen to a task.


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RequestError("too odd"), "request"),
        (Timeout("too late"), "timeout"),
        (EngineDead("gone"), "engine"),
        (InputError("wrong template"), "input"),
        (KeyError("a bug"), "internal"),
        (MachineError("no disk"), "internal"),
        (asyncio.CancelledError(), "internal"),
    ],
)
def test_errors_become_outcomes_by_type(error: Exception, kind: str) -> None:
    def answer(_: Request) -> Any:
        raise error

    (outcome,) = run(Actor(by=answer), [TASK])
    assert outcome.error == kind
    assert outcome.row is None
    assert outcome.message


def raising(trajectory: Trajectory, domain: Any) -> list[Reason]:
    """A filter of somebody's own with a bug that one task meets."""
    if trajectory.id == "task-2":
        raise ZeroDivisionError("in a filter")
    return []


def test_a_bug_in_a_filter_costs_its_task_alone() -> None:
    filters = ["default", "tests.test_worker:raising"]
    outcomes = run(Actor(by=by_position), tasks(6), filters=filters)
    errors = {o.task_id: (o.error, o.message) for o in outcomes if o.error}
    assert errors == {"task-2": ("internal", "ZeroDivisionError: in a filter")}
    assert len(outcomes) == 6


def test_one_task_that_cannot_run_leaves_the_others_alone() -> None:
    outcomes = run(scripted(refuse={"tasks": ["task-1", "task-4"]}), tasks(8), in_flight=2)
    assert {o.task_id for o in outcomes if o.error == "request"} == {"task-1", "task-4"}
    assert sum(o.row is not None for o in outcomes) == 6


def test_a_dead_engine_is_reported_and_begins_nothing_more() -> None:
    async def die() -> None:
        async with working(scripted(die={"tasks": ["task-3"]}, delay_ms=1), 2) as worker:
            reports = [await worker.exchange(tasks(20))]
            while not reports[-1].engine_dead:
                reports.append(await worker.exchange([]))
            outcomes = [o for r in reports for o in r.outcomes]
            assert {o.error for o in outcomes} <= {"", "engine"}
            assert sum(o.error == "engine" for o in outcomes) <= 2
            assert any(o.task_id == "task-3" for o in outcomes)
            later = await worker.exchange(tasks(40)[20:])
            assert later.engine_dead
            assert later.in_flight == 0

    asyncio.run(die())


def test_before_it_is_started_a_worker_says_so() -> None:
    async def early() -> Report:
        return await Worker(job(), {"main": scripted()}).exchange([TASK])

    (outcome,) = asyncio.run(early()).outcomes
    assert outcome.error == "engine"


def test_an_unknown_world_is_an_input_error() -> None:
    worker = Worker(job(world={"kind": "nowhere:World"}), {"main": scripted()})
    with pytest.raises(InputError):
        asyncio.run(worker.start())


def test_an_engine_that_starts_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_S", 0.05)
    engine = scripted()
    monkeypatch.setattr(engine, "start", asyncio.Event().wait)
    changes = {"engines": {"main": {"kind": "scripted", "start_timeout_s": 0.05}}}
    worker = Worker(job(**changes), {"main": engine})
    with pytest.raises(MachineError, match=r"engines.main: was not ready within 0.05 s"):
        asyncio.run(worker.start())


def test_one_call_plays_whole_trajectories() -> None:
    outcomes = run(scripted(), tasks(4), rollout={"mode": "one_call"})
    assert all(o.row is not None and len(o.row["messages"]) > 3 for o in outcomes)


# Closing.


def closing(act: Callable[[Worker], Awaitable[None]], engine: Engine, in_flight: int) -> None:
    async def closed() -> None:
        before = asyncio.all_tasks()
        worker = Worker(job(in_flight), {"main": engine})
        await worker.start()
        await act(worker)
        async with asyncio.timeout(5):
            await worker.close()
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == before

    asyncio.run(closed())


def test_close_abandons_what_is_playing_and_what_waits() -> None:
    began: list[str] = []

    async def never(request: Request) -> Any:
        began.append(request.id)
        await asyncio.Event().wait()

    engine = Actor(by=never)

    async def act(worker: Worker) -> None:
        asking = asyncio.ensure_future(worker.exchange(tasks(20)))
        await asyncio.sleep(0.05)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    closing(act, engine, 4)
    assert len(began) == 4, "a cancelled rollout's place is not filled again"
    assert engine.closed


def test_close_before_start_and_twice() -> None:
    async def act(worker: Worker) -> None:
        await worker.close()

    closing(act, scripted(), 2)
    asyncio.run(Worker(job(), {"main": scripted()}).close())
