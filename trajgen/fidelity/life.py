"""One episode that is led along real calls, and asked others that it then forgets.

Crash rule: a life is an episode and its ledger; nothing of it outlives the measurement.
"""

from __future__ import annotations

from types import TracebackType

from trajgen.errors import InputError, MachineError
from trajgen.ids import content_id, sampling_seed
from trajgen.pointers import EffectError
from trajgen.records import Call, Seed, Task
from trajgen.stage import Stage
from trajgen.worlds import Answer, Episode, Scene, World


def task_of(seed: Seed, persona: str = "plain") -> Task:
    """The task of playing `seed` as it is."""
    id_ = content_id("task", ["fidelity", seed.id, persona])
    chance = sampling_seed(id_)
    return Task(id_, 0, seed.domain, seed.id, "rephrase", persona, "", "", chance)


class Life:
    """An episode of `world` on the scene of `seed`, and the state that it is in. Raises
    InputError when the world cannot be in that state."""

    def __init__(self, stage: Stage, world: World, seed: Seed) -> None:
        self.stage, self.world, self.seed = stage, world, seed
        self.ledger = stage.ledger(seed)
        self.lived: list[tuple[Call, Answer]] = []
        scene = Scene(stage.domains[seed.domain], seed, task_of(seed), self.ledger)
        try:
            self.episode: Episode = world.begin(scene)
        except EffectError as error:
            what = f"{world.name} cannot be in the state of this seed ({error})"
            raise InputError(what, seed.id) from error

    async def ask(self, call: Call) -> Answer:
        """The answer to `call` now, without living through it.

        A world that takes any state answers from the ledger and is not moved by a question;
        any other is asked in an episode of its own, led to the same place.
        """
        if self.world.takes_state:
            return await self.episode.step(call)
        with Life(self.stage, self.world, self.seed) as other:
            for earlier, truth in self.lived:
                await other.episode.step(earlier)
                other.go_on(earlier, truth)
            return await other.episode.step(call)

    def go_on(self, call: Call, truth: Answer) -> None:
        """`truth` is what `call` was answered: the state takes it, the episode is told.

        Raises MachineError when its effects do not fit.
        """
        try:
            self.ledger.apply(truth.effects)
        except EffectError as error:
            what = f"{call.tool}: the real effects do not fit the state ({error})"
            raise MachineError(what, f"{self.seed.id}, {call.id}") from error
        self.lived.append((call, truth))
        self.episode.observe(call, truth)

    async def live(self, call: Call) -> Answer:
        """Step through `call` and go on with the world's own answer."""
        answer = await self.episode.step(call)
        self.go_on(call, answer)
        return answer

    def __enter__(self) -> Life:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.episode.close()
