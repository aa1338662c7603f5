"""Stored steps that do not fit the conversation or the state."""

from __future__ import annotations

import random
from dataclasses import replace

from benchmarks.detection.editing import (
    Broken,
    Kind,
    answered,
    reads,
    shuffled,
    step_of,
    with_answer,
    worked,
)
from trajgen.filters.reading import Exchange
from trajgen.ledger import Ledger
from trajgen.pointers import EffectError, lookup
from trajgen.records import Domain, Json, Step, Trajectory


def applies_flipped(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The step says that the call does not apply, yet it worked; or the reverse."""
    for n, e in shuffled(_steps(t), rng):
        if worked(e, domain) and e.observation[:1] in "{[":
            codes = ("precondition_violated", "false_refusal")
            return Broken(_with(t, n, applies=not t.steps[n].applies), step_of(e), codes)
    return None


def effects_dropped(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A write's effects are gone, and every hash and the final state go along."""
    for n, e in shuffled(_steps(t), rng):
        if domain.kinds.get(e.call.tool) == "write" and t.steps[n].effects and worked(e, domain):
            made = _replayed(_with(t, n, effects=(), source="model"))
            return made and Broken(made, step_of(e), ("effect_missing", "contradicts_state"))
    return None


def effect_value_changed(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """One effect writes another value than its answer shows; hashes go along."""
    for n, e in shuffled(_steps(t), rng):
        for i, effect in shuffled(list(enumerate(t.steps[n].effects)), rng):
            value = effect.get("value")
            if effect["op"] != "set" or not isinstance(value, str) or value not in e.observation:
                continue
            if e.observation[:1] != "{" or effect["path"].count("/") != 3:
                continue
            effects = list(t.steps[n].effects)
            effects[i] = {**effect, "value": f"{value} 2"}
            made = _replayed(_with(t, n, effects=tuple(effects)))
            return made and Broken(made, step_of(e), ("contradicts_state", "bad_effect"))
    return None


def hash_changed(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The stored hash after a step is another one."""
    for n, e in shuffled(_steps(t), rng):
        made = _with(t, n, state_after=f"{rng.getrandbits(128):032x}")
        later = t.steps[n + 1].message if n + 1 < len(t.steps) else e.call.message
        return Broken(made, (*step_of(e), later), ("bad_effect",))
    return None


def final_state_changed(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The stored final state is not what the effects lead to."""
    if not t.steps or not isinstance(t.state_final, dict) or not t.state_final:
        return None
    key = rng.choice(sorted(t.state_final))
    rest = {k: v for k, v in t.state_final.items() if k != key}
    return Broken(replace(t, state_final=rest), (t.steps[-1].message,), ("bad_effect",))


def step_lost(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A call has no step."""
    for n, e in shuffled(_steps(t), rng):
        steps = t.steps[:n] + t.steps[n + 1 :]
        if steps:
            return Broken(replace(t, steps=steps), step_of(e), ("bad_effect",))
    return None


def step_doubled(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A step is stored twice."""
    for n, e in shuffled(_steps(t), rng):
        steps = (*t.steps[: n + 1], t.steps[n], *t.steps[n + 1 :])
        later = t.steps[n + 1].message if n + 1 < len(t.steps) else e.call.message
        return Broken(replace(t, steps=steps), (*step_of(e), later), ("bad_effect",))
    return None


def stranger_changed(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A write also changes an entity that has nothing to do with the call; hashes go along."""
    if not isinstance(domain.state, dict):
        return None
    for n, e in shuffled(_steps(t), rng):
        if domain.kinds.get(e.call.tool) != "write" or not t.steps[n].effects:
            continue
        for collection in shuffled(sorted(domain.state), rng):
            entities = domain.state[collection]
            if not isinstance(entities, dict) or len(entities) < 3:
                continue
            whole = str(t.messages) + str(t.state_initial)
            keys = [k for k in rng.sample(sorted(entities), 3) if k not in whole]
            for key in keys:
                effect = _any_change(entities[key], f"/{collection}/{key}")
                if effect is None or not any(map(str.isdecimal, key)):
                    continue
                initial = {**t.state_initial}
                initial[collection] = {**initial.get(collection, {}), key: entities[key]}
                made = replace(t, state_initial=initial)
                made = _replayed(_with(made, n, effects=(*t.steps[n].effects, effect)))
                return made and Broken(made, step_of(e), ("bad_effect",))
    return None


def read_with_effect(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A read changes what it reads; hashes go along."""
    for n, e in shuffled(_steps(t), rng):
        if not reads(domain, e.call.tool):
            continue
        for other in shuffled(t.steps, rng):
            for effect in other.effects:
                if effect["op"] == "set" and other.message > e.call.message:
                    made = _replayed(_with(t, n, effects=(effect,)))
                    if made:
                        return Broken(made, step_of(e), ("read_changed_state",))
    return None


def no_such_path(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """An effect writes where nothing is."""
    for n, e in shuffled(_steps(t), rng):
        for i, effect in enumerate(t.steps[n].effects):
            if effect["op"] == "set":
                effects = list(t.steps[n].effects)
                effects[i] = {**effect, "path": f"{effect['path']}_x"}
                return Broken(_with(t, n, effects=tuple(effects)), step_of(e), ("bad_effect",))
    return None


def effect_of_another_type(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """An effect writes a list over a scalar."""
    for n, e in shuffled(_steps(t), rng):
        for i, effect in enumerate(t.steps[n].effects):
            if effect["op"] == "set" and not isinstance(effect["value"], list | dict):
                effects = list(t.steps[n].effects)
                effects[i] = {**effect, "value": [effect["value"]]}
                return Broken(_with(t, n, effects=tuple(effects)), step_of(e), ("bad_effect",))
    return None


def fault_as_excuse(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A step that worked is called a planned fault."""
    for n, e in shuffled(_steps(t), rng):
        if worked(e, domain) and t.steps[n].fault is None and e.observation[:1] in "{[":
            made = _replayed(_with(t, n, fault="timeout", effects=()))
            return made and Broken(made, step_of(e), ("bad_effect", "contradicts_state"))
    return None


def refusal_made_success(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A call that the world refused is answered like the last one of its tool that worked."""
    for n, e in shuffled(_steps(t), rng):
        if worked(e, domain) or t.steps[n].fault is not None or t.steps[n].applies:
            continue
        for other in answered(t):
            if other.call.tool == e.call.tool and worked(other, domain):
                made = with_answer(t, e, other.observation)
                return Broken(made, step_of(e), ("precondition_violated", "contradicts_state"))
    return None


def answer_against_the_state(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A read is answered with "not found" though the step says that it applies."""
    for n, e in shuffled(_steps(t), rng):
        if t.steps[n].applies and worked(e, domain) and t.steps[n].fault is None:
            prefix = (domain.failure_prefixes or ("Error",))[0]
            made = with_answer(t, e, f"{prefix}: not possible")
            return Broken(made, step_of(e), ("false_refusal", "effect_missing"))
    return None


def _steps(t: Trajectory) -> list[tuple[int, Exchange]]:
    by_id = {e.call.id: e for e in answered(t)}
    return [(n, by_id[s.call_id]) for n, s in enumerate(t.steps) if s.call_id in by_id]


def _with(t: Trajectory, n: int, **changes: Json) -> Trajectory:
    steps = list(t.steps)
    steps[n] = replace(steps[n], **changes)
    return replace(t, steps=tuple(steps))


def _replayed(t: Trajectory) -> Trajectory | None:
    """The trajectory with hashes and final state made anew from its effects; None when they
    do not fit any more."""
    ledger, steps = Ledger(t.state_initial), []
    for step in t.steps:
        before = ledger.hash
        try:
            ledger.apply(step.effects)
        except EffectError:
            return None
        steps.append(replace(step, state_before=before, state_after=ledger.hash))
    made: tuple[Step, ...] = tuple(steps)
    return replace(t, steps=made, state_final=ledger.state)


def _any_change(entity: Json, path: str) -> Json:
    for key, value in entity.items() if isinstance(entity, dict) else ():
        if isinstance(value, str) and value and lookup({"x": entity}, f"/x/{key}") == value:
            return {"op": "set", "path": f"{path}/{key}", "value": f"{value}x"}
    return None


KINDS: dict[str, Kind] = {
    f.__name__: f
    for f in (
        applies_flipped,
        effects_dropped,
        effect_value_changed,
        hash_changed,
        final_state_changed,
        step_lost,
        step_doubled,
        stranger_changed,
        read_with_effect,
        no_such_path,
        effect_of_another_type,
        fault_as_excuse,
        refusal_made_success,
        answer_against_the_state,
    )
}
