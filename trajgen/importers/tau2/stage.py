"""The real environment under one conversation: the state goes on from call to call.

Crash rule: nothing is kept; a task that was not played to its end is played again.
"""

from __future__ import annotations

import json
from typing import Any

from trajgen.importers.tau2.kit import Action
from trajgen.ledger import Ledger
from trajgen.records import Json
from trajgen.worlds.tau2.real import Real, Result


class Stage:
    """A state and a user's phone for one task after another; `initial` is the task's own."""

    def __init__(self, real: Real) -> None:
        self.real = real
        self.enter(None)

    @property
    def state(self) -> Json:
        return self.ledger.state

    def enter(self, task: Any) -> None:
        """Begin where `task` does."""
        self.real.new_phone()
        self.ledger = Ledger(self.real.initial, 0)  # nobody asks for its hash
        initial = task.initial_state if task else None
        actions = (initial.initialization_actions or ()) if initial else ()
        _, effects = self.real.within(self.state, lambda env: env.run_env_function_calls(actions))
        self.ledger.apply(effects)
        self.initial = self.state

    def writes(self, tool: str) -> bool:
        """Whether calls of `tool` may change the state; an unknown tool changes nothing."""
        return self.real.kinds.get(tool) == "write"

    def call(self, action: Action) -> Result:
        """Make the call; the state goes on from what it changed."""
        result = self.real.call(self.state, action.tool, action.arguments, action.by)
        self.ledger.apply(result.effects)
        return result

    def fulfils(self, criteria: Any) -> bool:
        """Whether what the task asserts of the environment holds now, the phone included."""
        asserted = criteria.env_assertions or ()
        held, _ = self.real.within(
            self.state,
            lambda env: [env.run_env_assertion(a, raise_assertion_error=False) for a in asserted],
        )
        return all(held)


def parsed(observation: str) -> Json:
    """The observation as data; None when it is text."""
    try:
        return json.loads(observation)
    except ValueError:
        return None
