"""Calls of declared tools against what code says they do (declared/).

A stored row is judged in the state its steps lead through. A conversation without steps is
replayed from the state it began in, or the domain's: code knows every effect of a declared
tool. What an undeclared write may have changed nobody knows, so what comes after it is not
judged; nor is what comes after the first answer that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from trajgen import declared
from trajgen.declared import Result
from trajgen.declared.writes import MAX_DEPTH, depth
from trajgen.faults import is_planned
from trajgen.filters.answers import is_failure
from trajgen.filters.reading import Exchange, exchanges, parsed
from trajgen.filters.replay import apply, replayed
from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.pointers import MISSING, EffectError, equal, overlay
from trajgen.records import Call, Domain, Json, Reason, Trajectory

Effects = Sequence[Mapping[str, Json]]


def check(trajectory: Trajectory, domain: Domain) -> Iterator[Reason]:
    """The first answer of a declared tool that is not what code answers."""
    if not domain.semantics or depth(trajectory.state_initial) > MAX_DEPTH:
        return
    found = exchanges(trajectory.messages)
    if trajectory.steps:
        yield from _stored(trajectory, domain, found)
    else:
        yield from _bare(trajectory, domain, found)


def differs(
    result: Result,
    call: Call,
    applies: bool,
    effects: Effects | None,
    observation: str,
    state: Json,
) -> Reason | None:
    """How an answer to `call` in `state` differs from what code says; None when it is the same.

    `effects` are None where nothing but the observation is known.
    """
    if applies != result.applies:
        if result.applies:
            text = f"{call.tool} applies; expected {result.observation[:80]!r}"
            return Reason("false_refusal", call.message, f"{text}, found {observation[:80]!r}")
        text = f"{call.tool} does not apply ({result.why[:120]})"
        return Reason("precondition_violated", call.message, f"{text}, found {observation[:80]!r}")
    wrong = None if effects is None else _wrong_effects(result, call, effects, state)
    if wrong is not None or same_observation(observation, result.observation):
        return wrong
    detail = _difference(result.observation, observation)
    return Reason("contradicts_state", call.message, f"{call.tool} {detail}")


def against_code(
    domain: Domain, call: Call, answer: Mapping[str, Json], observation: str, state: Json
) -> list[Reason]:
    """What is wrong with a model's answer to a call of a declared tool; [] for any other."""
    result = declared.answer(domain, call, state)
    if result is None:
        return []
    reason = differs(result, call, answer["applies"], answer["effects"], observation, state)
    return [reason] if reason else []


def same_observation(one: str, other: str) -> bool:
    """Whether two observations say the same: white space at the ends, the order of keys and
    10 for 10.0 aside."""
    if one.strip() == other.strip():
        return True
    first, second = parsed(one), parsed(other)
    known = first is not MISSING and second is not MISSING and depth(first) <= MAX_DEPTH
    return known and equal(first, second)


def _stored(trajectory: Trajectory, domain: Domain, found: Sequence[Exchange]) -> Iterator[Reason]:
    replay = replayed(trajectory)
    if replay is None:
        return
    # The states end before effects that do not fit, which the ledger's own check tells.
    for step, ledger, (call, at, text) in zip(trajectory.steps, replay.states, found, strict=False):
        if step.verdicts or at is None or (step.call_id, step.tool) != (call.id, call.tool):
            return  # told already, and nothing after it can be trusted
        result = _expected(domain, call, ledger.state) if step.fault is None else None
        reason = result and differs(result, call, step.applies, step.effects, text, ledger.state)
        if reason:
            yield _placed(reason, at)
            return


def _bare(trajectory: Trajectory, domain: Domain, found: Sequence[Exchange]) -> Iterator[Reason]:
    own = trajectory.state_initial
    state = overlay(domain.state, own if isinstance(own, dict) else None)
    if state is None:
        return  # nobody knows what the calls found
    for call, at, observation in found:
        failed = is_failure(observation, domain)
        if at is None or (failed and is_planned(observation)):
            continue
        result = _expected(domain, call, state)
        if result is None:
            if domain.kinds.get(call.tool) == "read" or failed:
                continue
            return
        if reason := differs(result, call, not failed, None, observation, state):
            yield _placed(reason, at)
            return
        state = result.after


def _expected(domain: Domain, call: Call, state: Json) -> Result | None:
    """What code answers; None for a tool that it does not know, or arguments that no caller
    of it can give, which other filters tell."""
    schema = domain.tool(call.tool) if call.tool in domain.semantics else None
    if schema is None or not set(schema["parameters"].get("required", ())) <= call.arguments.keys():
        return None
    if depth(call.arguments) > MAX_DEPTH:
        return None
    return declared.answer(domain, call, state)


def _placed(reason: Reason, at: int) -> Reason:
    """What is wrong with an observation is told where it stands, anything else at the call."""
    if reason.code != "contradicts_state":
        return reason
    return Reason(reason.code, at, reason.detail)


def _wrong_effects(result: Result, call: Call, effects: Effects, state: Json) -> Reason | None:
    """Effects are right when they lead to the same state, whatever their form."""
    if equal(list(effects), list(result.effects)):
        return None
    expected, given = Ledger(state, 0), Ledger(state, 0)
    expected.apply(result.effects)
    try:
        changed = apply(given, effects)
    except EffectError as error:
        return Reason("bad_effect", call.message, f"{call.tool}: {error}")
    if expected.hash == given.hash:
        return None
    detail = f"{call.tool} {_changed(expected, given, [*result.effects, *effects])}"
    return Reason("bad_effect" if changed else "effect_missing", call.message, detail)


def _changed(expected: Ledger, given: Ledger, effects: Effects) -> str:
    for effect in effects:
        ends = [effect["path"], effect.get("value")] if effect["op"] == "move" else [effect["path"]]
        for path in ends:
            wanted, found = expected.get(path), given.get(path)
            if not (wanted is found or equal(wanted, found)):
                return f"{path}: expected {_shown(wanted)}, found {_shown(found)}"
    return "changes something else than its effects name"


def _shown(value: Json) -> str:
    return "nothing there" if value is MISSING else canonical(value)[:80]


def _difference(expected: str, found: str) -> str:
    """The first place where two observations differ, as a pointer into them when in JSON."""
    wanted, seen = parsed(expected), parsed(found)
    if wanted is MISSING or seen is MISSING:
        return f"/: expected {expected[:120]!r}, found {found[:120]!r}"
    path, wanted, seen = _first(wanted, seen, "")
    return f"{path or '/'}: expected {_shown(wanted)}, found {_shown(seen)}"


def _first(wanted: Json, seen: Json, path: str) -> tuple[str, Json, Json]:
    if isinstance(wanted, dict) and isinstance(seen, dict):
        for key in [*wanted, *(k for k in seen if k not in wanted)]:
            one, other = wanted.get(key, MISSING), seen.get(key, MISSING)
            if one is MISSING or other is MISSING or not equal(one, other):
                return _first(one, other, f"{path}/{key}")
    if isinstance(wanted, list) and isinstance(seen, list) and len(wanted) == len(seen):
        for index, (one, other) in enumerate(zip(wanted, seen, strict=True)):
            if not equal(one, other):
                return _first(one, other, f"{path}/{index}")
    return path, wanted, seen
