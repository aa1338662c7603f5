"""OpenAI-style JSON Lines: `arguments` are JSON text, and nothing stands beside the messages.

Servers refuse keys that they do not know, so a line carries no id.
"""

from __future__ import annotations

from collections.abc import Iterator

from trajgen.exporters import Exporter, Source
from trajgen.exporters.columns import as_json
from trajgen.records import Json, Message, Trajectory


class OpenAi(Exporter):
    """{"messages", "tools"} a line."""

    schema = None

    def __init__(self, source: Source) -> None:
        """Needs nothing of its source."""

    def rows(self, trajectory: Trajectory) -> Iterator[dict[str, Json]]:
        row: dict[str, Json] = {"messages": [_message(m) for m in trajectory.messages]}
        yield {**row, "tools": list(trajectory.tools)} if trajectory.tools else row


def _message(message: Message) -> Message:
    if "tool_calls" not in message:
        return message
    return {**message, "tool_calls": [_call(call) for call in message["tool_calls"]]}


def _call(call: Json) -> Json:
    function = call["function"]
    return {**call, "function": {**function, "arguments": as_json(function["arguments"])}}
