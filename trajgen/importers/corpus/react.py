"""ReAct text: Thought, Action, Action Input, Observation, Final Answer.

A row has one `text` that begins with "Question:", or `messages` in which the assistant
writes so and the observations come as what the user or a tool says. A thought becomes
`reasoning_content`. An action's input has to be a JSON object: what a lone text is an
argument of, nothing says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from trajgen.importers.corpus.exact import SHOWN, decoded, literal
from trajgen.importers.corpus.openai import text_of, tools_of
from trajgen.importers.corpus.problem import Problem, Refused
from trajgen.importers.corpus.turns import Turns
from trajgen.records import Json

LABELS = ("Question", "Thought", "Action", "Action Input", "Observation", "Final Answer")
_LABEL = re.compile(rf"^[ \t]*({'|'.join(LABELS)})(?: ?\d+)?:[ \t]*", re.MULTILINE)
_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)


def writes_so(text: str) -> bool:
    """Whether `text` makes a call in this form."""
    return {"Action", "Action Input"} <= {match[1] for match in _LABEL.finditer(text)}


def normalised(row: Any, from_columns: bool = False) -> dict[str, Json] | Problem:
    """`row` with `messages` and `tools` in our form, or why it has none."""
    try:
        return _normalised(row, from_columns)
    except Refused as refused:
        return refused.problem


def _normalised(row: Any, from_columns: bool) -> dict[str, Json]:
    if not isinstance(row, dict):
        raise Refused("a row must be a JSON object")
    made = _Reader()
    for made.turns.at, (role, text) in enumerate(_texts(row)):
        made.read(role, text)
    result: dict[str, Json] = {key: row[key] for key in ("id", "state") if key in row}
    result["messages"] = made.turns.messages
    if tools := tools_of(row.get("tools"), from_columns):
        result["tools"] = tools
    return result


def _texts(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(role, text) of the messages; of the one text the role is ""."""
    if "messages" not in row:
        if not isinstance(row.get("text"), str):
            raise Refused(f"no `text` and no `messages` (keys here: {', '.join(sorted(row)[:8])})")
        yield "", row["text"]
        return
    messages = decoded(row["messages"], "messages")
    if not isinstance(messages, list):
        raise Refused("`messages` must be a list")
    for at, message in enumerate(messages):
        message = decoded(message, "a message", at)
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise Refused("a message must be an object with a role", at=at)
        yield message["role"], text_of(message.get("content"), at)


class _Reader:
    """The parts of the text one after the other; `thought` and `action` wait for what
    follows them."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.thought = self.action = ""

    def read(self, role: str, text: str) -> None:
        """One message, or the one text of the row. Raises Refused."""
        begins = _LABEL.match(text)
        if role in ("", "assistant") or (begins and begins[1] == "Observation"):
            parts = list(_parts(text))
            if not role and parts[0][1]:
                self.turns.say("system", parts.pop(0)[1])
            for label, part in parts:
                self._part(label, part)
        elif role == "tool":
            self.turns.answer(text)
        else:
            self.turns.say(role, text)
        if self.thought or self.action:
            raise Refused("it ends in a thought, or in an action without input", at=self._at)

    def _part(self, label: str, text: str) -> None:
        if label == "Question":
            if any(message["role"] != "system" for message in self.turns.messages):
                raise Refused("more than one question: which is the example?", at=self.turns.at)
            self.turns.say("user", text)
        elif label == "Thought":
            self.thought = f"{self.thought}\n{text}".strip()
        elif label == "Action":
            self._act(text)
        elif label == "Action Input":
            self._call(self.action, text)
        elif label == "Observation":
            if self.thought or self.action:
                raise Refused("an observation where an action input was expected", at=self._at)
            self.turns.answer(text)
        elif label or text:  # the final answer, or speech without a label
            self._say(text)

    def _say(self, text: str) -> None:
        self.turns.say("assistant", text, self._thought())

    def _act(self, text: str) -> None:
        """The name of a tool, its input behind it; or one JSON object of both."""
        if not (fence := _FENCE.fullmatch(text)) and not text.startswith("{"):
            self.action = text
            return None
        made = self._json(fence[1] if fence else text)
        if not isinstance(made, dict) or made.keys() != {"action", "action_input"}:
            raise Refused(
                "an action must have `action` and `action_input`", "bad_arguments", self._at
            )
        if made["action"] == "Final Answer" and isinstance(made["action_input"], str):
            return self._say(made["action_input"])
        self._make(made["action"], made["action_input"])
        return None

    def _call(self, action: str, text: str) -> None:
        if not action:
            raise Refused("an action input without an action", "bad_arguments", self._at)
        fence = _FENCE.fullmatch(text)
        self._make(action, self._json(fence[1] if fence else text))

    def _make(self, action: Any, arguments: Any) -> None:
        if isinstance(arguments, str):
            what = f"{action}: the input is a text; which argument it is, nothing says"
            raise Refused(what, "bad_arguments", self._at)
        self.turns.call([{"name": action, "arguments": arguments}], thought=self._thought())
        self.action = ""

    def _json(self, text: str) -> Json:
        try:
            return literal(text)
        except ValueError as error:
            what = f"the action input is not JSON ({str(error)[:SHOWN]})"
            raise Refused(what, "bad_arguments", self._at) from error

    def _thought(self) -> str:
        thought, self.thought = self.thought, ""
        return thought

    @property
    def _at(self) -> int:
        return self.turns.at


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """(label, what it labels); ("", what stands before the first label)."""
    found = list(_LABEL.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)][: len(found)]
    yield "", text[: found[0].start() if found else len(text)].strip()
    for match, end in zip(found, ends, strict=True):
        yield match[1], text[match.end() : end].strip()
