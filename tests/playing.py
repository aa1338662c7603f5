"""A tiny shop, and an engine that answers from lists or a function: to play whole rollouts."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trajgen.config import Pipeline
from trajgen.engines import Completion, Engine, Request
from trajgen.prompts import Prompts
from trajgen.records import Call, Domain, Message, Seed, Task, Tool, Trajectory
from trajgen.rollout import Rollout
from trajgen.seeds import SeedSet
from trajgen.stage import Stage, make_stage
from trajgen.worlds import Answer, Scene

PROMPTS = Prompts()
HIDDEN = "vault-7731"  # in the state, and in no tool's answer


def tool(name: str, **properties: Any) -> Tool:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = (
    tool("get_order", order_id={"type": "string"}),
    tool("cancel_order", order_id={"type": "string"}),
)
STATE: dict[str, Any] = {
    "orders": {
        "W101": {"status": "pending", "total": 20, "shelf": HIDDEN},
        "W102": {"status": "shipped", "total": 35, "shelf": "vault-8842"},
        "W103": {"status": "pending", "total": 50, "shelf": "vault-9953"},
    }
}
DOMAIN = Domain(
    name="shop",
    policy="Cancel pending orders only.",
    tools=TOOLS,
    description="A small shop.",
    license="Apache-2.0",
    kinds={"get_order": "read", "cancel_order": "write"},
    state=STATE,
)


def call(name: str, order_id: str = "W101") -> dict[str, Any]:
    return {"name": name, "arguments": {"order_id": order_id}}


def made(id_: str, name: str, order_id: str = "W101") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": call(name, order_id)}


SEED_MESSAGES: tuple[Message, ...] = (
    {"role": "user", "content": "Please cancel my order W101."},
    {"role": "assistant", "content": "", "tool_calls": [made("call_1", "get_order")]},
    {"role": "tool", "tool_call_id": "call_1", "content": '{"status": "pending", "total": 20}'},
    {"role": "assistant", "content": "", "tool_calls": [made("call_2", "cancel_order")]},
    {"role": "tool", "tool_call_id": "call_2", "content": '{"status": "cancelled"}'},
    {"role": "assistant", "content": "Your order W101 is cancelled."},
)
CANCEL = {"op": "set", "path": "/orders/W101/status", "value": "cancelled"}
SEED = Seed(
    id="seed-shop",
    domain="shop",
    messages=SEED_MESSAGES,
    goal=({"path": "/orders/W101/status", "equals": "cancelled"},),
    meta={"outcome": "success", "effects": {"call_2": [CANCEL]}},
)
TASK = Task("task-0", 0, "shop", SEED.id, "rephrase", "terse", "", "", 1)


def task(**changes: Any) -> Task:
    return replace(TASK, **changes)


# What the roles answer.


def planned(instruction: str = "You want order W101 cancelled.", **more: Any) -> dict[str, Any]:
    return {"instruction": instruction, **more}


def user(say: str) -> dict[str, Any]:
    return {"say": say, "done": False, "outcome": "success"}


def done(outcome: str = "success") -> dict[str, Any]:
    return {"say": "", "done": True, "outcome": outcome}


def agent(say: str, *calls: dict[str, Any]) -> dict[str, Any]:
    return {"say": say, "calls": list(calls)}


def world(observation: Any, *effects: Any, applies: bool = True) -> dict[str, Any]:
    why = "the state says so"
    return {"applies": applies, "why": why, "effects": list(effects), "observation": observation}


PENDING, CANCELLED = {"status": "pending", "total": 20}, {"status": "cancelled"}
REFUSED = {"error": "this order cannot be cancelled"}


def good() -> dict[str, list[Any]]:
    """Everyone plays well: the order is looked up, cancelled, and the user is told."""
    return {
        "scenario": [planned()],
        "user": [user("Cancel W101, will you."), done()],
        "agent": [
            agent("", call("get_order")),
            agent("", call("cancel_order")),
            agent("W101 is cancelled now."),
        ],
        "world": [world(PENDING), world(CANCELLED, CANCEL)],
    }


class Actor:
    """An engine that gives each role's answers in order, or asks `by`; keeps the requests.

    An answer is JSON data, the text itself, a Completion, or an error to raise.
    """

    model = "actor"

    def __init__(
        self,
        answers: Mapping[str, Sequence[Any]] | None = None,
        by: Callable[[Request], Any] | None = None,
    ) -> None:
        self.answers = {role: list(given) for role, given in (answers or {}).items()}
        self.by = by
        self.requests: list[Request] = []
        self.closed = False

    async def start(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        await asyncio.sleep(0)
        if self.by is not None:
            answer = self.by(request)
            answer = await answer if inspect.isawaitable(answer) else answer
        else:
            waiting = self.answers.get(request.role, [])
            assert waiting, f"{request.role} was asked once more than there are answers"
            answer = waiting.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Completion):
            return answer
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return Completion(text, "stop", len(prompt(request)), len(text))

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        return [len(message["content"]) + 1 for message in messages]

    def asked(self, role: str) -> list[Request]:
        return [request for request in self.requests if request.role == role]

    def prompts(self, role: str) -> list[str]:
        return [prompt(request) for request in self.asked(role)]


def cut(answer: Any) -> Completion:
    """An answer that the engine stopped in the middle."""
    text = json.dumps(answer)
    return Completion(text[: len(text) // 2], "length", 10, 10)


def prompt(request: Request) -> str:
    """All that a request shows the model."""
    return "\n".join(f"{m['role']}: {m['content']}" for m in request.messages)


def pipeline(**changes: Any) -> Pipeline:
    data: dict[str, Any] = {
        "name": "small",
        "seeds": "seeds/shop",
        "target": 10,
        "engines": {"main": {"kind": "scripted"}},
        "roles": {"user": "main", "agent": "main", "world": "main"},
        "variations": {"personas": ["terse"]},
        "rollout": {"attempts": 2},
    }
    return Pipeline.model_validate({**data, **changes})


def stage(
    engine: Engine, *seeds: Seed, domain: Domain = DOMAIN, engines: Any = None, **changes: Any
) -> Stage:
    found = SeedSet({domain.name: domain}, seeds or (SEED,), ())
    return make_stage(pipeline(**changes), found, PROMPTS, engines or {"main": engine}, "run-1")


def play(
    answers: Mapping[str, Sequence[Any]] | Actor, played: Task = TASK, **changes: Any
) -> Trajectory:
    """One rollout in turns."""
    actor = answers if isinstance(answers, Actor) else Actor(answers)
    return asyncio.run(Rollout(stage(actor, **changes), played).play())


def reasons(trajectory: Trajectory) -> list[tuple[str, int | None]]:
    """(code, index of the message) of every reason."""
    return [(r["code"], r["at"]) for r in trajectory.scores.get("reasons", [])]


class Counting:
    """A real environment for the test: answers by code and keeps count."""

    name = "counting"
    takes_state = True
    opened = closed = 0
    seen: list[Answer] = []

    def __init__(self, config: Any) -> None:
        Counting.opened, Counting.closed, Counting.seen = 0, 0, []

    def begin(self, scene: Scene) -> Counting:
        Counting.opened += 1
        self.scene = scene
        return self

    async def step(self, made: Call) -> Answer:
        if made.tool == "cancel_order":
            return Answer(True, "ok", (CANCEL,), json.dumps(CANCELLED), "real", agreement=0.5)
        return Answer(True, "ok", (), json.dumps(PENDING), "real")

    def observe(self, made: Call, answer: Answer) -> None:
        Counting.seen.append(answer)

    def reached(self) -> bool | None:
        return None

    def close(self) -> None:
        Counting.closed += 1
