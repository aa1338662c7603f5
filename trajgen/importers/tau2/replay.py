"""A simulation made again, call by call, in tau2's environment."""

from __future__ import annotations

from typing import Any, NamedTuple

from trajgen.diff import goal, patch
from trajgen.errors import InputError
from trajgen.importers.tau2.kit import Action
from trajgen.importers.tau2.stage import Stage
from trajgen.records import Json
from trajgen.worlds.tau2.real import DOMAINS, Real


class Made(NamedTuple):
    """What the calls did: the state they began in over the domain's, their effects and whether
    they applied, by call id; what holds at the end and did not before."""

    state: Json
    effects: dict[str, list[dict[str, Json]]]
    applies: dict[str, bool]
    goal: tuple[dict[str, Json], ...]


class Replay:
    """One domain's environment, for simulations of its tasks."""

    def __init__(self, name: str) -> None:
        self.stage = Stage(Real(name))

    @classmethod
    def of(cls, name: str) -> Replay | None:
        """The environment of a domain; None where it, or tau2, is not here."""
        try:
            return cls(name) if name in DOMAINS else None
        except InputError:
            return None

    def again(self, task: str, messages: list[dict[str, Any]]) -> Made | None:
        """What the calls in `messages` of the task `task` do; None where the task is unknown,
        an answer is not the one in `messages`, or the user changes the state."""
        known = self.stage.real.tasks.get(task)
        begins = known.initial_state if known else None
        if known is None or (begins and (begins.initialization_data or begins.message_history)):
            return None
        self.stage.enter(known)
        answers = {m.get("id"): m.get("content") for m in messages if m.get("role") == "tool"}
        effects: dict[str, list[dict[str, Json]]] = {}
        applies: dict[str, bool] = {}
        for message in messages:
            for call in message.get("tool_calls") or ():
                by = "user" if message["role"] == "user" else "assistant"
                result = self.stage.call(Action(call["name"], call["arguments"], by))
                if result.observation != answers.get(call["id"]) or (
                    by == "user" and result.effects
                ):
                    return None
                if by == "user":
                    continue
                applies[call["id"]] = not result.failed
                if result.effects:
                    effects[call["id"]] = list(result.effects)
        state = patch(self.stage.real.initial, self.stage.initial) or None
        return Made(state, effects, applies, goal(self.stage.initial, self.stage.state))
