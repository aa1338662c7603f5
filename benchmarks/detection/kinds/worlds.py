"""Worlds that do not hold together, told by the conversation and the given state alone."""

from __future__ import annotations

import random
import re

from benchmarks.detection.editing import (
    Broken,
    Kind,
    answered,
    data_of,
    exchange_messages,
    id_arguments,
    in_state,
    leaves,
    other_value,
    put,
    reads,
    shuffled,
    step_of,
    told_as,
    with_answer,
    with_call,
    with_inserted,
    worked,
)
from trajgen.filters.reading import Exchange, parsed
from trajgen.records import Domain, Json, Trajectory

SAYS = ("contradicts_observation", "contradicts_state")
ENDS = re.compile(r"(cancel|delete|return|exchange|redeem|close|open)(_|$)")


def changed_without_a_write(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A read shows another value of a field that is known, and nothing was written."""
    for e in shuffled(answered(t), rng):
        data, known = data_of(e), told_as(t, e, domain)
        if not reads(domain, e.call.tool) or data is None or known is None:
            continue
        for key, value in shuffled(list(data.items()), rng):
            if key in known and known[key] == value and not key.endswith("id"):
                new = other_value(value, _pool(t, key), rng)
                if new is not None:
                    made = with_answer(t, e, {**data, key: new})
                    return Broken(made, step_of(e), SAYS)
    return None


def changed_deep_inside(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The same one level down or more, in objects only."""
    for e in shuffled(answered(t), rng):
        data, known = data_of(e), told_as(t, e, domain)
        if not reads(domain, e.call.tool) or data is None or known is None:
            continue
        inner = [
            (p, v) for p, v in leaves(data) if len(p) > 1 and all(isinstance(k, str) for k in p)
        ]
        for path, value in shuffled(inner, rng):
            new = other_value(value, _pool(t, path[-1]), rng)
            if new is not None and _at(known, path) == value and not path[-1].endswith("id"):
                return Broken(with_answer(t, e, put(data, path, new)), step_of(e), SAYS)
    return None


def another_entity(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The answer of the same tool to another question (it names itself, or is in the state)."""
    for e in shuffled(answered(t), rng):
        for other in shuffled(answered(t), rng):
            if not _comparable(e, other, domain) or other.observation == e.observation:
                continue
            if _names_itself(e, other) or in_state(t, e, domain) is not None:
                return Broken(with_answer(t, e, other.observation), step_of(e), SAYS)
    return None


def swapped_id(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The call asks for another known id; the answer stays about the first."""
    for e in shuffled(answered(t), rng):
        ids = id_arguments(e)
        for other in shuffled(answered(t), rng):
            if not ids or not _comparable(e, other, domain) or (other.at or 0) > (e.at or 0):
                continue
            key, value = ids[0]
            new = other.call.arguments.get(key)
            if isinstance(new, str) and new != value and value in e.observation:
                made = with_call(t, e, {**e.call.arguments, key: new})
                return Broken(made, step_of(e), SAYS)
    return None


def stale_after_write(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A read behind a write shows the entity as it was before, though the write's answer or
    an argument of it had the new value."""
    found = answered(t)
    for e in shuffled(found, rng):
        data = data_of(e)
        if not reads(domain, e.call.tool) or data is None or not worked(e, domain):
            continue
        before = _first_read(found, e, domain)
        between = [w for w in found if before and before.at < w.at < e.at]
        writes = [w for w in between if not reads(domain, w.call.tool) and worked(w, domain)]
        old = parsed(before.observation) if before else None
        changed = [k for k in data if isinstance(old, dict) and k in old and old[k] != data[k]]
        told = " ".join(f"{w.observation} {w.call.arguments}" for w in writes)
        scalars = [k for k in changed if isinstance(data[k], str | int | float)]
        if changed and any(str(data[k]) in told for k in scalars):
            return Broken(with_answer(t, e, old), step_of(e), SAYS)
    return None


def read_again_as_before(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A further read at the end shows an entity as it was before the write whose own answer
    showed it changed."""
    found = answered(t)
    for e in shuffled(found, rng):
        data = data_of(e)
        if reads(domain, e.call.tool) or data is None or not worked(e, domain):
            continue
        for early in found:
            old = data_of(early)
            if early.at >= e.at or old is None or not reads(domain, early.call.tool):
                continue
            shared = [k for k in data if k in old]
            changed = [k for k in shared if data[k] != old[k]]
            later = [w for w in found if w.at > e.at and not reads(domain, w.call.tool)]
            if len(shared) < 3 or not changed or later or not id_arguments(early):
                continue
            if id_arguments(early)[0][1] not in str(e.call.arguments):
                continue
            new = exchange_messages(early.call.tool, early.call.arguments, old, "call_again")
            at = len(t.messages) - 1
            return Broken(with_inserted(t, at, *new), (at, at + 1), SAYS)
    return None


def write_that_did_nothing(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A write's answer shows the entity exactly as it was read before."""
    found = answered(t)
    for e in shuffled(found, rng):
        data = data_of(e)
        if reads(domain, e.call.tool) or data is None or not worked(e, domain):
            continue
        for early in reversed([x for x in found if x.at < e.at]):
            old = data_of(early)
            if old is None or not worked(early, domain) or not data.keys() <= old.keys():
                continue
            named = id_arguments(early) and id_arguments(early)[0][1] in str(e.call.arguments)
            if named and any(data[k] != old[k] for k in data):
                made = with_answer(t, e, {k: old[k] for k in data})
                return Broken(made, step_of(e), ("effect_missing", *SAYS))
    return None


def argument_ignored(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A write sets a field by an argument; its answer shows the field as it was before."""
    found = answered(t)
    for e in shuffled(found, rng):
        data = data_of(e)
        if reads(domain, e.call.tool) or data is None or not worked(e, domain):
            continue
        for early in reversed([x for x in found if x.at < e.at]):
            old = data_of(early) or {}
            if not any(v in map(str, old.values()) for _, v in id_arguments(e)):
                continue
            for key, value in shuffled(list(e.call.arguments.items()), rng):
                if key in data and key in old and data[key] == value != old[key]:
                    made = with_answer(t, e, {**data, key: old[key]})
                    return Broken(made, step_of(e), ("effect_missing", *SAYS))
    return None


def owner_changed(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A write's answer moves the entity to another owner, name or day of creation, which it
    showed differently before."""
    found = answered(t)
    for e in shuffled(found, rng):
        data = data_of(e)
        if reads(domain, e.call.tool) or data is None or not worked(e, domain):
            continue
        earlier = [x for x in found if x.at < e.at and data_of(x)]
        for key in shuffled(
            [k for k in data if re.fullmatch(r"(user|customer)_id|created_at", k)], rng
        ):
            known = [data_of(x) for x in earlier]
            ids = {v for _, v in id_arguments(e)}
            seen = [k for k in known if k.get(key) == data[key] and ids & set(map(str, k.values()))]
            if seen and isinstance(data[key], str):
                new = re.sub(r"\d", lambda m: str((int(m[0]) + 3) % 10), data[key])
                if new != data[key]:
                    return Broken(with_answer(t, e, {**data, key: new}), step_of(e), SAYS)
    return None


def done_twice(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """What can be done once works a second time."""
    for e in shuffled(answered(t), rng):
        if reads(domain, e.call.tool) or not worked(e, domain) or not ENDS.match(e.call.tool):
            continue
        if not e.call.arguments or t.messages[e.at + 1]["role"] == "tool":
            continue
        new = exchange_messages(e.call.tool, e.call.arguments, e.observation, "call_twice")
        made = with_inserted(t, e.at + 1, *new)
        codes = ("precondition_violated", "repeated_call", "effect_missing", "bad_effect")
        return Broken(made, (e.at + 1, e.at + 2), codes)
    return None


def works_on_nothing(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The user names an id that the state does not have, and the call works all the same."""
    for e in shuffled(answered(t), rng):
        for _, value in shuffled(id_arguments(e), rng):
            if (
                domain.state is None
                or t.steps
                or not worked(e, domain)
                or not _in_collection(domain, value)
            ):
                continue
            digits = [c for c in value if c.isdecimal()]
            if len(digits) < 2 or value not in t.messages[0]["content"]:
                continue
            new = re.sub(r"\d", lambda m: str((int(m[0]) + 7) % 10), value)
            if new in str(domain.state)[:5_000_000]:
                continue
            messages = [{**m, "content": m["content"].replace(value, new)} for m in t.messages]
            made = _replaced(t, messages, value, new)
            first = next(x for x in answered(t) if value in f"{x.call.arguments}{x.observation}")
            codes = ("precondition_violated", "contradicts_state")
            return Broken(made, step_of(first), codes)
    return None


def not_found_though_known(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A read of something that was seen or is in the state is answered "not found"."""
    for e in shuffled(answered(t), rng):
        ids = id_arguments(e)
        if not reads(domain, e.call.tool) or not ids or not worked(e, domain):
            continue
        if told_as(t, e, domain) is None or data_of(e) is None:
            continue
        if len(ids) < len(e.call.arguments) and _kinds_of(domain, ids[0][1]).isdisjoint(
            map(str, e.call.arguments.values())
        ):
            continue  # another argument may be what was not found
        what = ids[0][0].removesuffix("_id").replace("_", " ")
        text = _failure(domain, rng.choice([f"{what} not found", f"no such {what}: {ids[0][1]}"]))
        return Broken(with_answer(t, e, text), step_of(e), ("false_refusal",))
    return None


def refused_then_answered(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A read is refused, and works when it is tried again at once."""
    for e in shuffled(answered(t), rng):
        if not reads(domain, e.call.tool) or not worked(e, domain) or not e.call.arguments:
            continue
        if len(t.messages[e.call.message]["tool_calls"]) > 1:
            continue
        text = _failure(domain, rng.choice(["invalid input", "access denied", "not allowed"]))
        new = exchange_messages(e.call.tool, e.call.arguments, text, "call_refused")
        at = e.call.message
        made = with_inserted(t, at, *new)
        return Broken(made, (at, at + 1), ("false_refusal", "bad_effect"))
    return None


def refused_yet_done(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A write is answered with a refusal; a later read shows that it happened (a value that
    the write names, which an earlier read showed differently)."""
    found = answered(t)
    for e in shuffled(found, rng):
        if reads(domain, e.call.tool) or not worked(e, domain):
            continue
        values = {str(v) for _, v in leaves(e.call.arguments)}
        for early in [x for x in found if x.at < e.at and reads(domain, x.call.tool)]:
            for late in [x for x in found if x.at > e.at and x.call.tool == early.call.tool]:
                old, new = data_of(early), data_of(late)
                if early.call.arguments != late.call.arguments or not old or not new:
                    continue
                others = [w for w in found if early.at < w.at < late.at and w.at != e.at]
                if any(not reads(domain, w.call.tool) for w in others):
                    continue
                if any(str(new[k]) in values and old.get(k) != new[k] for k in new):
                    made = with_answer(t, e, _failure(domain, "this cannot be changed"))
                    return Broken(made, step_of(e), ("false_refusal", *SAYS))
    return None


def asked_twice_told_differently(
    t: Trajectory, rng: random.Random, domain: Domain
) -> Broken | None:
    """A read is made again later, nothing written since, and tells something else."""
    found = answered(t)
    for e in shuffled(found, rng):
        data = data_of(e)
        if not reads(domain, e.call.tool) or data is None or not worked(e, domain):
            continue
        at = len(t.messages) - 1
        if any(not reads(domain, w.call.tool) for w in found if w.at > e.at):
            continue
        places = [(p, v) for p, v in leaves(data) if not str(p[-1]).endswith("id")]
        for path, value in shuffled(places, rng):
            new = other_value(value, _pool(t, path[-1]), rng)
            if new is not None and found[-1].at != e.at:
                shown = exchange_messages(
                    e.call.tool, e.call.arguments, put(data, path, new), "c_again"
                )
                return Broken(with_inserted(t, at, *shown), (at, at + 1), SAYS)
    return None


def prose_about_another(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A text answer of the same tool about something else; the tool repeats what it is asked
    in all its answers."""
    found = [e for e in answered(t) if parsed(e.observation) is not None and worked(e, domain)]
    found = [e for e in found if e.observation[:1] not in "{["]
    for e in shuffled(found, rng):
        mine = [v for v in e.call.arguments.values() if isinstance(v, str) and len(v) > 2]
        if "direction" in e.call.arguments:
            continue  # a room has many exits: naming one says nothing
        for other in shuffled(found, rng):
            theirs = [v for v in other.call.arguments.values() if isinstance(v, str)]
            echo = mine and all(v in e.observation for v in mine)
            echo = echo and all(v in other.observation for v in theirs)
            echo = echo and other.call.tool == e.call.tool and not set(mine) & set(theirs)
            if echo and not any(v in other.observation for v in mine):
                return Broken(with_answer(t, e, other.observation), step_of(e), SAYS)
    return None


def _kinds_of(domain: Domain, value: str) -> set[str]:
    """The collections of the state that have this id."""
    state = domain.state if isinstance(domain.state, dict) else {}
    return {name for name, items in state.items() if isinstance(items, dict) and value in items}


def _failure(domain: Domain, what: str) -> str:
    prefix = domain.failure_prefixes[0] if domain.failure_prefixes else "Error"
    return f"{prefix}: {what[0].upper()}{what[1:]}"


def _comparable(e: Exchange, other: Exchange, domain: Domain) -> bool:
    same = other.call.tool == e.call.tool and other.call.arguments != e.call.arguments
    return same and worked(e, domain) and worked(other, domain) and data_of(e) is not None


def _names_itself(e: Exchange, other: Exchange) -> bool:
    data = data_of(other) or {}
    return any(data.get(key) not in (None, value) for key, value in id_arguments(e))


def _first_read(found: list[Exchange], e: Exchange, domain: Domain) -> Exchange | None:
    for early in found:
        same = (early.call.tool, early.call.arguments) == (e.call.tool, e.call.arguments)
        if early.at < e.at and same and worked(early, domain):
            return early
    return None


def _pool(t: Trajectory, key: str | int) -> list[Json]:
    return [v for e in answered(t) for p, v in leaves(data_of(e)) if p and p[-1] == key]


def _at(value: Json, path: tuple) -> Json:
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def _in_collection(domain: Domain, value: str) -> bool:
    return any(isinstance(v, dict) and value in v for v in (domain.state or {}).values())


def _replaced(t: Trajectory, messages: list[Json], value: str, new: str) -> Trajectory:
    from dataclasses import replace

    made = replace(t, messages=tuple(messages))
    for e in answered(made):
        if value in str(e.call.arguments):
            arguments = {
                k: v.replace(value, new) if isinstance(v, str) else v
                for k, v in e.call.arguments.items()
            }
            made = with_call(made, e, arguments)
    return made


KINDS: dict[str, Kind] = {
    f.__name__: f
    for f in (
        changed_without_a_write,
        changed_deep_inside,
        another_entity,
        swapped_id,
        stale_after_write,
        read_again_as_before,
        write_that_did_nothing,
        argument_ignored,
        owner_changed,
        done_twice,
        works_on_nothing,
        not_found_though_known,
        refused_then_answered,
        refused_yet_done,
        asked_twice_told_differently,
        prose_about_another,
    )
}
