"""What a trajectory teaches of its world: each call with the state before it and the answer.

A row holds the part of the state that was touched. Laid over the domain's own state it is
where the conversation began, as far as any call of it could tell; effects lead on from there.

Crash rule: pure; a row whose effects do not fit its state raises and yields no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trajgen.ledger import Ledger
from trajgen.pointers import overlay
from trajgen.records import Call, Domain, Step, Trajectory
from trajgen.worlds import Answer

# Reasons that an answer of the world can be wrong for.
WRONG = frozenset(
    {"precondition_violated", "false_refusal", "bad_effect", "read_changed_state"}
    | {"effect_missing", "contradicts_state", "contradicts_observation"}
)


@dataclass(frozen=True, slots=True)
class Transition:
    """One step: the state in which `call` was made, as a ledger of its own, and what the world
    answered; `step` is what the row says of it."""

    ledger: Ledger
    call: Call
    answer: Answer
    step: Step


def transitions(
    trajectory: Trajectory, domain: Domain, refused: bool = False
) -> Iterator[Transition]:
    """Every step of a row that its world answered, in order: planned faults are left out, and
    a step with verdicts ends it; `refused` yields that one too. Raises EffectError when the
    effects do not fit the state."""
    state, own = trajectory.state_initial, domain.state
    ledger = Ledger(state if own is None else overlay(own, state), 0)  # no hash is wanted
    seen = {m["tool_call_id"]: m["content"] for m in trajectory.messages if m["role"] == "tool"}
    calls = {call.id: call for call in trajectory.calls()}
    for step in trajectory.steps:
        if step.verdicts and not refused:
            return
        if step.fault is None:
            answer = _answer(step, seen[step.call_id])
            yield Transition(ledger.fork(), calls[step.call_id], answer, step)
        if step.verdicts:
            return
        ledger.apply(step.effects)


def _answer(step: Step, observation: str) -> Answer:
    return Answer(
        applies=step.applies,
        why=step.why,
        effects=step.effects,
        observation=observation,
        source=step.source,
        attempts=step.attempts,
        agreement=step.agreement,
    )
