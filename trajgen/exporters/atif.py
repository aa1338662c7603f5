"""The Agent Trajectory Interchange Format, v1.8: one JSON document a trajectory, one a line.

Nothing is lost: what the format has no place for stands under `extra`, with the ledger and the
verdicts of every call in that of the document.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from trajgen import __version__
from trajgen.exporters import Exporter, Source, Unfit
from trajgen.exporters.turns import answered
from trajgen.records import Json, Message, Trajectory

VERSION = "ATIF-v1.8"
SOURCES = {"system": "system", "user": "user", "assistant": "agent"}
_PLACED = {"id", "messages", "tools", "steps", "run_id", "agent_model"}
EXTRA = tuple(f.name for f in fields(Trajectory) if f.name not in _PLACED)


class Atif(Exporter):
    """One document a trajectory."""

    reads = ("messages", "tools", "steps", "state_initial", "state_final")
    schema = None

    def __init__(self, source: Source) -> None:
        """Needs nothing of its source."""

    def rows(self, trajectory: Trajectory) -> Iterator[dict[str, Json]]:
        agent: dict[str, Json] = {"name": "trajgen", "version": __version__}
        if trajectory.agent_model:
            agent["model_name"] = trajectory.agent_model
        yield {
            "schema_version": VERSION,
            "session_id": trajectory.run_id,
            "trajectory_id": trajectory.id,
            "agent": {**agent, "tool_definitions": list(trajectory.tools)},
            "steps": list(_steps(trajectory.messages)),
            "extra": {
                **{name: getattr(trajectory, name) for name in EXTRA},
                "steps": [step.json() for step in trajectory.steps],
            },
        }


def _steps(messages: tuple[Message, ...]) -> Iterator[dict[str, Json]]:
    for number, (at, message, answers) in enumerate(answered(messages), 1):
        step = {"step_id": number, **_step(message)}
        calls = {call["tool_call_id"] for call in step.get("tool_calls", ())}
        results = [_result(answer) for answer in answers]
        for result in results:
            if result["source_call_id"] not in calls:
                raise Unfit(f"{result['source_call_id']!r} is no call of message {at}")
        yield {**step, "observation": {"results": results}} if results else step


def _step(message: Message) -> dict[str, Json]:
    role = message["role"]
    if role not in SOURCES:
        raise Unfit(f"the format knows no role {role!r}")
    step: dict[str, Json] = {"source": SOURCES[role], "message": message["content"]}
    rest = {k: v for k, v in message.items() if k not in ("role", "content", "tool_calls")}
    if role == "assistant" and isinstance(rest.get("reasoning_content"), str):
        step["reasoning_content"] = rest.pop("reasoning_content")
    if "tool_calls" in message:
        step["tool_calls"] = [_call(call) for call in message["tool_calls"]]
    return {**step, "extra": rest} if rest else step


def _call(call: Json) -> dict[str, Json]:
    function = call["function"]
    made = {
        "tool_call_id": call.get("id", ""),
        "function_name": function["name"],
        "arguments": function["arguments"],
    }
    rest = {k: v for k, v in call.items() if k not in ("id", "type", "function")}
    inner = {k: v for k, v in function.items() if k not in ("name", "arguments")}
    rest |= {"function": inner} if inner else {}
    return {**made, "extra": rest} if rest else made


def _result(result: Message) -> dict[str, Json]:
    made = {"source_call_id": result["tool_call_id"], "content": result["content"]}
    rest = {k: v for k, v in result.items() if k not in ("role", "content", "tool_call_id")}
    return {**made, "extra": rest} if rest else made
