"""`one_call`: a whole trajectory in one completion, read strictly and replayed on the ledger.

Nothing is guessed: a turn that cannot be read, a call without its answer or an effect that
does not fit ends the trajectory there, with the reason.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from trajgen import schemas, script
from trajgen.cast import Question, speech
from trajgen.errors import PromptTooLong, Timeout
from trajgen.filters.declared import against_code
from trajgen.filters.world import judge
from trajgen.judge import reviewed
from trajgen.ledger import Ledger
from trajgen.records import Call, Json, Message, Reason, Step, Task, Trajectory, calls_of
from trajgen.scenario import shown_state
from trajgen.shapes import bad_effects
from trajgen.stage import Stage, touch
from trajgen.trajectories import End, assemble
from trajgen.worlds.llm import observed

REFUSED_CHARS = 2000  # of an answer that could not be read, kept for the reviewer


async def author(stage: Stage, task: Task) -> Trajectory:
    """The finished trajectory of `task`. Raises RequestError, EngineDead or Timeout."""
    replay, verdict, end = Replay(stage, task), "failure", End()
    seconds = stage.pipeline.limits.seconds
    try:
        async with asyncio.timeout(seconds):
            given = await stage.cast.ask(task, _question(stage, task), replay.problems)
    except PromptTooLong as error:
        end = End("tokens", Reason("too_long", 0, error.what))
    except TimeoutError as error:
        raise Timeout(f"not finished within {seconds:g} s", task.id) from error
    else:
        if given.answer is None:
            replay.unread(given.text)
        verdict = given.answer["outcome"] if given.answer else verdict
        if given.problems:
            first = given.problems[0]
            known = {"truncated": "truncated", "bad_answer": "bad_answer"}
            end = End(known.get(first.code, "violation"), replace(first, at=first.at or 0))
    played = assemble(stage, task, replay.messages, replay.steps, replay.ledger, verdict, end)
    return await reviewed(stage, task, played)


class Replay:
    """An authored answer, turn by turn, on a fresh ledger."""

    def __init__(self, stage: Stage, task: Task) -> None:
        self.stage, self.task = stage, task
        self.domain, self.seed = stage.domains[task.domain], stage.seeds[task.seed_id]
        self._begin()

    def _begin(self) -> None:
        self.ledger: Ledger = self.stage.ledger(self.seed)
        self.messages: list[Message] = []
        self.steps: list[Step] = []

    def unread(self, text: str) -> None:
        """Hold `text`, which could not be read, and nothing of an earlier attempt."""
        self._begin()
        self.messages.append(speech("assistant", text[:REFUSED_CHARS]))

    def problems(self, answer: dict[str, Json]) -> list[Reason]:
        """Play `answer` from the beginning; the first problems met, or []."""
        self._begin()
        waiting: list[Call] = []
        for turn in answer["turns"]:
            if (turn["role"] == "world") != bool(waiting):
                return [self._bad(f"{turn['role']} speaks while {len(waiting)} calls wait")]
            problems = self._world(turn, waiting) if waiting else self._speak(turn)
            if problems:
                return problems
            last = len(self.messages) - 1
            waiting = (
                [c for c in calls_of(self.messages) if c.message == last]
                if turn["role"] == "agent"
                else []
            )
        return [self._bad("the last calls are not answered")] if waiting else []

    def _speak(self, turn: dict[str, Json]) -> list[Reason]:
        if turn["role"] == "user":
            self.messages.append(speech("user", turn["say"]))
            return []
        self.messages.append(script.agent_message(turn, len(self.steps)))
        return schemas.call_problems(turn["calls"], self.domain.tools, len(self.messages) - 1)

    def _world(self, turn: dict[str, Json], calls: list[Call]) -> list[Reason]:
        if len(turn["answers"]) != len(calls):
            return [self._bad(f"{len(turn['answers'])} answers to {len(calls)} calls")]
        for call, answer in zip(calls, turn["answers"], strict=True):
            if problems := self._step(call, answer):
                return problems
        return []

    def _step(self, call: Call, answer: dict[str, Json]) -> list[Reason]:
        touch(self.ledger, self.domain, call)
        before, text = self.ledger.hash, observed(answer["observation"])
        effects, shape = answer["effects"], self.stage.shapes.of(self.domain.name)
        verdicts = judge(self.domain, call, answer["applies"], effects, text, self.ledger)
        verdicts = verdicts or against_code(self.domain, call, answer, text, self.ledger.state)
        verdicts = verdicts or bad_effects(shape, self.ledger.state, effects, call.message)
        if not verdicts:
            self.ledger.apply(answer["effects"])
        step = Step(
            message=call.message,
            call_id=call.id,
            tool=call.tool,
            applies=answer["applies"],
            why=answer["why"],
            effects=tuple(answer["effects"]),
            source="model",
            state_before=before,
            state_after=self.ledger.hash,
            verdicts=tuple(verdicts),
        )
        self.steps.append(step)
        self.messages.append({"role": "tool", "tool_call_id": call.id, "content": text})
        return verdicts

    def _bad(self, what: str) -> Reason:
        return Reason("bad_answer", len(self.messages), what)


def _question(stage: Stage, task: Task) -> Question:
    domain, seed = stage.domains[task.domain], stage.seeds[task.seed_id]
    partner, render = stage.seeds.get(task.partner), stage.cast.prompts.render
    head = {
        "domain": {"name": domain.name, "description": domain.description},
        "policy": domain.policy,
        "tools": domain.tools,
        "kinds": dict(domain.kinds),
    }
    body = {
        "example": script.told(seed.messages),
        "partner": script.told(partner.messages) if partner else [],
        "state": shown_state(stage, task, seed, stage.ledger(seed)),
        "strategy": task.strategy,
        "persona": task.persona,
        "fault": task.fault,
    }
    schema = schemas.authored(domain.tools)
    return Question(
        role="author",
        key="0",
        messages=(
            speech("system", render("author.system", head)),
            speech("user", render("author.user", body)),
        ),
        guide=schema,
        schema=schemas.AUTHORED,
        context={
            "task": task,
            "seed_messages": list(seed.messages),
            "seed_effects": seed.meta.get("effects", {}),
            "meta": dict(seed.meta),
            "failure_prefixes": list(domain.failure_prefixes),
        },
        max_tokens=stage.pipeline.limits.tokens,
    )
