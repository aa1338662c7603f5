"""What answers a tool call: the world model (`llm`) or a real environment.

A world begins an episode for each rollout; the episode answers calls one by one. The
rollout owns the ledger: an episode proposes effects, code applies and checks them.

Crash rule: an episode holds no result; when it is lost, its rollout is planned again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from trajgen.ledger import Ledger
from trajgen.loading import load_object
from trajgen.records import Call, Domain, Json, Reason, Seed, Step, Task

if TYPE_CHECKING:
    from trajgen.config import WorldConfig


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a rollout plays: its domain, seed and task, and the ledger as it begins."""

    domain: Domain
    seed: Seed
    task: Task
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Answer:
    """A world's answer to one call.

    `applies` says whether the call's precondition held and `why`; `effects` are what it
    changed; `observation` is the text the agent sees. `verdicts` are the violations that
    were left after the last of `attempts`; an answer with any ends the rollout.
    """

    applies: bool
    why: str
    effects: tuple[dict[str, Json], ...]
    observation: str
    source: Literal["model", "code", "real"]
    attempts: int = 1
    agreement: float | None = None
    verdicts: tuple[Reason, ...] = ()

    def step(self, call: Call, before: str, after: str, fault: str | None = None) -> Step:
        """What a trajectory keeps of it; `before` and `after` are hashes of the state."""
        return Step(
            message=call.message,
            call_id=call.id,
            tool=call.tool,
            applies=self.applies,
            why=self.why,
            effects=self.effects,
            source=self.source,
            state_before=before,
            state_after=after,
            attempts=self.attempts,
            fault=fault,
            agreement=self.agreement,
            verdicts=self.verdicts,
        )


class Episode(Protocol):
    """One rollout's view of a world."""

    async def step(self, call: Call) -> Answer:
        """Answer `call` in the current state of the scene's ledger; does not change it."""

    def observe(self, call: Call, answer: Answer) -> None:
        """Told of the answer that was given in the end, a planned fault included."""

    def reached(self) -> bool | None:
        """Whether the goal of the seed's task holds now; None where the world cannot tell."""

    def close(self) -> None:
        """Free what the episode holds."""


class World(Protocol):
    """Begins episodes.

    `name` is what rows carry as `world_model`. `takes_state` says whether an episode can
    begin in any state of its domain; a world without it begins where its seed's task does,
    so a scenario prepares nothing there.
    """

    name: str
    takes_state: bool

    def begin(self, scene: Scene) -> Episode:
        """A fresh episode in the scene's state. Raises EffectError when the world cannot be
        in it."""


KINDS = {
    "declared": "trajgen.worlds.declared:DeclaredWorld",
    "tau2": "trajgen.worlds.tau2:Tau2World",
    "textworld": "trajgen.worlds.textworld:TextWorldWorld",
    "scienceworld": "trajgen.worlds.scienceworld:ScienceWorldWorld",
}


def make_world(config: WorldConfig) -> World:
    """The world of a `world:` section that is not a model; `kind` may be
    `package.module:Class`. Raises InputError when there is none."""
    world: World = load_object(KINDS.get(config.kind, config.kind))(config)
    return world
