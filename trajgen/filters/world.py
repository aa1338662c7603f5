"""What the world said and did, against the state ledger and against itself.

`judge` weighs one proposed step; the rollout asks it before it accepts one. `check` goes
over a stored trajectory: verdicts, a replay of the effects with their hashes, and what
two observations say of the same thing. Without steps only the last is possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from trajgen.filters import history
from trajgen.filters.answers import is_failure, says_no
from trajgen.filters.links import strangers
from trajgen.filters.reading import Exchange, exchanges
from trajgen.filters.replay import apply, replayed
from trajgen.filters.views import against_state
from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.pointers import EffectError
from trajgen.records import Call, Domain, Json, Reason, Step, Trajectory


def judge(
    domain: Domain,
    call: Call,
    applies: bool,
    effects: Sequence[Mapping[str, Json]],
    observation: str,
    ledger: Ledger,
    real: bool = False,
) -> list[Reason]:
    """What is wrong with this step in the state of `ledger`, which is before it and stays so.

    `applies` says whether the call's precondition holds, `effects` what the call changes,
    `observation` what the agent will see. [] accepts the step. A `real` environment may show
    a number as text.
    """
    after = ledger.fork()
    try:
        changed = apply(after, effects)
    except EffectError as error:
        return [Reason("bad_effect", call.message, str(error))]
    return _judged(domain, call, applies, effects, observation, (ledger, after), changed, real)


def _judged(
    domain: Domain,
    call: Call,
    applies: bool,
    effects: Sequence[Mapping[str, Json]],
    observation: str,
    states: tuple[Ledger, Ledger],
    changed: bool,
    real: bool,
) -> list[Reason]:
    """`judge`, where the effects fit; `states` are those before and after them."""
    ledger, after = states
    found = list(_outcome(domain, call, applies, changed, observation))
    found += strangers(call, effects, observation, ledger) if changed else []
    if not is_failure(observation, domain):
        found += against_state(call, observation, after, real)
    return found


def check(trajectory: Trajectory, domain: Domain) -> Iterator[Reason]:
    """Stored steps replayed and judged; answers against each other and the given state."""
    found = exchanges(trajectory.messages)
    told = list(_of_steps(trajectory, domain, found)) if trajectory.steps else []
    yield from told
    known = {(reason.code, reason.at) for reason in told}
    for reason in history.check(trajectory, domain, found):
        if (reason.code, reason.at) not in known:
            yield reason


def _of_steps(
    trajectory: Trajectory, domain: Domain, found: Sequence[Exchange]
) -> Iterator[Reason]:
    for step in trajectory.steps:
        for verdict in step.verdicts:
            at = step.message if verdict.at is None else verdict.at
            yield replace(verdict, at=at)
    missing = list(_coverage(trajectory.steps, found))
    yield from missing
    if not missing:
        yield from _chain(trajectory.steps)
        yield from _replay(trajectory, domain, {e.call.id: e for e in found})


def _outcome(
    domain: Domain, call: Call, applies: bool, changed: bool, observation: str
) -> Iterator[Reason]:
    kind, at = domain.kinds.get(call.tool), call.message
    failed = is_failure(observation, domain)
    shown = observation[:80]
    if kind == "read" and changed:
        yield Reason("read_changed_state", at, f"{call.tool} only reads, yet the state changed")
    if not applies and changed:
        yield Reason("precondition_violated", at, f"{call.tool} does not apply, yet changes state")
    elif not applies and not (failed or says_no(observation)):
        detail = f"{call.tool} does not apply; expected a failure, found {shown!r}"
        yield Reason("precondition_violated", at, detail)
    elif applies and failed:
        yield Reason("false_refusal", at, f"{call.tool} applies, yet was answered {shown!r}")
    elif applies and kind == "write" and not changed:
        yield Reason("effect_missing", at, f"{call.tool} writes and applies, yet changes nothing")


def _coverage(steps: Sequence[Step], found: Sequence[Exchange]) -> Iterator[Reason]:
    """Steps and tool calls are the same, in the same order."""
    calls = [e.call for e in found]
    for step, call in zip(steps, calls, strict=False):
        if (step.call_id, step.tool, step.message) != (call.id, call.tool, call.message):
            detail = f"expected the step of {call.tool} ({call.id}), found {step.call_id!r}"
            yield Reason("bad_effect", call.message, detail)
            return
    for call in calls[len(steps) :]:
        yield Reason("bad_effect", call.message, f"no step is stored for {call.tool} ({call.id})")
    for step in steps[len(calls) :]:
        yield Reason("bad_effect", step.message, f"the step of {step.call_id!r} has no call")


def _chain(steps: Sequence[Step]) -> Iterator[Reason]:
    for before, after in pairwise(steps):
        if before.state_after != after.state_before:
            detail = f"expected the state {before.state_after}, found {after.state_before}"
            yield Reason("bad_effect", after.message, detail)


def _replay(
    trajectory: Trajectory, domain: Domain, found: Mapping[str, Exchange]
) -> Iterator[Reason]:
    replay = replayed(trajectory)
    if replay is None:
        return
    for index, step in enumerate(trajectory.steps):
        if step.verdicts:  # refused and told already
            continue
        exchange = found.get(step.call_id)
        if index == len(replay.changed):
            yield from _misfit(step, domain, exchange, replay.misfit)
            return
        before, after = replay.states[index : index + 2]
        yield from _rejudged(step, domain, exchange, (before, after), replay.changed[index])
        if not _same_move(before.hash, after.hash, step):
            detail = "the effects do not lead from the stored state to the next"
            yield Reason("bad_effect", step.message, detail)
    final, state = trajectory.state_final, replay.states[-1].state
    difference = isinstance(final, dict) and canonical(final) != canonical(state)
    if difference and trajectory.steps:
        at = trajectory.steps[-1].message
        yield Reason("bad_effect", at, "the effects do not lead to the stored final state")


def _misfit(step: Step, domain: Domain, exchange: Exchange | None, why: str) -> Iterator[Reason]:
    """A stored step whose effects do not fit the state before it."""
    if step.fault is not None:
        yield from _fault(step, domain, exchange)
    if step.fault is not None or exchange is None:
        yield Reason("bad_effect", step.message, why)
    elif exchange.at is not None:
        yield Reason("bad_effect", exchange.call.message, why)


def _rejudged(
    step: Step,
    domain: Domain,
    exchange: Exchange | None,
    states: tuple[Ledger, Ledger],
    changed: bool,
) -> Iterator[Reason]:
    """What `judge` says of a stored step, with the `states` before and after it."""
    if step.fault is not None:
        yield from _fault(step, domain, exchange)
        return
    if exchange is None or exchange.at is None:
        return
    real = step.source == "real"
    sure = step.source != "model"  # code and real environments may write what was there already
    call, text = exchange.call, exchange.observation
    for reason in _judged(domain, call, step.applies, step.effects, text, states, changed, real):
        at = exchange.at if reason.code == "contradicts_state" else reason.at
        if not (sure and reason.code == "effect_missing"):
            yield replace(reason, at=at)


def _fault(step: Step, domain: Domain, exchange: Exchange | None) -> Iterator[Reason]:
    """A planned fault is a failure for the agent and nothing for the state."""
    if step.effects:
        yield Reason("bad_effect", step.message, "a planned fault changes nothing")
    elif exchange is not None and exchange.at is not None:
        shown = exchange.observation
        if not is_failure(shown, domain) and not says_no(shown):
            detail = f"a planned fault ({step.fault}) is a failure; found {shown[:80]!r}"
            yield Reason("bad_effect", step.message, detail)


def _same_move(before: str, after: str, step: Step) -> bool:
    """Hashes are sums over nodes: a part of the state moves by as much as the whole."""
    try:
        stored = int(step.state_after, 16) - int(step.state_before, 16)
    except ValueError:
        return False
    return (stored - int(after, 16) + int(before, 16)) % 2**128 == 0
