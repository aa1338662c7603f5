"""Calls that should not work, made by code from what is known beside each real call.

    another_id    the id of another entity of the same kind
    no_such_id    an id of the same form that nothing has
    mangled_id    the id with one character lost
    others_own    an entity of the same kind that belongs to somebody else
    wrong_state   an entity of the same kind in another state
    bad_value     another value of an argument that is no id
    too_early     a later change of the seed, made now
    repeated      the change that was just made, once more

Each fits its tool's schema: an agent's call that does not never reaches a world. Whether it
really does not apply is for the real world to say. Crash rule: pure; the choice is drawn from
the seed's id.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trajgen.ids import stream
from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.pointers import equal, json_type, lookup, scalars, split
from trajgen.records import Call, Domain, Json, Seed, calls_of
from trajgen.schemas import call_problems

DRAWN = 30  # neighbours looked at of an entity
FEW = 8  # a field with this many values at most, that entities share, is a state they are in

Arguments = dict[str, Json]
Values = Mapping[tuple[str, str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Moment:
    """The state before real call number `after` of a seed, and what may be drawn there.

    `made_change` says whether the call before it changed the state; `values` holds what the
    seeds of the domain give as each text argument of each tool.
    """

    domain: Domain
    calls: Sequence[Call]
    after: int
    ledger: Ledger
    made_change: bool
    values: Values
    chance: random.Random

    @property
    def arguments(self) -> Arguments:
        return self.calls[self.after].arguments

    def writes(self, call: Call) -> bool:
        """Whether `call` may change the state."""
        return self.domain.kinds.get(call.tool) != "read"


def text_values(seeds: Sequence[Seed]) -> Values:
    """Every text that calls of `seeds` give as an argument, by tool and argument."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for call in (call for seed in seeds for call in calls_of(seed.messages)):
        for name, value in call.arguments.items():
            if isinstance(value, str) and value:
                found.setdefault((call.tool, name), {})[value] = None
    return {key: sorted(values) for key, values in found.items()}


def probes(
    seed: Seed,
    domain: Domain,
    after: int,
    ledger: Ledger,
    made_change: bool,
    values: Values,
) -> Iterator[tuple[str, Call]]:
    """The probes before real call `after` of `seed` or, with `after` their number, at its end:
    at most one of each kind, in a drawn order, as (kind, call) pairs."""
    calls = list(calls_of(seed.messages))
    chance = stream("probes", seed.id, after)
    moment = Moment(domain, calls, after, ledger, made_change, values, chance)
    known = {_key(call.tool, call.arguments) for call in calls[after : after + 1]}
    for kind in chance.sample(sorted(KINDS), len(KINDS)):
        possible = (m for m in KINDS[kind](moment) if _key(*m) not in known and _fits(domain, *m))
        if (made := next(possible, None)) is not None:
            known.add(_key(*made))
            at = calls[min(after, len(calls) - 1)].message
            yield kind, Call(f"probe_{after}_{kind}", *made, at)


def _key(tool: str, arguments: Arguments) -> str:
    return canonical([tool, arguments])


def _fits(domain: Domain, tool: str, arguments: Arguments) -> bool:
    return not call_problems([{"name": tool, "arguments": arguments}], domain.tools, 0)


# Each kind gives what it can make at a moment: (tool, arguments).

Made = Iterator[tuple[str, Arguments]]


def _another_id(moment: Moment) -> Made:
    for value, others in _ids(moment):
        if others:
            yield from _with(moment, value, moment.chance.choice(others))


def _no_such_id(moment: Moment) -> Made:
    for value, others in _ids(moment):
        made = re.sub(r"\d", lambda _: str(moment.chance.randrange(10)), value)
        while made == value or made in others or moment.ledger.relevant([made]):
            made += str(moment.chance.randrange(10))
        yield from _with(moment, value, made)


def _mangled_id(moment: Moment) -> Made:
    for value, others in _ids(moment):
        at = moment.chance.randrange(len(value))
        made = value[:at] + value[at + 1 :]
        if made and made not in others and not moment.ledger.relevant([made]):
            yield from _with(moment, value, made)


def _others_own(moment: Moment) -> Made:
    for value, entity, others in _entities(moment):
        owners = [k for k, v in entity.items() if _is_id(moment, v) and v != value]
        for name, other in others.items():
            if any(_is_id(moment, o := other.get(k)) and o != entity[k] for k in owners):
                yield from _with(moment, value, name)


