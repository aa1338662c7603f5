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
    """Up to PROBES beside one call: one that does not apply where there is any, and others as
    they were drawn."""
    domain, found = life.stage.domains[life.seed.domain], list[Asked]()
    for kind, call in probes(life.seed, domain, after, life.ledger, changed, values):
        found.append(Asked(kind, after, call, await life.ask(call)))
        if len(found) >= PROBES and not all(each.truth.applies for each in found):
            break
    chosen = sorted(found, key=lambda each: each.truth.applies)[:1]
    others = [each for each in found if each not in chosen]
    return [*chosen, *others][:PROBES]
