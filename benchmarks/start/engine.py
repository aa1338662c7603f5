"""The scripted engine, with a clock: it notes when it is asked first."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.start.clock import FIRST
from trajgen.engines import Completion, Request
from trajgen.engines.scripted import ScriptedEngine


class Clock(ScriptedEngine):
    """The scripted engine; notes when it is asked first."""

    async def complete(self, request: Request) -> Completion:
        """Answer one request."""
        if not (file := Path(os.environ[FIRST])).exists():
            file.write_text(repr(time.time()), "utf-8")
        return await super().complete(request)
