"""A walk through a real game -> one seed: what was said, called, seen and changed.

Observations and effects are the game's. The words of user and agent are made by rule, and
`meta.made` says so.

Crash rule: a walk keeps nothing; an import that did not end is made again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trajgen.ids import content_id
from trajgen.records import Call, Json, Message, Seed
from trajgen.worlds import Answer
from trajgen.worlds.games import Game, answer


@dataclass
class Walk:
    """The conversation so far about one task of a game that has just begun."""

    domain: str
    task: str
    game: Game
    messages: list[Message] = field(default_factory=list)
    effects: dict[str, list[dict[str, Json]]] = field(default_factory=dict)
    applies: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.initial = self.game.state

    def ask(self, text: str) -> None:
        """What the user wants."""
        self.messages.append({"role": "user", "content": text})

    def call(self, tool: str, arguments: dict[str, Json], say: str = "") -> Answer:
        """The agent's next call, made in the game."""
        name = f"call_{len(self.applies) + 1}"
        function = {"name": tool, "arguments": arguments}
        made = {"id": name, "type": "function", "function": function}
        given = answer(self.game, Call(name, tool, arguments, len(self.messages)))
        self.messages += [
            {"role": "assistant", "content": say, "tool_calls": [made]},
            {"role": "tool", "tool_call_id": name, "content": given.observation},
        ]
        self.applies[name] = given.applies
        if given.effects:
            self.effects[name] = list(given.effects)
        return given

    def seed(self, closing: str, goal: tuple[dict[str, Json], ...]) -> Seed:
        """The seed; `closing` is the agent's last message."""
        messages = (*self.messages, {"role": "assistant", "content": closing})
        meta = {
            "task": self.task,
            "outcome": "success" if self.game.won() else "failure",
            "effects": self.effects,
            "applies": self.applies,
            "made": "the words of user and agent",
        }
        identity = [self.domain, list(messages), self.initial, list(goal)]
        return Seed(
            id=content_id("seed", identity),
            domain=self.domain,
            messages=messages,
            state=self.initial,
            goal=goal,
            meta={"name": self.task, **meta},
        )
