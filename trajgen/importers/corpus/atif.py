"""ATIF, the Agent Trajectory Interchange Format: one JSON object a trajectory.

Each is validated by the `atif` package. Steps become messages, results become tool messages.
Metrics, times and `extra` are no part of a conversation and are left out; only in what trajgen
wrote itself `extra` holds the keys that the format has no place for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trajgen.errors import InputError
from trajgen.importers.corpus.openai import tools_of
from trajgen.importers.corpus.problem import Problem, Refused
from trajgen.records import Json, Message


def normalised(row: Any, from_columns: bool = False) -> dict[str, Json] | Problem:
    """`row` with `messages` and `tools` in our form, or why it has none.

    Raises InputError when the package is not installed.
    """
    try:
        return _normalised(row)
    except Refused as refused:
        return refused.problem


def _normalised(row: Any) -> dict[str, Json]:
    trajectory = _validated(row)
    if trajectory.subagent_trajectories:
        raise Refused("holds trajectories of subagents: give each of them a row of its own")
    if trajectory.continued_trajectory_ref:
        raise Refused(f"goes on elsewhere ({trajectory.continued_trajectory_ref[:80]})")
    messages: list[Message] = []
    for step in trajectory.steps:
        messages += _messages(step, len(messages), trajectory.agent.name == "trajgen")
    result: dict[str, Json] = {"messages": messages}
    if id_ := trajectory.trajectory_id or trajectory.session_id:
        result["id"] = id_
    if tools := tools_of(trajectory.agent.tool_definitions):
        result["tools"] = tools
    return result


def _validated(row: Any) -> Any:
    try:
        import atif
        from pydantic import ValidationError
    except ImportError as error:
        raise InputError(
            "the package `atif` is not installed", "atif", 'pip install ".[atif]"'
        ) from error
    try:
        return atif.Trajectory.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        place = "/".join(map(str, first["loc"]))
        raise Refused(f"no ATIF trajectory ({place}: {first['msg'][:160]})") from error


def _messages(step: Any, at: int, ours: bool) -> Iterator[Message]:
    """The message of a step, then the answers to its calls; `ours`: with the keys in `extra`."""
    if step.is_copied_context:
        raise Refused(
            f"step {step.step_id} is copied from another trajectory, not to train on", at=at
        )
    results = step.observation.results if step.observation else []
    role = "assistant" if step.source == "agent" else step.source
    message: Message = {"role": role, "content": _text(step.message, at)}
    if step.reasoning_content is not None:
        message["reasoning_content"] = step.reasoning_content
    if step.tool_calls:
        message["tool_calls"] = [_call(call, ours) for call in step.tool_calls]
    yield message | _extra(step, ours)
    for result in results:
        if result.source_call_id is None or not step.tool_calls:
            raise Refused(f"step {step.step_id}: a result of no call", "unanswered_call", at)
        if result.content is None and result.subagent_trajectory_ref:
            raise Refused(
                f"step {step.step_id}: a subagent's trajectory in place of a result", at=at
            )
        content = _text(result.content or "", at)
        answer = {"role": "tool", "tool_call_id": result.source_call_id, "content": content}
        yield answer | _extra(result, ours)


def _call(call: Any, ours: bool) -> dict[str, Json]:
    extra = _extra(call, ours)
    function = {"name": call.function_name, "arguments": call.arguments}
    function |= extra.pop("function", {})
    return {"id": call.tool_call_id, "type": "function", "function": function, **extra}


def _extra(item: Any, ours: bool) -> dict[str, Json]:
    return dict(item.extra or {}) if ours else {}


def _text(content: Any, at: int) -> str:
    if isinstance(content, str):
        return content
    if any(part.type != "text" for part in content):
        raise Refused("content must be text", at=at)
    return "".join(part.text for part in content)
