"""The engine of the tail: the scripted one, slow for some tasks, and a log of who asked when."""

from __future__ import annotations

import asyncio
import json
import os
import time
import zlib
from pathlib import Path

from trajgen.config.engine import EngineConfig
from trajgen.engines import Completion, Request
from trajgen.engines.scripted import ScriptedEngine

ONE_IN, TIMES = 20, 10
LOG, DELAY_MS = "TAIL_LOG", "TAIL_DELAY_MS"  # in the environment, which workers inherit


def is_long(task: str) -> bool:
    """Whether a task is one of those that take longer."""
    return zlib.crc32(task.encode()) % ONE_IN == 0


class Tail(ScriptedEngine):
    """Answers after a fixed time, `TIMES` as long for long tasks; writes its log when closed."""

    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._delay_s = float(os.environ[DELAY_MS]) / 1000
        self._calls: dict[str, int] = {}
        self._first = 0.0

    async def complete(self, request: Request) -> Completion:
        """Answer one request."""
        self._first = self._first or time.time()
        task = request.id.partition("/")[0]
        self._calls[task] = self._calls.get(task, 0) + 1
        await asyncio.sleep(self._delay_s * (TIMES if is_long(task) else 1))
        return await super().complete(request)

    async def close(self) -> None:
        """Write when the first request came, and how many each task made, in their order."""
        await super().close()
        log = {"first": self._first, "calls": self._calls}
        Path(os.environ[LOG]).write_text(json.dumps(log), "utf-8")
