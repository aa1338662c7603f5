"""tau2's environments as a world: airline, retail and telecom, answered for real.

An episode holds no environment: each call is made in the state of the rollout's ledger,
which may be any state that tau2's database can hold. Telecom's state is the carrier's
database; the user's phone is no part of it.

Crash rule: as for every world, an episode holds no result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trajgen.errors import InputError
from trajgen.records import Call, Seed
from trajgen.worlds import Answer, Scene
from trajgen.worlds.tau2.real import Real

if TYPE_CHECKING:
    from trajgen.config import WorldConfig


class Tau2World:
    """`world: {kind: tau2, domain: airline}`. Raises InputError for an unknown domain, and
    when the package is not installed."""

    takes_state = True

    def __init__(self, config: WorldConfig) -> None:
        self.real = Real(config.domain)
        self.name = f"tau2:{config.domain}"

    def begin(self, scene: Scene) -> Tau2Episode:
        """Raises EffectError when the environment cannot be in the scene's state, InputError
        when the domain or the seed's task is none of tau2's."""
        self.real.load(scene.ledger.state, scene.domain.state)
        return Tau2Episode(self.real, scene, self._task(scene.seed))

    def _task(self, seed: Seed) -> Any:
        name = seed.meta.get("task")
        if name is None:
            return None
        if name not in self.real.tasks:
            raise InputError(f"{self.name} has no task {name!r}", seed.id)
        return self.real.tasks[name]


class Tau2Episode:
    """One rollout's calls."""

    def __init__(self, real: Real, scene: Scene, task: Any) -> None:
        self.real, self.task, self.ledger = real, task, scene.ledger
        self.start = scene.ledger.fork()

    async def step(self, call: Call) -> Answer:
        result = self.real.call(self.ledger.state, call.tool, call.arguments)
        why = result.observation.removeprefix("Error: ") if result.failed else "it was done"
        return Answer(not result.failed, why, result.effects, result.observation, "real")

    def observe(self, call: Call, answer: Answer) -> None:
        """Nothing to remember: the ledger has it."""

    def reached(self) -> bool | None:
        """Whether the database is the one that the task's golden actions lead to, which is how
        tau2 scores it; None for a seed that is no task of tau2's."""
        if self.task is None:
            return None
        golden = self.start.fork()
        for action in self.task.evaluation_criteria.actions or ():
            if action.requestor == "assistant":
                golden.apply(self.real.call(golden.state, action.name, action.arguments).effects)
        return golden.hash == self.ledger.hash

    def close(self) -> None:
        """Nothing is held."""
