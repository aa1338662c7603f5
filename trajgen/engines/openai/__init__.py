"""Any OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp, hosted models.

`response_format`, `seed` and `max_tokens` are sent until a server refuses them and
answers without.

Crash rule: a request is asked again as a whole, never continued; nothing is kept of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from trajgen.engines import Completion, Request
from trajgen.engines.openai.connection import Body, Connection, Refused
from trajgen.engines.tokens import TokenCounter, estimate, load_tokenizer
from trajgen.errors import MachineError, RolloutError
from trajgen.records import Message, Tool

if TYPE_CHECKING:
    from trajgen.config.engine import EngineConfig

_log = logging.getLogger(__name__)


class OpenAIEngine:
    """The engine `kind: openai`.

    Tokens are counted with `tokenizer` when the pipeline names one, else estimated (four
    UTF-8 bytes a token and 4 a message). The counts of a completion are the server's
    `usage`; where a server sends none they are the same estimate. An adapter is asked for
    by its name in place of the model's, so the server must serve it under that name.
    """

    def __init__(self, config: EngineConfig, adapters: tuple[str, ...] = ()) -> None:
        self._config, self._adapters = config, adapters
        self._connection = Connection(config)
        self.model = config.model
        self._refused: set[str] = set()
        self._accepted: set[str] = set()
        self._counter: TokenCounter | None = None

    @property
    def share(self) -> float:
        """Of `max_num_seqs`, how much the endpoint takes at once: 0 to 1."""
        return self._connection.concurrency.share

    async def start(self) -> None:
        """Connect, and settle which model answers. Raises MachineError when it cannot serve."""
        await self.close()
        self._connection.open()
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.close)
            self.model = self._choose_model(await self._served())
            if self._config.tokenizer:
                await asyncio.to_thread(self._tokens)
            undo.pop_all()

    async def complete(self, request: Request) -> Completion:
        """Answer one request. Raises RequestError, EngineDead or Timeout."""
        body = _leave_out(self._body(request), self._refused)
        try:
            completion = await self._connection.complete(body)
        except Refused as refusal:
            return await self._ask_plainly(body, refusal)
        self._accepted.update(body)
        return completion

    def count_tokens(self, messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> list[int]:
        """Tokens of each message by the tokenizer, or estimated when there is none."""
        return (
            self._tokens().count(messages, tools)
            if self._config.tokenizer
            else estimate(messages, tools)
        )

    async def close(self) -> None:
        """Close the connection; requests under way end as EngineDead or Timeout."""
        await self._connection.close()

    def _tokens(self) -> TokenCounter:
        if self._counter is None:
            self._counter = TokenCounter(load_tokenizer(self._config.tokenizer or ""))
        return self._counter

    def _body(self, request: Request) -> Body:
        body: Body = {
            "model": request.adapter or self.model,
            "messages": list(request.messages),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
        }
        if request.schema is not None and self._config.structured_output:
            schema = {"name": request.role, "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    async def _ask_plainly(self, body: Body, refusal: Refused) -> Completion:
        """Ask without what the server may not know; what helps is left out from then on.

        A server says why it refuses only in words, so the next answer decides, not they.
        A field it took before is not forgotten: then this one request was the matter.
        """
        for dropped in self._suspects(body, refusal.param):
            try:
                completion = await self._connection.complete(_leave_out(body, dropped))
            except Refused:
                continue
            for name in sorted(dropped - self._accepted - self._refused):
                self._refused.add(name)
                _log.warning(
                    "%s refuses %s: asking without it from now on", self._connection.where, name
                )
            return completion
        raise refusal.error

    def _suspects(self, body: Body, param: str) -> Iterator[set[str]]:
        fields = [n for n in ("response_format", "seed") if n in body]
        fields = [n for n in fields if n == "response_format" or n not in self._accepted]
        if param == "max_tokens" and "max_tokens" in body and "max_tokens" not in self._accepted:
            yield {"max_tokens"}
        for name in sorted(fields, key=lambda n: n != param):
            yield {name}
        if len(fields) > 1:
            yield set(fields)

    async def _served(self) -> dict[str, bool] | None:
        try:
            return await self._connection.models()
        except (Refused, RolloutError) as error:
            told = error.error if isinstance(error, Refused) else error
            raise MachineError(
                told.what,
                told.where,
                "Start the server, or check base_url (it ends in /v1 as a rule) and api_key.",
            ) from error

    def _choose_model(self, served: dict[str, bool] | None) -> str:
        wanted = self._config.model
        for name in (wanted, *self._adapters):
            if name and served and name not in served and f"models/{name}" not in served:
                raise self._offer(f"the model {name!r} is not served", served)
        models = [name for name, adapter in (served or {}).items() if not adapter]
        if not wanted and len(models) != 1:
            raise self._offer("no model is named", served)
        return wanted or models[0]

    def _offer(self, what: str, served: dict[str, bool] | None) -> MachineError:
        offer = ", ".join(self._connection.clean(name) for name in list(served or {})[:20])
        return MachineError(
            what, self._connection.where, f"Set `model`; the server offers: {offer or 'no list'}"
        )


def _leave_out(body: Body, names: set[str]) -> Body:
    """`body` without `names`; hosted models renamed max_tokens, so that one stays as a bound."""
    left = {key: value for key, value in body.items() if key not in names}
    if "max_tokens" in names and "max_tokens" in body:
        left["max_completion_tokens"] = body["max_tokens"]
    return left
