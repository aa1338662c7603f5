"""On-policy: what an agent reaches in the model's world, and with the same calls in the real.

Both rollouts play a seed as it is, with the same agent and user. What was reached is asked of
the real world each time, after the calls were made there one by one. Seeds whose goal nobody
can tell, or holds before anything was done, say nothing and are left out.

Crash rule: a rollout that no engine could play has reached nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from trajgen.errors import EngineDead, RequestError, Timeout
from trajgen.fidelity.life import Life, task_of
from trajgen.fidelity.predict import engine_died
from trajgen.fidelity.together import together
from trajgen.goals import holds
from trajgen.ledger import Ledger
from trajgen.records import Call, Json, Seed
from trajgen.rollout import Rollout
from trajgen.stage import Stage

StageOf = Callable[[Seed], Stage]


async def tellable(real: Stage, seeds: Iterable[Seed]) -> list[Seed]:
    """The seeds of which it can be told whether their goal is reached, and at first is not."""
    return [seed for seed in seeds if await reached(real, seed, ()) is False]


async def replay(
    real: Stage, model: StageOf, seeds: Sequence[Seed], at_once: int, told: Callable[[], None]
) -> dict[str, Json]:
    """Counts of goals reached: by the agent in the real world, in the model's, and by the
    calls it made in the model's world when they are made in the real one.

    The consistency ratio is the last by the first, None when the first is 0. `told` is called
    after each seed. Raises MachineError when an engine dies.
    """

    async def one(seed: Seed) -> tuple[bool, bool, bool]:
        there, _ = await _played(real, seed)
        calls, fulfilled = await _played(model(seed), seed)
        found = (await _reaches(real, seed, there), fulfilled, await _reaches(real, seed, calls))
        told()
        return found

    found = await together(one, seeds, at_once)
    in_real, in_world, world_to_real = (sum(each[i] for each in found) for i in range(3))
    return {
        "n": len(found),
        "real": in_real,
        "world": in_world,
        "world_to_real": world_to_real,
        "consistency_ratio": round(world_to_real / in_real, 4) if in_real else None,
    }


async def reached(real: Stage, seed: Seed, calls: Iterable[Call]) -> bool | None:
    """Whether `calls` reach the goal of `seed` in the real world; None where none can tell."""
    with Life(real, real.world, seed) as life:
        for call in calls:
            await life.live(call)
        told = life.episode.reached()
        return _holds(seed, life.ledger) if told is None else told


async def _reaches(real: Stage, seed: Seed, calls: Iterable[Call]) -> bool:
    return await reached(real, seed, calls) is True


async def _played(stage: Stage, seed: Seed) -> tuple[list[Call], bool]:
    """The calls of a rollout of `seed`, and whether the goal holds in its own world."""
    persona = stage.pipeline.variations.personas[0]
    rollout = Rollout(stage, task_of(seed, persona))
    try:
        trajectory = await rollout.play()
    except (RequestError, Timeout):
        return [], False
    except EngineDead as error:
        raise engine_died(error, seed.id) from error
    answered = {step.call_id for step in trajectory.steps if not step.verdicts}
    calls = [call for call in trajectory.calls() if call.id in answered]
    holds_here = _holds(seed, rollout.ledger)
    return calls, trajectory.outcome == "success" if holds_here is None else holds_here


def _holds(seed: Seed, ledger: Ledger) -> bool | None:
    """Whether the goal that `seed` states holds; None when it states none."""
    return all(holds(ledger.state, condition) for condition in seed.goal) if seed.goal else None
