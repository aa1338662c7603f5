"""Who plays which role: one question, one typed answer, asked again when it cannot stand.

Each role has its own engine, sampling and view. An answer that breaks its schema or a check
goes back with what was wrong, up to `rollout.attempts` times; what still breaks then is
returned with its problems, for the rollout to end on. Where the prompt `feedback` says
nothing, the question is asked anew instead, as long as another answer can come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from trajgen.config import Pipeline, RoleConfig
from trajgen.control_tokens import find_control_token, is_marked, token_in
from trajgen.engines import Completion, Engine, Request, Role
from trajgen.errors import RequestError
from trajgen.ids import sampling_seed
from trajgen.prompts import Prompts
from trajgen.records import Json, Message, Reason, Task
from trajgen.schemas import BadAnswer, parse_answer

Check = Callable[[dict[str, Json]], list[Reason]]
FEEDBACK_CHARS = 2000  # of a refused answer, shown again


@dataclass(slots=True)
class Usage:
    """Tokens spent so far, and model calls."""

    prompt: int = 0
    cached: int = 0
    generated: int = 0
    calls: int = 0

    def add(self, completion: Completion) -> None:
        self.prompt += completion.prompt_tokens
        self.cached += completion.cached_tokens
        self.generated += completion.generated_tokens
        self.calls += 1


@dataclass(frozen=True, slots=True)
class Question:
    """What a role is asked: its prompt, the schema that constrains decoding, the schema that
    the answer is held to, and the plain data behind the prompt. Its first `looked_over` messages
    went out with an earlier question."""

    role: Role
    key: str
    messages: tuple[Message, ...]
    guide: Mapping[str, Json]
    schema: Mapping[str, Json]
    context: Mapping[str, Json]
    max_tokens: int | None = None
    looked_over: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """A role's answer after `attempts`; `problems` is empty when it stands. `answer` is None
    when not even its form was right; `text` is the last completion as it came."""

    answer: dict[str, Json] | None
    text: str
    attempts: int
    tokens: int
    problems: tuple[Reason, ...] = ()


@dataclass(slots=True)
class Cast:
    """The engines behind the roles, their prompts, and what they used."""

    pipeline: Pipeline
    prompts: Prompts
    engines: Mapping[str, Engine]
    usage: Usage = field(default_factory=Usage)

    def role(self, role: Role) -> RoleConfig:
        """The settings of `role`: the user's engine plans scenarios, the agent's authors."""
        roles = self.pipeline.roles
        by_role = {"world": roles.world, "agent": roles.agent, "author": roles.agent}
        if role == "judge" and roles.judge is not None:
            return roles.judge
        return by_role.get(role, roles.user)

    def engine(self, role: Role) -> Engine:
        return self.engines[self.role(role).engine]

    async def ask(self, task: Task, question: Question, check: Check) -> Given:
        """The answer to `question`. Engine errors pass through by type."""
        messages, spent = question.messages, 0
        attempts = self.pipeline.rollout.attempts
        for attempt in range(1, attempts + 1):
            completion = await self._complete(task, question, messages, attempt)
            spent = completion.prompt_tokens + completion.generated_tokens
            answer, problems = _judge(completion, question, check)
            if not problems or attempt == attempts:
                return Given(answer, completion.text, attempt, spent, tuple(problems))
            told = self._feedback(completion.text, problems)
            if not told and self.role(question.role).temperature == 0:  # it would say the same
                return Given(answer, completion.text, attempt, spent, tuple(problems))
            messages = (*question.messages, *told)
        raise RequestError("rollout.attempts must be at least 1")

    async def _complete(
        self, task: Task, question: Question, messages: tuple[Message, ...], attempt: int
    ) -> Completion:
        role = self.role(question.role)
        _refuse_forged(messages[question.looked_over :], question.role)
        request = Request(
            id=f"{task.id}/{question.role}/{question.key}/{attempt}",
            role=question.role,
            messages=messages,
            schema=question.guide,
            seed=sampling_seed(task.id, question.role, question.key, attempt),
            temperature=role.temperature,
            top_p=role.top_p,
            max_tokens=question.max_tokens or role.max_tokens,
            adapter=role.adapter,
            context=question.context,
        )
        completion = await self.engines[role.engine].complete(request)
        self.usage.add(completion)
        return completion

    def _feedback(self, text: str, problems: list[Reason]) -> tuple[Message, ...]:
        found = [_harmless(f"{problem.code}: {problem.detail}") for problem in problems]
        told = self.prompts.render("feedback", {"problems": found})
        return (speech("assistant", _harmless(text) or "{}"), speech("user", told)) if told else ()


def _judge(
    completion: Completion, question: Question, check: Check
) -> tuple[dict[str, Json] | None, list[Reason]]:
    try:
        answer = parse_answer(completion.text, question.schema)
    except BadAnswer as error:
        code = "truncated" if completion.finish == "length" else "bad_answer"
        return None, [Reason(code, None, f"{question.role}: {error}")]
    return answer, check(answer) or _forged(answer, completion.text, question.role)


def _forged(answer: dict[str, Json], text: str, role: Role) -> list[Reason]:
    """Both may come into a prompt: of a key said twice only `text` holds the first value, and
    what is escaped in it only `answer` holds plainly."""
    if "\\" not in text and not is_marked(text):
        return []
    token = token_in(answer) or find_control_token(text)
    return [Reason("control_tokens", None, f"{role}: {token!r}")] if token else []


def _refuse_forged(messages: tuple[Message, ...], role: Role) -> None:
    """The last look before a prompt leaves: each part of it was looked at where it came in,
    and two harmless parts can make a control token."""
    for message in messages:
        if token := find_control_token(message["content"]):
            raise RequestError(f"the prompt of {role} would hold the control token {token!r}")


def _harmless(text: str) -> str:
    """The beginning of `text` as a prompt may hold it: without chat control tokens."""
    text = text[:FEEDBACK_CHARS]
    while token := find_control_token(text):
        text = text.replace(token, "\u2026")
    return text


def speech(role: str, text: str) -> Message:
    """A plain chat message."""
    return {"role": role, "content": text}
