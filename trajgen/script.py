"""Trajectories as text: how an example conversation stands in a prompt."""

from __future__ import annotations

import json
from collections.abc import Iterable

from trajgen.records import Json, Message
from trajgen.remembered import Remembered

OBSERVATION_CHARS = 300  # of an example's observation: its form matters, not all it holds
_as_json = json.JSONEncoder(ensure_ascii=False).encode


def lines(messages: Iterable[Message], chars: int = OBSERVATION_CHARS) -> list[str]:
    """One entry a turn: `User: …`, `Agent: {"say", "calls"}`, `[call_1] observation`.

    Further lines of a text are indented, so that none can pass for a turn of its own. Long
    observations are cut to `chars`: an example has to leave the context to the conversation
    itself.
    """
    return [_line(message, chars).replace("\n", "\n  ") for message in messages]


told = Remembered(lines, 4096)  # of a seed, which all its tasks show


def action(message: Message) -> dict[str, Json]:
    """An assistant message as the agent's typed answer."""
    calls = [call["function"] for call in message.get("tool_calls", ())]
    wanted = [{"name": c["name"], "arguments": c["arguments"]} for c in calls]
    return {"say": message["content"], "calls": wanted}


def agent_message(answer: dict[str, Json], first_call: int) -> Message:
    """The agent's typed answer as an assistant message; calls are numbered on."""
    message: Message = {"role": "assistant", "content": answer["say"]}
    if answer["calls"]:
        message["tool_calls"] = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for number, call in enumerate(answer["calls"], first_call)
        ]
    return message


def _line(message: Message, chars: int) -> str:
    if message["role"] == "assistant":
        return f"Agent: {_as_json(action(message))}"
    if message["role"] == "tool":
        text = message["content"]
        shown = text if len(text) <= chars else f"{text[:chars]} …"
        return f"[{message['tool_call_id']}] {shown}"
    return f"{message['role'].capitalize()}: {message['content']}"
