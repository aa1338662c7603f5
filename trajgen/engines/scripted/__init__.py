"""Plays every role from its seed, without a model: for tests, dry runs and crash proofs.

An answer depends on the request's role, context and seed and on nothing else: no clock,
no order of arrival, no shared random state. Played well, the user says what the seed's
user says in words of the task's own, the agent does what the seed's agent does and
repeats a call that a planned fault hit, and the world answers as it did in the seed.
`script:` says how often a role is played badly, how slowly, and which tasks hang, are
refused or kill the engine.

Crash rule: this engine is there to crash; it holds nothing.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Sequence
from typing import Literal

from pydantic import ValidationError

from trajgen.config.engine import EngineConfig
from trajgen.engines import Completion, Request
from trajgen.engines.scripted.badly import play_badly
from trajgen.engines.scripted.context import as_text, task_id
from trajgen.engines.scripted.script import Script
from trajgen.engines.scripted.well import play_well
from trajgen.errors import EngineDead, InputError, RequestError
from trajgen.ids import stream
from trajgen.json_text import canonical
from trajgen.pipeline_file import explain
from trajgen.records import Message, Tool


class ScriptedEngine:
    """The engine `kind: scripted`.

    A token is four characters, rounded up, and a message takes one more for its role.
    Answers are never cut at `max_tokens`, and no prompt is ever too long.
    """

    def __init__(self, config: EngineConfig) -> None:
        try:
            self._script = Script.model_validate(config.script)
        except ValidationError as error:
            raise InputError(explain(error, Script), "script") from error
        self.model = config.model or "scripted"
        self._dead = ""
        self._closed = asyncio.Event()

    async def start(self) -> None:
        """Ready at once; a dead engine lives again."""
        self._dead = ""
        self._closed = asyncio.Event()

    async def complete(self, request: Request) -> Completion:
        """Answer one request. Raises RequestError or EngineDead as the script says."""
        await self._cues(request)
        await asyncio.sleep(self._seconds(request))
        self._alive()
        text, finish = self._play(request)
        prompt = sum(self.count_tokens(request.messages, ()))
        return Completion(text, finish, prompt, _size(text), request_id=request.id)

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        """Tokens of each message, its calls as JSON; the tools count with the first."""
        counts = [1 + _size(_plain(message)) for message in messages]
        if counts and tools:
            counts[0] += _size(canonical(list(tools)))
        return counts

    async def close(self) -> None:
        """Ends requests that hang, as EngineDead."""
        self._dead = "closed"
        self._closed.set()

    def _alive(self) -> None:
        if self._dead:
            raise EngineDead(f"the scripted engine is {self._dead}", fix="Start it again.")

    async def _cues(self, request: Request) -> None:
        self._alive()
        script, task = self._script, task_id(request.context)
        if task in script.refuse.tasks:
            raise RequestError("refused, as the script says", task)
        if task in script.die.tasks or _chance(request, "die").random() < script.die.rate:
            if script.die.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            self._dead = "dead, as the script says"
            self._alive()
        if task in script.hang.tasks:
            await self._closed.wait()

    def _seconds(self, request: Request) -> float:
        delay = self._script.delay_ms
        slow = _chance(request, "delay").random() < delay.tail_rate
        return (delay.tail if slow else delay.base) / 1000

    def _play(self, request: Request) -> tuple[str, Literal["stop", "length"]]:
        answer = play_well(request)
        chance = _chance(request, "quality")
        if chance.random() < self._script.quality.get(request.role, 1.0):
            return as_text(answer), "stop"
        return play_badly(request.role, answer, request.context, chance)


def _chance(request: Request, purpose: str) -> random.Random:
    return stream("scripted", purpose, request.role, task_id(request.context), request.seed)


def _plain(message: Message) -> str:
    text: str = message.get("content", "")
    calls = message.get("tool_calls")
    return text + canonical(calls) if calls else text


def _size(text: str) -> int:
    return -(-len(text) // 4)
