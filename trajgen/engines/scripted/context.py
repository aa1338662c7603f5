"""Reading a request's context: the task, the conversation so far and the seed behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trajgen.json_text import canonical
from trajgen.records import Call, Json, Message, calls_of

Context = Mapping[str, Json]
Answer = dict[str, Any]
Messages = list[Message] | tuple[Message, ...]


def task_id(context: Context) -> str:
    """The task's id; the task comes as a record or as plain data."""
    task = context.get("task")
    return str(task.get("id", "") if isinstance(task, Mapping) else getattr(task, "id", ""))


def said(messages: Messages) -> list[str]:
    """What the user said."""
    return [m["content"] for m in messages if m["role"] == "user"]


def bare(call: Mapping[str, Json]) -> Answer:
    """A message's call as a role answers it."""
    function = call["function"]
    return {"name": function["name"], "arguments": function["arguments"]}


def fits(messages: Messages, seed: Messages, place: int) -> bool:
    """Whether the conversation stands where the seed stood before its message `place`.

    Calls so far must be the seed's own, repeats aside, and the same side spoke last.
    """
    done = {_key(call) for call in calls_of(messages)}
    expected = {_key(call) for call in calls_of(seed[:place])}
    return done == expected and messages[-1]["role"] == seed[place - 1]["role"]


def answered(messages: Messages, call: Mapping[str, Json]) -> list[tuple[str, str]]:
    """(call id, observation) of every answered call that equals `call`, in order."""
    observations = {m.get("tool_call_id"): m["content"] for m in messages if m["role"] == "tool"}
    wanted = canonical([call.get("name"), call.get("arguments")])
    equal = [c.id for c in calls_of(messages) if _key(c) == wanted]
    return [(i, observations[i]) for i in equal if i in observations]


def same(one: str, other: str) -> bool:
    """Whether two observations are equal, as text or as JSON."""
    return one.strip() == other.strip() or (
        (data := parsed(one)) is not None and canonical(data) == canonical(parsed(other))
    )


def parsed(text: str) -> Json:
    """`text` as JSON, or None."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def as_text(answer: Json) -> str:
    """An answer as a model would write it."""
    return json.dumps(answer, ensure_ascii=False)


def _key(call: Call) -> str:
    return canonical([call.tool, call.arguments])