def _wrong_state(moment: Moment) -> Made:
    for value, entity, others in _entities(moment):
        own = [key for key, value in entity.items() if not _is_id(moment, value)]
        states = [key for key in own if _is_state(key, [entity, *others.values()])]
        for name, other in others.items():
            if any(key in other and not equal(other[key], entity[key]) for key in states):
                yield from _with(moment, value, name)


def _bad_value(moment: Moment) -> Made:
    if moment.after == len(moment.calls):
        return
    call, ids = moment.calls[moment.after], {value for value, _ in _ids(moment)}
    function = moment.domain.tool(call.tool) or {}
    known = function.get("parameters", {}).get("properties", {})
    names = [name for name, value in call.arguments.items() if not ids & _texts(value)]
    for name in moment.chance.sample(sorted(names), len(names)):
        value = _other_value(call.arguments[name], known.get(name, {}), moment.chance)
        yield call.tool, {**call.arguments, name: value}


def _too_early(moment: Moment) -> Made:
    later = [call for call in moment.calls[moment.after + 1 :] if moment.writes(call)]
    if later:
        call = moment.chance.choice(later)
        yield call.tool, call.arguments


def _repeated(moment: Moment) -> Made:
    if moment.after and moment.made_change:
        call = moment.calls[moment.after - 1]
        yield call.tool, call.arguments


KINDS: dict[str, Callable[[Moment], Made]] = {
    "another_id": _another_id,
    "no_such_id": _no_such_id,
    "mangled_id": _mangled_id,
    "others_own": _others_own,
    "wrong_state": _wrong_state,
    "bad_value": _bad_value,
    "too_early": _too_early,
    "repeated": _repeated,
}


# What the kinds look at.


def _ids(moment: Moment) -> list[tuple[str, list[str]]]:
    """The ids among the arguments of the next call, each with others of its kind: by the
    state where it names them, else by what other calls give there."""
    named = [(value, sorted(others)) for value, _, others in _entities(moment)]
    if named or moment.after == len(moment.calls):
        return named
    call = moment.calls[moment.after]
    texts = [(k, v) for k, v in call.arguments.items() if isinstance(v, str) and v]
    known = [(v, moment.values.get((call.tool, k), ())) for k, v in texts]
    return [(v, [other for other in others if other != v]) for v, others in known if others]


def _entities(moment: Moment) -> Iterator[tuple[str, dict[str, Json], dict[str, dict[str, Json]]]]:
    """The entities that the next call names: (id, entity, neighbours by id)."""
    if moment.after == len(moment.calls):
        return
    for path in moment.ledger.relevant(moment.arguments):
        parent, name = lookup(moment.ledger.state, path.rpartition("/")[0]), split(path)[-1]
        if not isinstance(parent[name], dict):
            continue
        keys = sorted(key for key in parent if key != name and isinstance(parent[key], dict))
        drawn = moment.chance.sample(keys, min(DRAWN, len(keys)))
        yield name, parent[name], {key: parent[key] for key in drawn}


def _is_id(moment: Moment, value: Json) -> bool:
    """Whether `value` names an entity of one of the state's collections."""
    parts = moment.ledger.state.values()
    return isinstance(value, str) and any(isinstance(p, dict) and value in p for p in parts)


def _is_state(key: str, entities: Sequence[dict[str, Json]]) -> bool:
    """Whether a field holds one of a few values that entities share."""
    values = [entity[key] for entity in entities if key in entity]
    if any(json_type(value) not in ("string", "boolean") for value in values):
        return False
    return 1 < len(set(values)) <= min(FEW, len(values) - 1)


def _with(moment: Moment, old: str, new: str) -> Made:
    """The next call with `new` wherever it says `old`."""
    call = moment.calls[moment.after]
    yield call.tool, {name: _replaced(value, old, new) for name, value in call.arguments.items()}


def _replaced(value: Json, old: str, new: str) -> Json:
    if isinstance(value, dict):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    if json_type(value) == "number" and str(value) == old and new.isdecimal():
        return int(new)
    return new if value == old else value


def _texts(value: Json) -> set[str]:
    return {str(scalar) for scalar in scalars(value)}


def _other_value(value: Json, schema: Mapping[str, Json], chance: random.Random) -> Json:
    """A value of the same type that is hardly the right one."""
    if others := [other for other in schema.get("enum", ()) if not equal(other, value)]:
        return chance.choice(others)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return chance.choice([-value - 1, value * 1000 + 1])
    if isinstance(value, str):
        return f"no {value[::-1]}".strip()
    return type(value)() if value else value
