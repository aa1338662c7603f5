"""Declared tools as a world: what the domain file says of them, answered by code.

`world: {kind: declared}` needs a domain whose every tool is declared. Beside the world model
(`kind: llm`) code answers the declared tools of a domain, and the model the others.

Crash rule: an episode holds nothing but its scene.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trajgen import declared
from trajgen.config import WorldConfig
from trajgen.errors import InputError
from trajgen.records import Call, Domain
from trajgen.worlds import Answer, Scene


@dataclass(slots=True)
class DeclaredWorld:
    """Begins episodes in any state of any domain whose every tool is declared."""

    config: WorldConfig
    name: str = "declared"
    takes_state: bool = True

    def begin(self, scene: Scene) -> DeclaredEpisode:
        """A fresh episode. Raises InputError for a domain that code cannot answer alone."""
        every_tool_declared({scene.domain.name: scene.domain})
        return DeclaredEpisode(scene)


@dataclass(slots=True)
class DeclaredEpisode:
    """One rollout's view of its declared tools."""

    scene: Scene

    async def step(self, call: Call) -> Answer:
        """What the domain declares of `call`, in the ledger's present state."""
        return answered(self.scene, call) or Answer(
            False, "the domain declares no such tool", (), '{"error": "no such tool"}', "code"
        )

    def observe(self, call: Call, answer: Answer) -> None:
        """Nothing to remember: the ledger is the state."""

    def reached(self) -> bool | None:
        """The ledger tells, by the goal's conditions."""
        return None

    def close(self) -> None:
        """Nothing to free."""


def answered(scene: Scene, call: Call) -> Answer | None:
    """Code's answer to `call` in the present state; None for a tool that is not declared."""
    result = declared.answer(scene.domain, call, scene.ledger.state)
    if result is None:
        return None
    return Answer(result.applies, result.why, result.effects, result.observation, "code")


def every_tool_declared(domains: Mapping[str, Domain]) -> None:
    """Raises InputError naming the first domain with tools that code cannot answer."""
    for domain in domains.values():
        if missing := declared.undeclared(domain):
            raise InputError(
                f"domain {domain.name!r} does not declare {', '.join(missing)}",
                "world.kind: declared",
                "Say in its domain.yaml what they do, or let the world model answer them "
                "(world: {kind: llm}).",
            )
