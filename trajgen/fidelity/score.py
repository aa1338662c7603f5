"""One answer beside the true one: what is right about it. Crash rule: pure.

The effects are compared by what becomes of the state, not by how they are spelled. An answer
that the pipeline would not let stand is wrong in what its verdicts say, and in all when it
could not be read; so is no answer at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from trajgen.fidelity.fields import n_changed, observation_score
from trajgen.fidelity.steps import Asked
from trajgen.ledger import Ledger
from trajgen.pointers import EffectError
from trajgen.worlds import Answer

# What each verdict of a world's answer says is wrong; any other says that all of it is.
WRONG_IN = {
    "precondition_violated": "precondition",
    "false_refusal": "precondition",
    "bad_effect": "effects",
    "read_changed_state": "effects",
    "effect_missing": "effects",
    "contradicts_state": "observation",
    "contradicts_observation": "observation",
}


@dataclass(frozen=True, slots=True)
class Score:
    """How one answer did.

    `applies` is the truth about the call; `precondition`, `effects` and `observation` say
    whether the answer is right, `f1` how much of the observation is. `changed` is the number
    of fields that the call really changes. `error` is why there is no answer, or "".
    """

    tool: str
    kind: str
    applies: bool
    changed: int
    precondition: bool = False
    effects: bool = False
    observation: bool = False
    f1: float = 0.0
    error: str = ""


def score(asked: Asked, before: Ledger, said: Answer | str) -> Score:
    """What is right about `said`, an answer or the reason why there is none; `before` is the
    true state in which the call is made, and stays so. Raises EffectError when the true
    effects do not fit it."""
    truth, after = asked.truth, before.fork()
    after.apply(truth.effects)
    tool, kind = asked.call.tool, asked.kind
    changed = n_changed(before.state, after.state)
    if isinstance(said, str):
        return Score(tool, kind, truth.applies, changed, error=said)
    wrong = {WRONG_IN.get(verdict.code, "all") for verdict in said.verdicts}
    if "all" in wrong:
        return Score(tool, kind, truth.applies, changed)
    exact, f1 = observation_score(truth.observation, said.observation)
    return Score(
        tool,
        kind,
        truth.applies,
        changed,
        precondition=said.applies == truth.applies and "precondition" not in wrong,
        effects="effects" not in wrong and _same_change(before, after, said),
        observation=exact and "observation" not in wrong,
        f1=f1,
    )


def _same_change(before: Ledger, after: Ledger, said: Answer) -> bool:
    """Whether the effects that were said lead to the same state."""
    mine = before.fork()
    try:
        mine.apply(said.effects)
    except EffectError:
        return False
    return n_changed(after.state, mine.state) == 0
