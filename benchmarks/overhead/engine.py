"""An engine that answers what the scripted one answered, from a table."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

from trajgen.config.engine import EngineConfig
from trajgen.engines import Completion, Request
from trajgen.engines.scripted import ScriptedEngine

CHARS = 4  # of a token, about


class Recording(ScriptedEngine):
    """The scripted engine, whose answers of a megabyte are cut at `max_tokens` as a model's are;
    `answers` takes what it said, by the id of the request."""

    def __init__(self, config: EngineConfig, answers: dict[str, tuple[str, str, int, int]]) -> None:
        super().__init__(config)
        self.answers = answers

    async def complete(self, request: Request) -> Completion:
        said = await super().complete(request)
        most = request.max_tokens
        if said.generated_tokens > most:
            cut = said.text[: most * CHARS]
            said = replace(said, text=cut, finish="length", generated_tokens=most)
        tokens = said.prompt_tokens, said.generated_tokens
        self.answers[request.id] = (said.text, said.finish, *tokens)
        return said


class Replay(ScriptedEngine):
    """Gives the answers of a file that `Recording` filled; `calls` and `tokens` count them."""

    def __init__(self, config: EngineConfig, file: Path) -> None:
        super().__init__(config)
        self.answers = json.loads(file.read_text("utf-8"))
        self.calls = self.tokens = 0

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(0)  # the others' turn, as in any engine
        self.calls += 1
        text, finish, prompt, generated = self.answers[request.id]
        self.tokens += generated
        return Completion(text, finish, prompt, generated, request_id=request.id)
