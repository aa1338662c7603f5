"""Any engine, held to its protocol: each request gets its own answer, in time, or an error.

A request that is not answered within the limit is a Timeout. Where no other was answered
meanwhile either, the engine hangs, and that is its death: it has to be started anew. So is an
answer that is none, or that belongs to another request: no task ever sees it.

Crash rule: nothing is kept but the time of the last answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace

from trajgen.config.engine import EngineConfig
from trajgen.engines import Completion, Engine, Request
from trajgen.errors import EngineDead, EngineHangs, Timeout
from trajgen.records import Message, Tool

_log = logging.getLogger("trajgen")

CLOSE_S = 3.0
MARGIN_S = 0.5  # over the engine's own limit, whose message says more


class WatchedEngine:
    """`engine` as it is, but for what breaks its protocol; `margin_s` over its time limits."""

    def __init__(self, engine: Engine, config: EngineConfig, margin_s: float = MARGIN_S) -> None:
        self.engine, self.config, self.margin_s = engine, config, margin_s
        self.model = engine.model
        self._answered = 0.0

    @property
    def share(self) -> float:
        """Of the requests it is set up for, how many it can take at once: 0 to 1."""
        return getattr(self.engine, "share", 1.0)

    async def start(self) -> None:
        """Start the engine; how long that may take is for the worker to say."""
        await self.engine.start()
        self.model = self.engine.model  # some learn it now

    async def complete(self, request: Request) -> Completion:
        """The engine's answer to this request. Raises RequestError, EngineDead, EngineHangs or
        Timeout."""
        began = time.monotonic()
        try:
            completion = await self._in_time(request)
        except Timeout as late:
            if self._answered >= began:
                raise
            raise EngineHangs(
                f"no request was answered for {time.monotonic() - began:.0f} s ({late.what})",
                late.where,
            ) from late
        self._answered = time.monotonic()
        return _held(completion, request)

    def count_tokens(self, messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> list[int]:
        """Tokens of each message. Raises EngineDead for another number of them."""
        counts = self.engine.count_tokens(messages, tools)
        if len(counts) != len(messages):
            raise EngineDead(f"the engine counts {len(counts)} messages, not {len(messages)}")
        return counts

    async def close(self) -> None:
        """Close the engine, for CLOSE_S; an error of its own is told and goes no further."""
        closing = asyncio.ensure_future(self.engine.close())
        await asyncio.wait([closing], timeout=CLOSE_S)
        if not closing.done():
            closing.cancel()
        elif not closing.cancelled() and (error := closing.exception()) is not None:
            _log.warning("the engine %s does not close: %r", self.model, error)

    async def _in_time(self, request: Request) -> Completion:
        limit_s = self.config.answer_limit_s
        try:
            async with asyncio.timeout(limit_s + self.margin_s):
                return await self.engine.complete(request)
        except TimeoutError as error:
            raise Timeout(f"no answer within {limit_s:g} s", request.id) from error


def _held(completion: Completion, request: Request) -> Completion:
    """The answer, if it is one, and this request's; text that no file can hold is mended."""
    if not isinstance(completion, Completion) or not isinstance(completion.text, str):
        what = type(completion).__name__
        raise EngineDead(f"the engine answered with something else ({what})", request.id)
    if completion.request_id not in ("", request.id):
        raise EngineDead(f"the engine gave the answer to {completion.request_id}", request.id)
    if completion.text.isascii():
        return completion
    text = completion.text.encode("utf-8", "replace").decode("utf-8")
    return completion if text == completion.text else replace(completion, text=text)
