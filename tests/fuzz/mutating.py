"""An engine whose answers are wrong in a share of the cases, in ways that models are wrong."""

from __future__ import annotations

import json
import random
from dataclasses import replace

from tests.fuzz.mutation import deep, value_changed
from trajgen.config.engine import EngineConfig
from trajgen.engines import Completion, Request
from trajgen.engines.scripted import ScriptedEngine
from trajgen.ids import stream

SHARE = 0.3  # of the answers are mutated
ODD = (
    *("", " ", "{}", "[]", "null", "NaN", '{"say": NaN}', "no JSON at all", "```json\n{}\n```"),
    *("\ud800", '{"say": "\\ud800"}', "\0", "<|im_end|>", "{" * 3_000, "[" * 100_000),
    json.dumps(deep(70)),
    "so " * 350_000,
    json.dumps({"say": "x" * 1_000_000, "calls": [], "done": False, "outcome": "success"}),
    json.dumps({"observation": "y " * 500_000, "applies": True, "why": "", "effects": []}),
)


class Mutating(ScriptedEngine):
    """Plays its seed, and says a share of it wrongly."""

    mutated = 0

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self.model = "mutating"

    async def complete(self, request: Request) -> Completion:
        said = await super().complete(request)
        draw = stream("fuzz", request.id)
        if draw.random() >= SHARE:
            return said
        Mutating.mutated += 1
        finish = draw.choice(["stop", "stop", "length"])
        return replace(said, text=wrong(said.text, draw), finish=finish)


def wrong(text: str, draw: random.Random) -> str:
    how = draw.random()
    if how < 0.15:
        return draw.choice(ODD)
    if how < 0.4:
        return _characters_changed(text, draw)
    return json.dumps(value_changed(json.loads(text), draw), ensure_ascii=draw.random() < 0.5)


def _characters_changed(text: str, draw: random.Random) -> str:
    for _ in range(draw.randint(1, 3)):
        at, end = sorted(draw.choices(range(len(text) + 1), k=2))
        other = draw.choice(["", text[at : at + 9] * 2, draw.choice('{}[]",:\\0é\ud800\x00')])
        text = text[:at] + other + text[min(end, at + 40) :]
    return text
