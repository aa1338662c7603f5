"""The mock endpoint as a process that is started, asked and ended."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where it is."""

    port: int

    @property
    def origin(self) -> str:
        """Without the path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """As OpenAI clients want it."""
        return f"{self.origin}/v1"

    def stats(self) -> dict[str, Any]:
        """What was served since this was last asked."""
        with urllib.request.urlopen(f"{self.origin}/stats", timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@contextmanager
def endpoint(answers: Path, kept: Path | None = None) -> Iterator[Endpoint]:
    """The endpoint while this is open."""
    command = [sys.executable, "-m", "benchmarks.endpoint.mock", str(answers)]
    command += ["--keep", str(kept)] if kept else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPO) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.strip().isdigit():
                raise SystemExit("the mock endpoint did not start")
            yield Endpoint(int(line))
        finally:
            process.terminate()
