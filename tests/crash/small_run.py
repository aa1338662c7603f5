"""A small run whose every byte follows from its plan: what crash tests kill and compare."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trajgen.objects import Place
from trajgen.records import Step, Task, Trajectory
from trajgen.run_folder import RunFolder
from trajgen.shards import ShardInfo, ShardResult

ROWS = 4
PLANNED = 14
LAST = 3  # shards 0..3; the last one is short
REFUSED = [{"file": "trajectories.jsonl", "line": 3, "reason": "no messages"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "move", "arguments": {"to": "shed"}}}


def run_record(**changes: Any) -> dict[str, Any]:
    """What run.json holds."""
    pipeline = {
        "name": "small",
        "seeds": ["seeds/small"],
        "shards": {"rows": ROWS},
        "target": 100,
        "engines": {"main": {"kind": "scripted", "model": "m-1", "replicas": 1}},
        "roles": {"agent": {"engine": "main"}},
    }
    return {
        "name": "small",
        "run_id": "run-1",
        "digest": "d" * 64,
        "pipeline": pipeline,
        "digests": {"seeds": "a" * 8, "prompts": "b" * 8},
        "planned": PLANNED,
        "versions": {"trajgen": "0.1.0"},
        **changes,
    }


def plan(planned: int = PLANNED) -> Iterator[Task]:
    """Tasks numbered from 0."""
    for i in range(planned):
        yield Task(f"task-{i:04d}", i, "small", "s1", "rephrase", "terse", "", "", i)


def row(id_: str, reasons: tuple[str, ...] = (), **values: Any) -> dict[str, Any]:
    """One row of a shard."""
    step = Step(1, "c1", "move", True, "free", (), "code", "0" * 32, "1" * 32)
    messages = (
        {"role": "user", "content": f"Please move {id_}."},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        {"role": "assistant", "content": "Done."},
    )
    tools = ({"type": "function", "function": {"name": "move", "parameters": {}}},)
    known: dict[str, Any] = {
        "id": id_,
        "domain": "small",
        "messages": messages,
        "tools": tools,
        "steps": (step,),
        "outcome": "success",
        "n_tokens": 10,
        "n_target_tokens": 4,
        "seed_license": "Apache-2.0",
        "reasons": reasons,
    }
    return Trajectory(**(known | values)).row()


def result(number: int, planned: int = PLANNED, rows: int = ROWS) -> ShardResult:
    """Of four tasks two are kept, one is rejected, one is dead."""
    ids = [f"task-{i:04d}" for i in range(number * rows, min(planned, (number + 1) * rows))]
    kept = [row(id_) for i, id_ in enumerate(ids) if i % 4 < 2]
    rejected = [row(id_, ("unknown_tool",)) for i, id_ in enumerate(ids) if i % 4 == 2]
    dead = [{"id": id_, "error": "Timeout"} for i, id_ in enumerate(ids) if i % 4 == 3]
    return ShardResult(number, number * rows, len(ids), kept, rejected, dead)


def open_run(path: Place, **changes: Any) -> RunFolder:
    """Begin or open the small run."""
    return RunFolder.create_or_open(path, run_record(**changes), plan(), REFUSED)


def marks(info_or_result: ShardResult | ShardInfo) -> list[str]:
    """Fingerprints of a shard's kept rows."""
    return [f"f{info_or_result.number}", "g"]


def run_all(path: Place, last: int = LAST) -> list[int]:
    """Run, or resume, up to shard `last`; gives the shards that were owed."""
    with open_run(path) as folder:
        done = folder.committed()
        owed = [number for number in range(last + 1) if number not in done]
        for number in owed:
            shard = result(number)
            folder.commit(shard, marks(shard))
            folder.record_usage(seconds=1.5, prompt=10, cached=4, generated=2)
        folder.finish(last)
    return owed


def contents(path: Path) -> dict[str, bytes]:
    """Every file outside logs/ by relative name."""
    files = {p.relative_to(path).as_posix(): p for p in sorted(path.rglob("*")) if p.is_file()}
    return {name: p.read_bytes() for name, p in files.items() if not name.startswith("logs/")}
