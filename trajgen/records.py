"""The nouns of a run: Domain, Seed, Task, Step, Trajectory, Reason. Frozen, no I/O.

Messages are OpenAI messages as plain dicts. In every record `arguments` is a dict,
`content` is a string and never null, and no key is present with a null value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from trajgen.json_text import compact
from trajgen.remembered import Remembered

Json = Any
Message = dict[str, Any]
Tool = dict[str, Any]
Outcome = Literal["success", "failure", "refusal"]
ToolKind = Literal["read", "write"]

SCHEMA_VERSION = "1"
DETAIL_CHARS = 600  # of what was found: model text of any length may stand in it


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a trajectory was dropped: `code`, index of the message that broke, what was found.

    `detail` is cut to DETAIL_CHARS characters, whoever gives it.
    """

    code: str
    at: int | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", cut(self.detail))

    def json(self) -> dict[str, Json]:
        return {"code": self.code, "at": self.at, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call: `message` is the index of the assistant message that made it."""

    id: str
    tool: str
    arguments: dict[str, Json]
    message: int


@dataclass(frozen=True, slots=True)
class Step:
    """One tool call and the world's answer, as judged by code (see the contract's `steps`)."""

    message: int
    call_id: str
    tool: str
    applies: bool
    why: str
    effects: tuple[dict[str, Json], ...]
    source: Literal["model", "code", "real"]
    state_before: str
    state_after: str
    attempts: int = 1
    fault: str | None = None
    agreement: float | None = None
    verdicts: tuple[Reason, ...] = ()

    def json(self) -> dict[str, Json]:
        """The stored form; `fault` and `agreement` are left out when there is none."""
        row: dict[str, Json] = {
            "message": self.message,
            "call_id": self.call_id,
            "tool": self.tool,
            "applies": self.applies,
            "why": self.why,
            "effects": [dict(effect) for effect in self.effects],
            "source": self.source,
            "attempts": self.attempts,
            "state_before": self.state_before,
            "state_after": self.state_after,
            "verdicts": [{"code": v.code, "detail": v.detail} for v in self.verdicts],
        }
        if self.fault is not None:
            row["fault"] = self.fault
        if self.agreement is not None:
            row["agreement"] = self.agreement
        return row

    @classmethod
    def parse(cls, row: Mapping[str, Json]) -> Step:
        """The inverse of `json`. Raises KeyError or TypeError for what `json` does not give."""
        for name, kind in _STEP.items():
            if type(row[name]) is not kind:
                raise TypeError(f"{name!r} of a step is a {type(row[name]).__name__}")
        verdicts = tuple(
            Reason(v["code"], row["message"], v.get("detail", "")) for v in row["verdicts"]
        )
        return cls(**{**row, "effects": tuple(row["effects"]), "verdicts": verdicts})


_STEP = {
    **dict.fromkeys(("call_id", "tool", "why", "source", "state_before", "state_after"), str),
    "message": int,
    "applies": bool,
    "effects": list,
    "verdicts": list,
}


@dataclass(frozen=True, slots=True)
class Domain:
    """A folder of seeds: one policy, one tool list and, optionally, a state.

    `kinds` says for each tool whether it reads or writes; a tool not named there is
    unknown in that respect and is checked less. A text observation that begins with one
    of `failure_prefixes`, or a JSON object with an `error`, says that a call failed. A tool
    in `semantics` is answered by code (declared/): its `requires`, `writes` and what it shows,
    as `domain.yaml` holds them.
    """

    name: str
    policy: str
    tools: tuple[Tool, ...]
    description: str = ""
    license: str = ""
    language: str = "en"
    kinds: Mapping[str, ToolKind] = field(default_factory=dict)
    failure_prefixes: tuple[str, ...] = ("Error",)
    state: Json = None
    semantics: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)

    def tool(self, name: str) -> Tool | None:
        """The function schema of tool `name` (the inner `function` object), or None."""
        for tool in self.tools:
            if tool["function"]["name"] == name:
                function: Tool = tool["function"]
                return function
        return None


@dataclass(frozen=True, slots=True)
class Seed:
    """One real or hand-written trajectory. `id` is made from its content."""

    id: str
    domain: str
    messages: tuple[Message, ...]
    state: Json = None
    goal: tuple[dict[str, Json], ...] = ()
    meta: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """One planned rollout. `partner` is the second seed of a `compose`; empty otherwise."""

    id: str
    index: int
    domain: str
    seed_id: str
    strategy: str
    persona: str
    fault: str
    partner: str
    sampling_seed: int


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One row: what happened, in which world, judged how, made by whom.

    `state_initial` and `state_final` hold only the part of the state that was touched.
    """

    id: str
    domain: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    steps: tuple[Step, ...] = ()
    seed_id: str = ""
    strategy: str = ""
    persona: str = ""
    fault: str = ""
    state_initial: Json = None
    state_final: Json = None
    outcome: str = "failure"
    scores: Mapping[str, Json] = field(default_factory=dict)
    n_turns: int = 0
    n_tool_calls: int = 0
    n_tokens: int = 0
    n_target_tokens: int = 0
    agent_model: str = ""
    user_model: str = ""
    world_model: str = ""
    run_id: str = ""
    prompt_digest: str = ""
    seed_license: str = ""
    schema_version: str = SCHEMA_VERSION
    reasons: tuple[str, ...] = ()

    def row(self) -> dict[str, Json]:
        """The columns of a shard: nested columns as JSON text, the rest plain."""
        row: dict[str, Json] = {name: getattr(self, name) for name in _COLUMNS}
        row["messages"] = [compact(message) for message in self.messages]
        row["tools"] = _texts(self.tools).copy()
        row["steps"] = [compact(step.json()) for step in self.steps]
        for name in ("state_initial", "state_final", "scores"):
            row[name] = compact(row[name])
        row["reasons"] = list(self.reasons)
        return row

    @classmethod
    def parse(cls, row: Mapping[str, Json]) -> Trajectory:
        """The inverse of `row`; extra columns are ignored."""
        values = {f.name: row[f.name] for f in fields(cls) if f.name in row}
        values["messages"] = tuple(json.loads(m) for m in values["messages"])
        values["tools"] = tuple(json.loads(t) for t in values.get("tools", ()))
        values["steps"] = tuple(Step.parse(json.loads(s)) for s in values.get("steps", ()))
        for name in {"state_initial", "state_final", "scores"} & values.keys():
            values[name] = json.loads(values[name] or "null")
        values["reasons"] = tuple(values.get("reasons", ()))
        return cls(**values)

    def calls(self) -> Iterator[Call]:
        """Every tool call in order."""
        return calls_of(self.messages)

    def __str__(self) -> str:
        from trajgen.review.terminal import plain

        return plain(self)

    def _repr_html_(self) -> str:
        from trajgen.review.notebook import html

        return html(self)


_COLUMNS = tuple(column.name for column in fields(Trajectory))


def calls_of(messages: tuple[Message, ...] | list[Message], start: int = 0) -> Iterator[Call]:
    """Every tool call from message `start` on in order, with the index of its message."""
    for index in range(start, len(messages)):
        for call in messages[index].get("tool_calls", ()):
            function = call["function"]
            yield Call(call.get("id", ""), function["name"], function["arguments"], index)


def cut(text: str, most: int = DETAIL_CHARS) -> str:
    """`text`, or its beginning where it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _made(tools: tuple[Tool, ...]) -> list[str]:
    return [compact(tool) for tool in tools]


_texts = Remembered(_made, 64)  # all rows of a domain have its own tuple of tools
