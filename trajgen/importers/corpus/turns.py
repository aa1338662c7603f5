"""Turns of a format without call ids -> OpenAI messages: calls are numbered in their order,
and answers go to the calls that wait, the first to the first."""

from __future__ import annotations

from typing import Any

from trajgen.importers.corpus.exact import arguments_of
from trajgen.importers.corpus.problem import Refused
from trajgen.records import Json, Message


class Turns:
    """The messages made so far; `at` is the turn of the source that is read, for problems."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.waiting: list[str] = []  # ids of calls that nothing answers yet
        self.made = 0
        self.at = 0

    def say(self, role: str, text: str, thought: str = "") -> None:
        """One message of text; `thought` is reasoning that its reader does not see."""
        self.waiting = []
        message = {"role": role, "content": text}
        self.messages.append(message | ({"reasoning_content": thought} if thought else {}))

    def call(self, calls: list[Any], text: str = "", thought: str = "") -> None:
        """The assistant calls tools: each of `calls` is {"name", "arguments"}. What the
        assistant did right before, a text or other calls, is part of the same message."""
        made = [self._call(call) for call in calls]
        last = self.messages[-1] if self.messages else {}
        if text or thought or last.get("role") != "assistant":
            self.say("assistant", text, thought)
            last = self.messages[-1]
        last["tool_calls"] = [*last.get("tool_calls", ()), *made]
        self.waiting += [call["id"] for call in made]

    def answer(self, text: str) -> None:
        """What the first of the waiting calls answered. Raises Refused when none waits."""
        if not self.waiting:
            raise Refused("an answer to no call", "unanswered_call", self.at)
        id_ = self.waiting.pop(0)
        self.messages.append({"role": "tool", "tool_call_id": id_, "content": text})

    def _call(self, call: Any) -> dict[str, Json]:
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            raise Refused("a call must be an object with a name", "bad_arguments", self.at)
        name = call["name"]
        if other := sorted(call.keys() - {"name", "arguments"}):
            raise Refused(f"{name}: a call has no key {other[0]!r}", "bad_arguments", self.at)
        arguments = arguments_of(call.get("arguments"), name, self.at)
        self.made += 1
        function = {"name": name, "arguments": arguments}
        return {"id": f"call_{self.made}", "type": "function", "function": function}
