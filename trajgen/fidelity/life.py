"""One episode that is led along real calls, and asked others that it then forgets.

Crash rule: a life is an episode and its ledger; nothing of it outlives the measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from trajgen.errors import InputError, MachineError
from trajgen.ids import content_id, sampling_seed
from trajgen.ledger import Ledger
from trajgen.pointers import EffectError
from trajgen.records import Call, Domain, Seed, Task
from trajgen.worlds import Answer, Episode, Scene, World


class Ground(Protocol):
    """What episodes begin on: a `Stage`, or as much of one."""

    @property
    def domains(self) -> Mapping[str, Domain]:
        """Domains by name."""

    def ledger(self, seed: Seed) -> Ledger:
        """A fresh ledger in the seed's initial state."""


def task_of(seed: Seed, persona: str = "plain") -> Task:
    """The task of playing `seed` as it is."""
    id_ = content_id("task", ["fidelity", seed.id, persona])
    chance = sampling_seed(id_)
    return Task(id_, 0, seed.domain, seed.id, "rephrase", persona, "", "", chance)


class Life:
    """An episode of `world` on the scene of `seed`, and the state that it is in. Raises
    InputError when the world cannot be in that state."""

    def __init__(self, stage: Ground, world: World, seed: Seed) -> None:
        self.stage, self.world, self.seed = stage, world, seed
        self.ledger = stage.ledger(seed)
        self.lived: list[tuple[Call, Answer, Answer | str]] = []
        self._beside: Life | None = None
        scene = Scene(stage.domains[seed.domain], seed, task_of(seed), self.ledger)
        try:
            self.episode: Episode = world.begin(scene)
        except EffectError as error:
            what = f"{world.name} cannot be in the state of this seed ({error})"
            raise InputError(what, seed.id) from error

    async def ask(self, call: Call) -> Answer:
        """The answer to `call` now, without living through it.

        A world that takes any state answers from the ledger and is not moved by a question;
        any other is asked in an episode beside this one, led to the same place. That one is
        used again while nothing has moved it: every call since was refused, changed nothing,
        and did not alter what the calls after it were answered.
        """
        if self.world.takes_state:
            return await self.episode.step(call)
        beside = await self._led_along()
        answer = await beside.episode.step(call)
        if answer.applies or answer.effects:
            self._leave()
        return answer

    async def _led_along(self) -> Life:
        """The episode beside this one, where this one is."""
        if self._beside is not None and not await self._beside._follows(self):
            self._leave()
        if self._beside is None:
            self._beside = Life(self.stage, self.world, self.seed)
            await self._beside._follows(self)
        return self._beside

    async def _follows(self, other: Life) -> bool:
        """Live through what `other` has lived since; whether it was answered the same."""
        same = True
        for call, truth, own in other.lived[len(self.lived) :]:
            answer = await self.episode.step(call)
            self.go_on(call, truth, answer)
            same = same and answer == own
        return same

    def _leave(self) -> None:
        if self._beside is not None:
            self._beside.episode.close()
            self._beside = None

    def go_on(self, call: Call, truth: Answer, own: Answer | str) -> None:
        """`truth` is what `call` is answered, whatever this world's `own` answer was: the state
        takes it, the episode is told.

        Raises MachineError when its effects do not fit.
        """
        try:
            self.ledger.apply(truth.effects)
        except EffectError as error:
            what = f"{call.tool}: the real effects do not fit the state ({error})"
            raise MachineError(what, f"{self.seed.id}, {call.id}") from error
        self.lived.append((call, truth, own))
        self.episode.observe(call, truth)

    async def live(self, call: Call) -> Answer:
        """Step through `call` and go on with the world's own answer."""
        answer = await self.episode.step(call)
        self.go_on(call, answer, answer)
        return answer

    def __enter__(self) -> Life:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()
        self.episode.close()
