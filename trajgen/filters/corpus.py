"""What depends on other trajectories: copies. Duplicates are found at the commit, in plan order.

A fingerprint leaves out what does not change the conversation: call ids, a system
message (the domain's policy), white space and case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trajgen.filters.reading import Turn, turns
from trajgen.ids import digest
from trajgen.json_text import canonical
from trajgen.records import Json, Reason, Seed, Trajectory
from trajgen.remembered import Remembered


def fingerprint(messages: Sequence[Any]) -> str:
    """64 hex digits, equal for conversations that say and call the same."""
    return digest([_content(turn) for turn in turns(messages) if turn.role != "system"])


def _length(messages: Sequence[Any]) -> int:
    return sum(turn.role != "system" for turn in turns(messages))


_seed_print = Remembered(fingerprint, 4096)  # a seed's messages, which all its tasks share


def copy_of_seed(trajectory: Trajectory, seed: Seed) -> Reason | None:
    """The reason against a trajectory that is its seed over again, or None."""
    if _length(trajectory.messages) != _length(seed.messages):
        return None
    if fingerprint(trajectory.messages) != _seed_print(seed.messages):
        return None
    return Reason("copy_of_seed", None, f"says and calls the same as {seed.id}")


def _content(turn: Turn) -> list[str]:
    calls = [_folded(_called(raw)) for raw in turn.calls]
    return [turn.role, _folded(turn.text), *calls]


def _called(raw: Any) -> str:
    function: Json = raw.get("function") if isinstance(raw, dict) else raw
    if not isinstance(function, dict):
        return canonical(function)
    return canonical([function.get("name"), function.get("arguments")])


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
