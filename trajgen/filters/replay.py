"""The states that a row's stored steps lead through, made once for all checks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trajgen.filters.reading import reading
from trajgen.ledger import Ledger
from trajgen.pointers import EffectError, json_type
from trajgen.records import Json, Trajectory


class Replay(NamedTuple):
    """The state before each step and after the last; `changed` says which step changed it.

    Both end before the first step whose effects do not fit, which `misfit` tells. Of a step
    that was refused nothing was applied. The hash begins at 0: only how far it moves counts.
    """

    states: list[Ledger]
    changed: list[bool]
    misfit: str


def replayed(trajectory: Trajectory) -> Replay | None:
    """The replay of a row that has its first state, shared while its messages are read once."""
    if not isinstance(trajectory.state_initial, dict):
        return None
    read = reading(trajectory.messages)
    if read.replay is None or read.replay[0] is not trajectory:
        read.replay = trajectory, _replay(trajectory)
    found: Replay = read.replay[1]
    return found


def apply(ledger: Ledger, effects: Sequence[Mapping[str, Json]]) -> bool:
    """Whether the effects changed the state. Raises EffectError where they do not fit."""
    for effect in effects:
        if not isinstance(effect, Mapping):
            raise EffectError("", f"an effect is an object, found {json_type(effect)}")
    return ledger.apply(effects)


def _replay(trajectory: Trajectory) -> Replay:
    ledger = Ledger(trajectory.state_initial, 0)
    made = Replay([ledger], [], "")
    for step in trajectory.steps:
        changed = False
        if step.effects and not step.verdicts:
            ledger = ledger.fork()
            try:
                changed = apply(ledger, step.effects)
            except EffectError as error:
                return made._replace(misfit=str(error))
        made.changed.append(changed)
        made.states.append(ledger)
    return made
