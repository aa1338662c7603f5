"""Engines that keep what they were asked and what they answered, in the order of asking."""

from __future__ import annotations

from dataclasses import dataclass

from trajgen.engines import Completion, Request
from trajgen.engines.scripted import ScriptedEngine
from trajgen.engines.vllm import VllmEngine


@dataclass(slots=True)
class Asked:
    """One request, and its answer once it is there."""

    request: Request
    completion: Completion | None = None

    @property
    def task(self) -> str:
        """The conversation's id."""
        return self.request.id.partition("/")[0]


ASKED: list[Asked] = []  # by the run that is under way in this process


class Scripted(ScriptedEngine):
    """The scripted engine, kept."""

    async def complete(self, request: Request) -> Completion:
        """Answer one request, and keep both."""
        ASKED.append(kept := Asked(request))
        kept.completion = await super().complete(request)
        return kept.completion


class Vllm(VllmEngine):
    """vLLM, kept."""

    async def complete(self, request: Request) -> Completion:
        """Answer one request, and keep both."""
        ASKED.append(kept := Asked(request))
        kept.completion = await super().complete(request)
        return kept.completion
