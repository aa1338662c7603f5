"""What each step did to the state: what stood there before it and what after.

Crash rule: pure. A row keeps the part of the state that it touched; what cannot be known from
that is left unsaid instead of raising.
"""

from __future__ import annotations

from dataclasses import dataclass

from trajgen.effects import applied, changes
from trajgen.pointers import MISSING, EffectError, lookup
from trajgen.records import Json, Step, Trajectory
from trajgen.review.reading import written


@dataclass(frozen=True, slots=True)
class Change:
    """One effect: where it acts, and both values as people read them; "" where unknown."""

    op: str
    path: str
    before: str
    after: str


def changes_of(trajectory: Trajectory) -> list[list[Change]]:
    """The changes of every step, in the order of `steps`."""
    state, found = trajectory.state_initial, []
    for step in trajectory.steps:
        made, state = _made(state, step)
        found.append(made)
    return found


def _made(state: Json, step: Step) -> tuple[list[Change], Json]:
    """The changes of a step, and the state after it: the same one when they did not fit."""
    made, after = [], state
    for effect in step.effects:
        try:
            made.append(_change(after, effect))
            after = applied(after, effect)
        except (EffectError, TypeError, AttributeError):
            made.append(_told(effect))
    return made, after if step.state_before != step.state_after else state


def _change(state: Json, effect: dict[str, Json]) -> Change:
    op, path = str(effect.get("op", "?")), str(effect.get("path", "?"))
    new = changes(state, effect)[0][1]
    old = lookup(state, path)
    if op == "append":
        return Change(op, path, f"{len(old)} items", f"one more: {written(effect['value'])}")
    if op == "move":
        return Change(op, path, _value(old), f"now at {effect['value']}")
    return Change(op, path, _value(old), _value(new))


def _value(value: Json) -> str:
    return "nothing" if value is MISSING else written(value)


def _told(effect: dict[str, Json]) -> Change:
    """An effect as it was stored, where the state before it is not known."""
    value = written(effect["value"]) if "value" in effect else ""
    return Change(str(effect.get("op", "?")), str(effect.get("path", "?")), "", value)
