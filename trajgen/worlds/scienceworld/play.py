"""A task of ScienceWorld in play: one action at a time, its text, and the state around it.

The state is noted after each call that was carried out; what time alone did meanwhile
counts to that call. A call that fails changes nothing of it.
"""

from __future__ import annotations

from typing import Any

from trajgen.errors import InputError
from trajgen.records import Json
from trajgen.worlds.scienceworld.objects import Objects, doors
from trajgen.worlds.scienceworld.server import Server
from trajgen.worlds.scienceworld.tools import (
    FAILED,
    FAILURES,
    READS,
    UNKNOWN,
    command,
    refused,
    told,
)


class Play:
    """One task, such as `boil-3`: its name and the number of a variation.

    Raises InputError when there is none, and as the server does.
    """

    def __init__(self, server: Server, task: str, gold: bool = False) -> None:
        name, _, number = task.rpartition("-")
        self._server, self.task, self._steps = server, task, 0
        self._simulation: Any = server.simulation()
        check_task(self._simulation, name, number, task)
        server.settle(task)
        self._simulation.load(name, int(number), "", gold)
        self.gold = [str(line) for line in self._simulation.getGoldActionSequence()] if gold else []
        self.description: str = str(self._simulation.getTaskDescription())
        self._say("look around")  # as ScienceWorld's own reset does
        self._objects, self._doors = Objects(), doors(self._simulation)
        self.state: Json = self._noted()

    def act(self, tool: str, arguments: dict[str, Json]) -> tuple[bool, str]:
        """Whether the call was carried out, and the engine's text."""
        line = command(tool, arguments)
        if line is None or self._simulation is None:
            return False, UNKNOWN
        text = self._say(line)
        if text.startswith("Ambiguous request"):
            self._simulation.step("")  # it waits for a number; nothing cancels that
        failed, text = refused(tool, text), told(text)
        if failed and not text.startswith(FAILURES):
            text = f"{FAILED} {text}"
        if not failed and tool not in READS:
            self.state = self._noted()
        return not failed, text

    def won(self) -> bool:
        """Whether the task is completed with the full score."""
        return bool(self.state["task"]["score"] >= 100)

    def close(self) -> None:
        """Let go of the simulation; the server goes on."""
        self._simulation, self._doors = None, {}

    def _say(self, line: str) -> str:
        self._server.settle(self.task, self._steps)
        self._steps += 1
        return str(self._simulation.step(line))

    def _noted(self) -> dict[str, Json]:
        state = self._objects.note(self._server.tree(self._simulation))
        ways = {name: "open" if door._isOpen() else "closed" for name, door in self._doors.items()}
        score = round(100 * self._simulation.getScore())
        return {**state, "doors": ways, "task": {"score": score}}


def check_task(simulation: Any, name: str, number: str, task: str) -> None:
    """Raises InputError when ScienceWorld has no such task and variation."""
    if name not in list(simulation.getTaskNames()):
        raise InputError(f"ScienceWorld has no task {name!r}", "meta.task", f"Found: {task!r}.")
    most = simulation.getTaskMaxVariations(name)
    if not (number.isascii() and number.isdecimal() and int(number[:9]) < most):
        raise InputError(f"{name} has variations 0 to {most - 1}", "meta.task", f"Found: {task!r}.")
