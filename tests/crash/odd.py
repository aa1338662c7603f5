"""An engine and a filter that misbehave when the environment says so: nothing of it is in the
pipeline file, so what a run holds does not depend on it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

from trajgen.engines.scripted import ScriptedEngine
from trajgen.records import Domain, Reason, Trajectory

CLOSE, FILTER = "ODD_CLOSE", "ODD_FILTER"
_calls = 0


class Engine(ScriptedEngine):
    """Scripted; closing it raises, or hangs."""

    async def close(self) -> None:
        await super().close()
        how = os.environ.get(CLOSE, "")
        if how == "raise":
            raise RuntimeError("cannot close")
        if how == "hang":
            await asyncio.Event().wait()


def check(trajectory: Trajectory, domain: Domain) -> Iterator[Reason]:
    """No reason at all; `interrupt N` interrupts at the Nth call, `raise ID` fails on a task."""
    global _calls
    _calls += 1
    how, _, which = os.environ.get(FILTER, "").partition(" ")
    if how == "interrupt" and _calls == int(which):
        raise KeyboardInterrupt
    if how == "raise" and trajectory.id == which:
        raise ZeroDivisionError("in a filter")
    yield from ()


def odd(script: dict[str, Any]) -> dict[str, Any]:
    """The changes to a small pipeline that make it use both."""
    engine = {"kind": "tests.crash.odd:Engine", "script": script, "max_num_seqs": 8}
    return {"engines": {"main": engine}, "filters": ["default", "tests.crash.odd:check"]}
