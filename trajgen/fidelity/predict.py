"""The model's side: asked what the real world was asked, told the truth, asked on.

Crash rule: an engine that gives no answer to a request costs that answer; one that dies ends
the measurement.
"""

from __future__ import annotations

from collections.abc import Callable

from trajgen.errors import EngineDead, MachineError, PromptTooLong, RequestError, Timeout
from trajgen.fidelity.answers import Marked
from trajgen.fidelity.life import Life
from trajgen.fidelity.score import score
from trajgen.fidelity.steps import GOLDEN, Asked, Lesson
from trajgen.stage import Stage
from trajgen.worlds import Answer


async def predict(stage: Stage, lesson: Lesson, told: Callable[[], None]) -> list[Marked]:
    """How the stage's world does along one lesson; `told` is called after each answer.

    Raises MachineError when its engine dies.
    """
    marked: list[Marked] = []
    with Life(stage, stage.world, lesson.seed) as life:
        for asked in lesson.asked:
            said = await _said(life, asked)
            marked.append(Marked(lesson.seed, asked, said, score(asked, life.ledger, said)))
            if asked.kind == GOLDEN:
                life.go_on(asked.call, asked.truth, said)
            told()
    return marked


async def _said(life: Life, asked: Asked) -> Answer | str:
    """The answer, or which error there was instead."""
    ask = life.episode.step if asked.kind == GOLDEN else life.ask
    try:
        return await ask(asked.call)
    except PromptTooLong:
        return "too_long"
    except RequestError:
        return "request"
    except Timeout:
        return "timeout"
    except EngineDead as error:
        raise engine_died(error, asked.call.id) from error


def engine_died(error: EngineDead, where: str) -> MachineError:
    """What a dead engine means for a measurement."""
    advice = "`trajgen doctor` says what works here."
    return MachineError(f"the engine died ({error.what})", where, advice)
