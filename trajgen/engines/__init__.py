"""What turns a prompt into text: one protocol, one file an engine.

`vllm` runs in process, on GPU or CPU; `openai` speaks to any OpenAI-compatible endpoint;
`scripted` answers deterministically, for tests and crash proofs.

Crash rule: an engine keeps nothing that cannot be lost. Every failure leaves it as one
of RequestError, EngineDead or Timeout, and the rollout that asked decides what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from trajgen.errors import InputError
from trajgen.loading import load_object
from trajgen.records import Json, Message, Tool

if TYPE_CHECKING:
    from trajgen.config.engine import EngineConfig

Role = Literal["user", "agent", "world", "scenario", "author", "judge"]


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt for one completion.

    `messages` are plain chat messages with the roles system, user and assistant. `schema`
    is a JSON schema that the text must fulfil; engines that can, constrain decoding to it.
    `context` is the plain data the prompt was rendered from: model engines ignore it, the
    scripted engine plays its role by it. `id` names the task and the call, for tracing.
    """

    id: str
    role: Role
    messages: tuple[Message, ...]
    seed: int
    max_tokens: int
    schema: Mapping[str, Json] | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    adapter: str | None = None
    context: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer to a request; `finish` is "length" when `max_tokens` cut it off.

    Counts are tokens; `cached_tokens` are those of the prompt that a prefix cache served.
    `request_id` is that of the request it answers, where the engine says so.
    """

    text: str
    finish: Literal["stop", "length"]
    prompt_tokens: int
    generated_tokens: int
    cached_tokens: int = 0
    request_id: str = ""


class Engine(Protocol):
    """Serves one model to many rollouts at once.

    `model` is the name that rows carry as lineage.
    """

    model: str

    async def start(self) -> None:
        """Load or connect. Raises MachineError when the engine cannot serve."""

    async def complete(self, request: Request) -> Completion:
        """Answer one request. Raises RequestError, EngineDead or Timeout."""

    def count_tokens(self, messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> list[int]:
        """Tokens each message takes in the model's chat template.

        The tools and whatever opens the conversation count with the first message.
        """

    async def close(self) -> None:
        """Stop and free everything, child processes included. Never raises."""


_KINDS = {
    "vllm": "trajgen.engines.vllm:VllmEngine",
    "openai": "trajgen.engines.openai:OpenAIEngine",
    "scripted": "trajgen.engines.scripted:ScriptedEngine",
}


def make_engine(config: EngineConfig, adapters: tuple[str, ...] = ()) -> Engine:
    """The engine of a pipeline's `engines:` entry; `kind` may be `package.module:Class`.

    `adapters` are what roles want to use on it. Raises InputError where it can have none.
    """
    make = load_object(_KINDS.get(config.kind, config.kind))
    if not adapters:
        engine: Engine = make(config)
    elif config.kind in ("vllm", "openai"):
        engine = make(config, adapters)
    else:
        raise InputError(f"engine kind {config.kind!r} has no adapters", "roles")
    return engine
