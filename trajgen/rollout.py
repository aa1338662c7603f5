"""One task played to its end: user, agent and world take turns; code keeps the state.

Three views of one conversation: the user sees only what the agent says, the agent sees the
user and the observations, the world sees calls and state. Every prompt is the last one plus
what is new, so a prefix cache serves the rest.

Crash rule: a rollout is pure but for its engines. A lost one is played again under the same
id with the same sampling seeds; nothing is written before its shard is committed.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count

from trajgen import schemas, script, views
from trajgen.cast import Given, Question, speech
from trajgen.control_tokens import token_in
from trajgen.errors import PromptTooLong, Timeout
from trajgen.faults import planned_call, planned_fault
from trajgen.filters import FAMILIES, select
from trajgen.filters.loops import Repeats
from trajgen.filters.reading import Exchange
from trajgen.judge import reviewed
from trajgen.ledger import Ledger
from trajgen.records import Call, Json, Message, Reason, Step, Task, Trajectory, calls_of
from trajgen.scenario import set_scene
from trajgen.stage import Stage, touch
from trajgen.trajectories import End, assemble
from trajgen.worlds import Answer, Scene

REFUSED_CHARS = 2000  # of an answer that could not stand, kept for the reviewer


class Ended(Exception):
    """The rollout is over: `end` says how and why."""

    def __init__(self, how: str, cause: Reason) -> None:
        super().__init__(how, cause)
        self.end = End(how, cause)


class Rollout:
    """The state of one task in play: its messages, steps and ledger."""

    def __init__(self, stage: Stage, task: Task) -> None:
        self.stage, self.task = stage, task
        self.limits = stage.pipeline.limits
        self.domain = stage.domains[task.domain]
        self.seed = stage.seeds[task.seed_id]
        self.ledger: Ledger = stage.ledger(self.seed)
        self.messages: list[Message] = []
        self.steps: list[Step] = []
        self.verdict = "failure"
        self.instruction = ""
        self.goal: tuple[dict[str, Json], ...] = ()
        self.fault_at = planned_call(task)
        self.reached: bool | None = None
        self.repeats = Repeats(self.domain)
        self.looked_over = {"user": 0, "agent": 0}  # messages of each view

    async def play(self) -> Trajectory:
        """The finished trajectory, reasons included.

        Raises RequestError, EngineDead or Timeout; a broken answer ends the rollout instead.
        """
        end = End()
        try:
            async with asyncio.timeout(self.limits.seconds):
                await self._turns()
        except Ended as ended:
            end = ended.end
        except PromptTooLong as error:
            end = End("tokens", self._too_long(error.what))
        except TimeoutError as error:
            raise Timeout(f"not finished within {self.limits.seconds:g} s", self.task.id) from error
        trajectory = assemble(
            self.stage,
            self.task,
            self.messages,
            self.steps,
            self.ledger,
            self.verdict,
            end,
            self.reached,
            self.goal,
        )
        return await reviewed(self.stage, self.task, trajectory, self.instruction)

    async def _turns(self) -> None:
        opening = await set_scene(self.stage, self.task, self.ledger)
        self._end_on(opening.problems)
        self.instruction, self.goal = opening.instruction, opening.goal
        self.ledger = self.ledger.fork()  # the conversation begins in the scenario's state
        scene = Scene(self.domain, self.seed, self.task, self.ledger)
        self.episode = self.stage.world.begin(scene)
        try:
            await self._converse()
            self.reached = self.episode.reached()
        finally:
            self.episode.close()

    async def _converse(self) -> None:
        prompts, domain = self.stage.cast.prompts, self.domain
        self.user_view = views.user_begins(prompts, domain, self.instruction, self.task.persona)
        self.agent_view = views.agent_begins(prompts, domain, self.seed.messages)
        for turn in count():
            if await self._user_turn(turn):
                return
            await self._agent_turn()

    async def _user_turn(self, turn: int) -> bool:
        """The user speaks; True when they have nothing more to say."""
        context = {"instruction": self.instruction, "messages": self.messages}
        schema = schemas.USER if turn else schemas.USER_FIRST
        question = self._question("user", str(turn), self.user_view, schema, context)
        given = await self.stage.cast.ask(self.task, question, _said)
        self._end_on(given.problems, "user", given.text)
        said = given.answer or {}
        self.verdict = said["outcome"]
        if said["done"]:
            return True
        if turn == self.limits.turns:
            raise Ended("turns", self._too_long(f"no end after {turn} turns of the user"))
        self.messages.append(speech("user", said["say"]))
        self.user_view.append(speech("assistant", given.text))
        self.agent_view.append(speech("user", said["say"]))
        return False

    async def _agent_turn(self) -> None:
        """The agent acts until it speaks to the user."""
        while True:
            given = await self._ask_agent()
            answer = given.answer or {}
            message = script.agent_message(answer, len(self.steps))
            self.messages.append(message)
            self.agent_view.append(speech("assistant", given.text))
            if not answer["calls"]:
                self.user_view.append(speech("user", answer["say"]))
                return
            made = self._made()
            observed = [await self._step(call) for call in made]
            self.agent_view.append(views.results(self.stage.cast.prompts, observed))
            self._within_limits(given)
            self._unless_looping(made, observed)

    async def _ask_agent(self) -> Given:
        faulted = [step.call_id for step in self.steps if step.fault]
        context = {"messages": self.messages, "faulted": faulted}
        guide = self.stage.action(self.domain)
        question = self._question(
            "agent",
            str(len(self.messages)),
            self.agent_view,
            guide,
            context,
        )
        given = await self.stage.cast.ask(self.task, question, self._action_problems)
        self._end_on(given.problems, "agent", given.text, given.answer)
        return given

    def _made(self) -> list[Call]:
        at = len(self.messages) - 1
        return list(calls_of(self.messages, at))

    async def _step(self, call: Call) -> Message:
        """One call: the world answers, code applies it; the tool message is returned."""
        touch(self.ledger, self.domain, call)
        before, faulted = self.ledger.hash, len(self.steps) == self.fault_at
        answer = self._fault(call) if faulted else await self.episode.step(call)
        answer = _unforged(answer, call)
        if not answer.verdicts:
            self.ledger.apply(answer.effects)
        fault = self.task.fault if faulted else None
        self.steps.append(answer.step(call, before, self.ledger.hash, fault))
        result: Message = {"role": "tool", "tool_call_id": call.id, "content": answer.observation}
        self.messages.append(result)
        if answer.verdicts:
            raise Ended("violation", answer.verdicts[0])
        self.episode.observe(call, answer)
        return result

    def _fault(self, call: Call) -> Answer:
        in_json = self.stage.examples[self.domain.name].in_json(call.tool)
        return planned_fault(self.task, self.domain, in_json)

    def _action_problems(self, answer: dict[str, Json]) -> list[Reason]:
        at = len(self.messages)
        if not answer["calls"] and not answer["say"].strip():
            return [Reason("empty_turn", at, "say something or call a tool")]
        return schemas.call_problems(answer["calls"], self.domain.tools, at)

    def _within_limits(self, given: Given) -> None:
        if len(self.steps) >= self.limits.tool_calls:
            text = f"no answer after {len(self.steps)} tool calls"
            raise Ended("tool_calls", self._too_long(text))
        if given.tokens >= self.limits.tokens:
            text = f"{given.tokens} tokens of {self.limits.tokens}"
            raise Ended("tokens", self._too_long(text))

    def _unless_looping(self, made: list[Call], observed: list[Message]) -> None:
        """End a rollout that goes in circles: what follows would be more of the same. Looks at
        the calls of this turn; those before it were looked at in theirs."""
        if FAMILIES["tools"] not in select(self.stage.pipeline.filters):
            return
        steps = self.steps[-len(made) :]
        for offset, (call, result, step) in enumerate(zip(made, observed, steps, strict=True)):
            exchange = Exchange(call, call.message + 1 + offset, result["content"])
            if step.fault is None and (
                reason := self.repeats.after(exchange, step.state_after, self.messages)
            ):
                raise Ended("violation", reason)

    def _too_long(self, text: str) -> Reason:
        return Reason("too_long", max(len(self.messages) - 1, 0), text)

    def _end_on(
        self,
        problems: list[Reason] | tuple[Reason, ...],
        role: str = "scenario",
        text: str = "",
        answer: dict[str, Json] | None = None,
    ) -> None:
        """End the rollout when an answer could not stand; what was said is kept to be read."""
        if not problems:
            return
        if role == "agent":
            kept = script.agent_message(answer, len(self.steps)) if answer else None
            self.messages.append(kept or speech("assistant", text[:REFUSED_CHARS]))
        how = "truncated" if problems[0].code == "truncated" else "bad_answer"
        at = max(len(self.messages) - 1, 0) if problems[0].at is None else problems[0].at
        raise Ended(how, replace(problems[0], at=at))

    def _question(
        self,
        role: str,
        key: str,
        view: list[Message],
        guide: dict[str, Json],
        context: dict[str, Json],
    ) -> Question:
        shared = {"task": self.task, "seed_messages": list(self.seed.messages)}
        looked_over, self.looked_over[role] = self.looked_over[role], len(view)
        return Question(
            role="agent" if role == "agent" else "user",
            key=key,
            messages=tuple(view),
            guide=guide,
            schema=schemas.ACTION if role == "agent" else guide,
            context={**shared, **context, "messages": list(self.messages)},
            looked_over=looked_over,
        )


def _unforged(answer: Answer, call: Call) -> Answer:
    """`answer`, refused where it holds a chat control token: code may have put one together
    from harmless parts, and nobody looked over a real environment's texts."""
    token = token_in([answer.why, answer.observation, list(answer.effects)])
    if token is None or answer.verdicts:
        return answer
    reason = Reason("control_tokens", call.message, f"the answer to {call.tool}: {token!r}")
    return replace(answer, verdicts=(reason,))


def _said(answer: dict[str, Json]) -> list[Reason]:
    if answer["done"]:
        return []
    if not answer["say"].strip():
        return [Reason("empty_turn", None, "user: say something, or be done")]
    return []
