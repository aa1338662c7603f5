"""The real world's side: what it answers to the calls of the seeds, and to the probes.

A seed is followed for as many calls as a rollout may make. Crash rule: nothing is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from trajgen.fidelity.life import Life
from trajgen.fidelity.probes import Values, probes, text_values
from trajgen.fidelity.steps import GOLDEN, Asked, Lesson
from trajgen.records import Seed, calls_of
from trajgen.stage import Stage

PROBES = 2  # beside each real call, and at the end


async def lessons(stage: Stage, seeds: Sequence[Seed]) -> list[Lesson]:
    """What is to be asked along each of `seeds`; the stage's world is the real one."""
    values = text_values(list(stage.seeds.values()))
    return [await _lesson(stage, seed, values) for seed in seeds]


async def _lesson(stage: Stage, seed: Seed, values: Values) -> Lesson:
    asked: list[Asked] = []
    calls = list(calls_of(seed.messages))
    most = min(len(calls), stage.pipeline.limits.tool_calls)
    with Life(stage, stage.world, seed) as life:
        changed = False
        for after in range(most + 1):
            asked += await _probed(life, after, changed, values)
            if after < most:
                before = life.ledger.hash
                truth = await life.live(calls[after])
                changed = life.ledger.hash != before
                asked.append(Asked(GOLDEN, after, calls[after], truth))
    return Lesson(seed, tuple(asked))


async def _probed(life: Life, after: int, changed: bool, values: Values) -> list[Asked]:
    domain = life.stage.domains[life.seed.domain]
    made = probes(life.seed, domain, after, life.ledger, changed, values, PROBES)
    return [Asked(kind, after, call, await life.ask(call)) for kind, call in made]
