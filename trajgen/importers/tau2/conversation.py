"""What was said and called so far, and what the agent has seen by that.

Crash rule: a conversation that did not end is played again from its task.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from trajgen.importers.tau2.kit import Action
from trajgen.importers.tau2.stage import Stage
from trajgen.records import Json, Message


@dataclass
class Conversation:
    """Messages, and the real calls made on a stage.

    `effects` and `applies` are by call id, `added` the ids of calls that no golden action asks
    for;
    `seen` is all text before the agent, `made` the reads whose answers are still true.
    """

    stage: Stage
    messages: list[Message] = field(default_factory=list)
    effects: dict[str, list[dict[str, Json]]] = field(default_factory=dict)
    applies: dict[str, bool] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    seen: str = ""
    made: set[str] = field(default_factory=set)

    def say(self, role: str, content: str) -> None:
        """One message of the user or the agent."""
        self.messages.append({"role": role, "content": content})
        self.seen += f"\n{content}"

    def call(self, action: Action, added: bool = False) -> bool:
        """Make the call; whether it worked."""
        call_id = f"call_{sum('tool_calls' in message for message in self.messages) + 1}"
        result = self.stage.call(action)
        function = {"name": action.tool, "arguments": action.arguments}
        call = {"id": call_id, "type": "function", "function": function}
        self.messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        self.messages.append(
            {"role": "tool", "tool_call_id": call_id, "content": result.observation}
        )
        self.seen += f"\n{result.observation}"
        self.applies[call_id] = not result.failed
        if result.effects:
            self.effects[call_id] = list(result.effects)
            self.made.clear()  # what was read may have changed
        if added:
            self.added.append(call_id)
        if not self.stage.writes(action.tool):
            self.made.add(action.key)
        return not result.failed

    def shows(self, value: str) -> bool:
        """Whether the agent has seen `value`."""
        return shown(value, self.seen)

    def observations(self) -> list[str]:
        """What the calls answered, in order."""
        return [str(m["content"]) for m in self.messages if m["role"] == "tool"]

    def error(self) -> str:
        """Why the last call failed, or ""."""
        return "".join(self.observations()[-1:]).partition("Error: ")[2]


def needles(arguments: Json, name: str = "") -> Iterator[tuple[str, str]]:
    """The (name, value) pairs an agent cannot guess: text with a digit, numbers from 100."""
    if isinstance(arguments, dict):
        for key, item in arguments.items():
            yield from needles(item, key)
    elif isinstance(arguments, list):
        for item in arguments:
            yield from needles(item, name)
    elif isinstance(arguments, str) and name in ("expression", "summary"):
        for word in re.findall(r"#?[\w.]*\d\w*", arguments):
            if not word.isdigit() or int(word) >= 100:
                yield name, word
    elif isinstance(arguments, str):
        if re.search(r"\d", arguments):
            yield name, arguments
    elif arguments is not None and arguments >= 100:  # booleans are below
        yield name, str(arguments)


def shown(value: str, text: str) -> bool:
    """Whether `value` stands in `text` as a word of its own; a leading '#' does not matter."""
    return bool(re.search(rf"(?<!\w){re.escape(value.lstrip('#'))}(?!\w)", text))
