"""The conversations that every system plays: what is asked, and what a model would answer.

The scripted engine plays them once; what it answers is kept by sampling seed. Then `trajgen run`
plays them against the endpoint, which keeps the requests as they come over the wire.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trajgen
from benchmarks.endpoint import run_ours, served
from trajgen.engines import Completion, Request
from trajgen.engines.scripted import ScriptedEngine

SEEDS = ["seeds/household", "seeds/chemistry_lab", "seeds/retail_support"]
ANSWERED: dict[int, dict[str, Any]] = {}  # of the run that is under way, by sampling seed


class Recorder(ScriptedEngine):
    """The scripted engine, and what it answers in ANSWERED."""

    async def complete(self, request: Request) -> Completion:
        """Answer one request, and keep the answer."""
        completion = await super().complete(request)
        answer = {
            "seed": request.seed,
            "text": completion.text,
            "prompt": completion.prompt_tokens,
            "generated": completion.generated_tokens,
        }
        task = request.id.partition("/")[0]
        if ANSWERED.setdefault(request.seed, {"task": task, **answer})["task"] != task:
            raise SystemExit("two requests share a sampling seed: give the pipeline another seed")
        return completion


def pipeline(engine: dict[str, Any], conversations: int, cluster: str) -> dict[str, Any]:
    """The job: all roles on `engine`, all strategies, default filters, and shards of
    which several are committed on the way."""
    return {
        "name": "endpoint",
        "seeds": SEEDS,
        "target": 10 * conversations,  # never reached: the plan is played to its end
        "max_tasks": conversations,
        "engines": {"main": engine},
        "roles": {"user": "main", "agent": "main", "world": "main"},
        "variations": {"personas": ["terse", "confused", "impatient"]},
        "shards": {"rows": 64},
        "cluster": {"address": cluster},
    }


def record(folder: Path, conversations: int) -> int:
    """Write `answers.jsonl` and `conversations.jsonl`, one conversation a line; gives the number
    of requests."""
    ANSWERED.clear()
    engine = {"kind": "benchmarks.endpoint.conversations:Recorder"}
    job = run_ours.written(folder / "recorded.yaml", pipeline(engine, conversations, "inline"))
    trajgen.run(job, folder / "recorded")
    answers = folder / "answers.jsonl"
    answers.write_text("".join(json.dumps(a) + "\n" for a in ANSWERED.values()), "utf-8")
    with served.endpoint(answers, folder / "requests.jsonl") as mock:
        engine = run_ours.engine(mock.url, 1)
        job = run_ours.written(folder / "asked.yaml", pipeline(engine, conversations, "inline"))
        run_ours.run(job, folder / "asked")
        if (found := mock.stats())["unknown"]:
            raise SystemExit(f"{found['unknown']:g} requests differ from the scripted engine's")
    grouped = list(by_conversation(folder / "requests.jsonl"))
    lines = (json.dumps(bodies) for bodies in grouped)
    (folder / "conversations.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return sum(map(len, grouped))


def by_conversation(requests: Path) -> Iterator[list[dict[str, Any]]]:
    """The requests of each conversation in the order in which they were sent."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in requests.read_text("utf-8").splitlines():
        body = json.loads(line)
        found.setdefault(ANSWERED[body["seed"]]["task"], []).append(body)
    yield from found.values()
