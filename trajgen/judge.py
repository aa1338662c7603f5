"""The judge: an optional role that scores what code has accepted, and can only add reasons.

It sees policy, wish, conversation with results, and what changed in the state, and gives a
score from 1 to 5 for policy, goal and quality. A trajectory with a reason of code's is never
shown to it, and no score takes a reason back.

An answer that cannot be read decides nothing: the row stays as it was, and its
`scores["judge"]` says so.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from trajgen import script
from trajgen.cast import Given, Question, speech
from trajgen.config import JudgeConfig
from trajgen.errors import PromptTooLong, Timeout
from trajgen.records import Json, Reason, Task, Trajectory
from trajgen.schemas import JUDGED
from trajgen.stage import Stage
from trajgen.trajectories import judged

CODES = {"policy": "policy_violation", "goal": "goal_not_reached", "quality": "low_quality"}
OBSERVATION_CHARS = 1500  # of one result; a judge has to see what the agent saw
BEST = 5


async def reviewed(stage: Stage, task: Task, trajectory: Trajectory, wish: str = "") -> Trajectory:
    """`trajectory` with the judge's scores, and a reason for each below its bar in `judge:`.

    Unchanged without the role, or where code has found a reason. `wish` is the user's
    instruction. Raises RequestError, EngineDead or Timeout.
    """
    if stage.pipeline.roles.judge is None or trajectory.reasons:
        return trajectory
    seconds = stage.pipeline.limits.seconds
    try:
        async with asyncio.timeout(seconds):
            given = await stage.cast.ask(task, _question(stage, task, trajectory, wish), _anything)
    except PromptTooLong as error:
        return _scored(trajectory, {"error": error.what})
    except TimeoutError as error:
        raise Timeout(f"not judged within {seconds:g} s", task.id) from error
    if given.answer is None or given.problems:
        return _scored(trajectory, {"error": _why(given)})
    scores = {**given.answer, "model": stage.cast.engine("judge").model}
    return judged(_scored(trajectory, scores), _reasons(trajectory, scores, stage.pipeline.judge))


def _reasons(trajectory: Trajectory, scores: dict[str, Json], bars: JudgeConfig) -> list[Reason]:
    """A reason for each score below its bar. A failure that is told as one has no goal."""
    found = []
    for name, code in CODES.items():
        if name == "goal" and trajectory.outcome == "failure":
            continue
        if scores[name] < (bar := getattr(bars, name)):
            why = scores["reasons"][name]
            found.append(Reason(code, None, f"{scores[name]} of {BEST}, wanted {bar}: {why}"))
    return found


def _question(stage: Stage, task: Task, trajectory: Trajectory, wish: str) -> Question:
    domain, render = stage.domains[trajectory.domain], stage.cast.prompts.render
    head = {
        "domain": {"name": domain.name, "description": domain.description},
        "policy": domain.policy,
        "tools": domain.tools,
    }
    body = {
        "wish": wish,
        "conversation": script.lines(trajectory.messages, OBSERVATION_CHARS),
        "changes": [
            {"call_id": step.call_id, **effect}
            for step in trajectory.steps
            for effect in step.effects
        ],
        "outcome": trajectory.outcome,
    }
    return Question(
        role="judge",
        key="0",
        messages=(
            speech("system", render("judge.system", head)),
            speech("user", render("judge.user", body)),
        ),
        guide=JUDGED,
        schema=JUDGED,
        context={"task": task, "messages": list(trajectory.messages)},
    )


def _anything(answer: dict[str, Json]) -> list[Reason]:
    return []


def _why(given: Given) -> str:
    return "; ".join(f"{problem.code}: {problem.detail}" for problem in given.problems)


def _scored(trajectory: Trajectory, scores: dict[str, Json]) -> Trajectory:
    return replace(trajectory, scores={**trajectory.scores, "judge": scores})
