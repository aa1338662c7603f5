"""What the tests of both games share: scenes made from imported seeds, and a second process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import trajgen
from trajgen.importers import Imported
from trajgen.ledger import Ledger
from trajgen.records import Call, Seed, Task, calls_of
from trajgen.worlds import Answer, Episode, Scene

ROOT = Path(trajgen.__file__).parent.parent


def scene(imported: Imported, seed: Seed) -> Scene:
    task = Task("t", 0, imported.domain.name, seed.id, "rephrase", "plain", "", "", 1)
    return Scene(imported.domain, seed, task, Ledger(seed.state))


def make(episode: Episode, tool: str, **arguments: Any) -> Answer:
    return asyncio.run(episode.step(Call("c", tool, arguments, 0)))  # type: ignore[arg-type]


def observations(seed: Seed) -> list[str]:
    return [m["content"] for m in seed.messages if m["role"] == "tool"]


def replayed(episode: Episode, seed: Seed, ledger: Ledger) -> list[str]:
    """Make the seed's calls in the episode, applying what they change; what was seen."""
    seen = []
    for call in calls_of(seed.messages):
        answer = make(episode, call.tool, **call.arguments)
        assert answer.source == "real"
        assert answer.applies == seed.meta["applies"][call.id]
        assert list(answer.effects) == seed.meta["effects"].get(call.id, [])
        ledger.apply(answer.effects)
        seen.append(answer.observation)
    return seen


def in_a_process(program: str, hash_seed: str) -> str:
    """What a program prints in a fresh process with its own hash seed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    return done.stdout


def children(name: str) -> list[int]:
    """The ids of this process's children whose command holds `name`."""
    import psutil

    found = psutil.Process().children(recursive=True)
    return [p.pid for p in found if p.is_running() and name in " ".join(p.cmdline())]
