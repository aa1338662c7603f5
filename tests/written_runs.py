"""Runs made of trajectories at hand, for tests of what is made of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.conversations import ORDER, TOOLS, calls, result, says, user
from trajgen.records import Message, Reason, Step, Task, Trajectory
from trajgen.run_folder import RunFolder
from trajgen.shards import ShardResult

# A conversation with what formats differ in: text beside calls, parallel calls, no arguments.
TALK: tuple[Message, ...] = (
    user("Where is W1001? 谢谢"),
    calls(("call_0", "get_order", {"order_id": "W1001"}), text="One moment."),
    result("call_0", ORDER),
    says("It is pending."),
    user("And my others?"),
    calls(("call_1", "list_orders", {}), ("call_2", "search", {"query": '{"a": [1e22, -0.0]}'})),
    result("call_1", '[{"order_id": "W1002"}]'),
    result("call_2", "nothing\nfound"),
    says("W1002 is shipped."),
)


def step(message: int, id_: str, tool: str, **more: Any) -> Step:
    """A step that applied and changed nothing."""
    values: dict[str, Any] = {"effects": (), "source": "model", "applies": True, "why": ""}
    return Step(message, id_, tool, state_before="0" * 32, state_after="0" * 32, **values | more)


def trajectory(number: int, **more: Any) -> Trajectory:
    """Trajectory `number` of seed `number % 5`."""
    values: dict[str, Any] = {
        "domain": "shop",
        "messages": TALK,
        "tools": TOOLS,
        "steps": (
            step(1, "call_0", "get_order"),
            step(5, "call_1", "list_orders"),
            step(5, "call_2", "search"),
        ),
        "seed_id": f"seed-{number % 5}",
        "strategy": ("rephrase", "extend")[number % 2],
        "state_initial": {"orders": {"W1001": ORDER}},
        "state_final": {"orders": {"W1001": ORDER}},
        "outcome": "success",
        "scores": {"ended": "done"},
        "n_turns": 2,
        "n_tool_calls": 3,
        "n_tokens": 100 + number,
        "n_target_tokens": 40,
        "agent_model": "agent-1",
        "user_model": "user-1",
        "world_model": "world-1",
        "run_id": "run-1",
        "seed_license": "Apache-2.0",
    }
    return Trajectory(f"task-{number:05d}", **values | more)


def rejected(number: int, reason: Reason, **more: Any) -> Trajectory:
    """Trajectory `number`, rejected for `reason`."""
    made = trajectory(number, **more)
    scores = {**made.scores, "reasons": [reason.json()]}
    return replace(made, reasons=(reason.code,), scores=scores)


def write_run(
    folder: Path,
    trajectories: Sequence[Trajectory],
    rows: int = 4,
    partners: Mapping[str, str] = {},
    finish: bool = True,
    **record: Any,
) -> Path:
    """A run of these trajectories in shards of `rows`; `partners` are second seeds by id."""
    tasks = [
        Task(t.id, i, t.domain, t.seed_id, t.strategy, "", "", partners.get(t.id, ""), i)
        for i, t in enumerate(trajectories)
    ]
    run = {
        "name": "shop",
        "run_id": "run-1",
        "digest": "d" * 64,
        "pipeline": {"name": "shop", "seeds": ["seeds/shop"], "shards": {"rows": rows}},
        "digests": {"seeds": "a" * 8},
        "planned": len(tasks),
        "versions": {"trajgen": "0.1.0"},
        **record,
    }
    with RunFolder.create_or_open(folder, run, tasks, []) as made:
        for number in range(-(-len(tasks) // rows)):
            part = trajectories[number * rows : (number + 1) * rows]
            kept = [t.row() for t in part if not t.reasons]
            refused = [t.row() for t in part if t.reasons]
            made.commit(ShardResult(number, number * rows, len(part), kept, refused, []))
        if finish:
            made.finish(number)
    return folder
