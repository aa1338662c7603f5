"""The measurement from end to end: ask the real world, ask the model, roll out, count.

Crash rule: nothing is written; it is done again from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from trajgen.cluster import make_local_engines
from trajgen.config import Pipeline
from trajgen.errors import InputError
from trajgen.fidelity.answers import Marked
from trajgen.fidelity.predict import predict
from trajgen.fidelity.replay import replay, tellable
from trajgen.fidelity.source import Real
from trajgen.fidelity.steps import GOLDEN, Lesson
from trajgen.fidelity.tally import NO_REPLAY, figures
from trajgen.fidelity.together import together
from trajgen.fidelity.truth import lessons
from trajgen.fidelity.unseen import unseen_stage
from trajgen.ids import digest
from trajgen.prompts import Prompts
from trajgen.records import Json, Seed, calls_of
from trajgen.stage import Stage, make_stage
from trajgen.worlds import make_world

Tell = Callable[[str], None]
REPORTS = 10  # lines of progress in each part
DECIDES = ("engines", "roles", "rollout", "world", "limits")  # what the figures hang on


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured: the world of `pipeline` on the first `n` seeds of `real`, `at_once`
    under way; without `replay` nothing is rolled out."""

    pipeline: Pipeline
    prompts: Prompts
    real: Real
    n: int
    replay: bool
    at_once: int

    @property
    def digest(self) -> str:
        """Changes with anything that the figures follow from."""
        decisive = self.pipeline.decisive()
        parts = {key: decisive[key] for key in DECIDES}
        real = [self.real.name, self.real.seeds.digest, self.n, self.replay]
        return digest([parts, self.prompts.digest, real])

    @property
    def seeds(self) -> list[Seed]:
        """The seeds it is measured on: those that call something, in content order."""
        calling = [seed for seed in self.real.seeds.seeds if any(calls_of(seed.messages))]
        return calling[: self.n]


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures, as `trajgen fidelity --json` prints them, and the answers that they count,
    seed by seed."""

    figures: dict[str, Json]
    answers: tuple[Marked, ...]


async def measure(job: Measure, tell: Tell) -> Measured:
    """What the model answers to all that the real world was asked.

    Raises InputError when no seed calls anything, MachineError when an engine dies.
    """
    if not job.seeds:
        raise InputError("no seed calls a tool", job.real.name)
    engines = make_local_engines(job.pipeline)
    stage = make_stage(job.pipeline, job.real.seeds, job.prompts, engines, "fidelity")
    real = replace(stage, world=make_world(job.real.config))
    asked = await lessons(real, job.seeds)
    goals = await tellable(real, job.seeds) if job.replay else []
    _announce(job, asked, goals, tell)
    try:
        for name in _needed(job, bool(goals)):
            await engines[name].start()
        return await _ask_model(job, stage, real, asked, goals, tell)
    finally:
        for engine in engines.values():
            await engine.close()


async def _ask_model(
    job: Measure,
    stage: Stage,
    real: Stage,
    asked: list[Lesson],
    goals: list[Seed],
    tell: Tell,
) -> Measured:
    steps = _Progress(sum(len(lesson.asked) for lesson in asked), "answers", tell)
    rolls = _Progress(len(goals), "seeds rolled out", tell)

    async def one(lesson: Lesson) -> list[Marked]:
        return await predict(unseen_stage(stage, lesson.seed), lesson, steps.step)

    marked = [each for one_seed in await together(one, asked, job.at_once) for each in one_seed]
    again = NO_REPLAY
    if goals:
        again = await replay(
            real, lambda seed: unseen_stage(stage, seed), goals, job.at_once, rolls.step
        )
    model = unseen_stage(stage, job.seeds[0]).world.name  # an engine may learn it at its start
    found = figures(job.real.name, model, [each.score for each in marked], again)
    return Measured(found, tuple(marked))


def _needed(job: Measure, rolls_out: bool) -> list[str]:
    """The engines that are asked something."""
    roles = job.pipeline.roles
    world = [roles.world.engine] if job.pipeline.world.kind == "llm" else []
    others = [roles.agent.engine, roles.user.engine] if rolls_out else []
    return list(dict.fromkeys([*world, *others]))


def _announce(job: Measure, asked: list[Lesson], goals: list[Seed], tell: Tell) -> None:
    """How much work there is, before the first model call."""
    steps = [each for lesson in asked for each in lesson.asked]
    probes = [each for each in steps if each.kind != GOLDEN]
    refused = sum(not each.truth.applies for each in probes)
    agreement = job.pipeline.world.agreement
    least = len(steps) * (agreement.samples if agreement else 1)
    most = least * job.pipeline.rollout.attempts
    tell(
        f"{len(asked)} seeds: {len(steps) - len(probes)} real calls and {len(probes)} probes, "
        f"{refused} of these not applicable; {least} to {most} model calls"
    )
    if job.replay:
        tell(f"then {len(goals)} seeds with a goal to reach, rolled out in both worlds")


class _Progress:
    """Says from time to time how far it is."""

    def __init__(self, n: int, what: str, tell: Tell) -> None:
        self.n, self.what, self.tell, self.done = n, what, tell, 0

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        if self.done == self.n or self.done % -(-self.n // REPORTS) == 0:
            self.tell(f"{self.done} of {self.n} {self.what}")
