"""Where in a state the values of each argument stand, learnt from the seeds' calls.

A place is a pointer in which the ids are left open: a seed that takes `mug_2` from `table_1`
shows that an `object` stands at `/places/*/contents/*`. A value stands there as a key, or as
a scalar. An id is the key of an object whose values are all objects, below the top.

Crash rule: pure.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.pointers import is_number, scalars
from trajgen.records import Domain, Json, Seed, calls_of
from trajgen.seeds import initial_state

LEARNT_FROM = 200  # seeds
LARGE = 4000  # nodes; where values stand in a larger state is looked up once
DRAWN = 64  # keys of a large collection that are looked at
ENOUGH = 0.2  # of an argument's values have to stand at a place
PLACES = 4  # of an argument

WILD = "*"
Place: TypeAlias = tuple[bool, tuple[str, ...]]  # whether as a key, and the keys that lead there
Index: TypeAlias = Mapping[str, set[Place]]


@dataclass(frozen=True, slots=True)
class Argument:
    """What the seeds show of one argument: where its values stand, which were seen, whether
    they are numbers or lists, and how often it is given."""

    places: tuple[Place, ...] = ()
    seen: tuple[Json, ...] = ()
    number: bool = False
    listed: bool = False
    given: float = 0.0


Arguments: TypeAlias = Mapping[tuple[str, str], Argument]


def learn(domain: Domain, seeds: Sequence[Seed]) -> Arguments:
    """What the seeds show of each (tool, argument)."""
    known = _index(domain.state) if _is_large(domain.state) else None
    stood: dict[tuple[str, str], Counter[Place]] = defaultdict(Counter)
    seen: dict[tuple[str, str], list[Json]] = defaultdict(list)
    calls: Counter[str] = Counter()
    for seed in seeds[:LEARNT_FROM]:
        ledger = Ledger(initial_state(domain, seed), 0)
        effects = seed.meta.get("effects") or {}
        for call in calls_of(seed.messages):
            index = _index(ledger.state) if known is None else known
            calls[call.tool] += 1
            for name, value in call.arguments.items():
                seen[call.tool, name].append(value)
                at = {place for text in _texts(value) for place in index.get(text, ())}
                stood[call.tool, name].update(at)
            ledger.apply(effects.get(call.id, ()))
    return {key: _argument(stood[key], values, calls[key[0]]) for key, values in seen.items()}


def standing(state: Json, place: Place, chance: random.Random) -> list[str]:
    """What stands at `place` now, as texts; of a large collection a sample."""
    as_key, keys = place
    found = [state]
    for key in keys[:-1] if as_key else keys:
        found = [below for value in found for below in _below(value, key, chance)]
    if as_key:
        ids = [key for value in found for key in _keys(value, chance)]
    else:
        ids = [_text(value) for value in found if _is_scalar(value)]
    return list(dict.fromkeys(ids))


def _argument(stood: Counter[Place], values: list[Json], calls: int) -> Argument:
    enough = ENOUGH * len(values)
    best = sorted(stood.items(), key=lambda item: (-item[1], item[0]))
    return Argument(
        places=tuple(place for place, n in best[:PLACES] if n >= enough),
        seen=tuple({canonical(value): value for value in values}.values()),
        number=all(map(is_number, values)),
        listed=all(isinstance(value, list) for value in values),
        given=len(values) / calls,
    )


def _index(state: Json) -> Index:
    found: dict[str, set[Place]] = defaultdict(set)
    for text, place in _spots(state, ()):
        found[text].add(place)
    return found


def _spots(value: Json, keys: tuple[str, ...]) -> Iterator[tuple[str, Place]]:
    """Every key and scalar below `value`, with its place."""
    if isinstance(value, dict):
        ids = bool(keys) and all(isinstance(item, dict) for item in value.values())
        for key, item in value.items():
            if keys:
                yield key, (True, (*keys, WILD))
            yield from _spots(item, (*keys, WILD if ids else key))
    elif isinstance(value, list):
        for item in value:
            yield from _spots(item, (*keys, WILD))
    elif _is_scalar(value):
        yield _text(value), (False, keys)


def _below(value: Json, key: str, chance: random.Random) -> list[Json]:
    if key == WILD and isinstance(value, list):
        return value if len(value) <= DRAWN else chance.sample(value, DRAWN)
    if not isinstance(value, dict):
        return []
    if key == WILD:
        return [value[name] for name in _keys(value, chance)]
    return [value[key]] if key in value else []


def _keys(value: Json, chance: random.Random) -> list[str]:
    if not isinstance(value, dict):
        return []
    return list(value) if len(value) <= DRAWN else chance.sample(list(value), DRAWN)


def _is_large(state: Json) -> bool:
    return state is not None and sum(1 for _ in _spots(state, ())) > LARGE


def _texts(value: Json) -> set[str]:
    return {_text(item) for item in scalars(value)}


def _is_scalar(value: Json) -> bool:
    return isinstance(value, str) or is_number(value)


def _text(value: Json) -> str:
    return str(value)
