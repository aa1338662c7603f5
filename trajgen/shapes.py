"""The shape of a domain's state, inferred from the states that are known of it.

An object is a collection (its keys are ids, its values are of one kind) or a record (its
keys are fields). What the states have in common is what a proposed change is held to: the
type of a field, fields that no record of its kind has, fields that all of them have, how
the items of a list look, and the field in which a record repeats its own key.

A few examples show types and nothing else: what all do, and none does, is said of at least
SIBLINGS records. Sets of allowed words are not inferred: a state that no seed has come to
yet ("cancelled") looks just like a mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain

from trajgen.ledger import Ledger
from trajgen.pointers import MISSING, EffectError, join, json_type, lookup, overlay, split
from trajgen.records import Domain, Json, Reason, Seed, calls_of

SIBLINGS = 5
_NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
Versions = list[Json]  # of one place in the state, as different states have it


@dataclass(frozen=True, slots=True)
class Shape:
    """What is known of one kind of value; `seen` counts the places that hold one.

    `values` is the kind of a collection's values, `fields` are those of a record, `items`
    is the kind of a list's items. `own_key` is the field that repeats the key in the
    collection; `fixed` says that no record of its kind has other fields.
    """

    types: frozenset[str] = frozenset()
    seen: int = 0
    fields: Mapping[str, Shape] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    fixed: bool = False
    values: Shape | None = None
    items: Shape | None = None
    own_key: str = ""

    def below(self, key: str) -> Shape | None:
        """The shape of what is under `key`, or None where nothing is known."""
        if self.values is not None:
            return self.values
        return self.fields.get(key) or self.items


class Shapes:
    """The shape of each domain, inferred when it is first wanted: about a second for a
    database of 7 MB."""

    def __init__(self, domains: Mapping[str, Domain], seeds: Sequence[Seed]) -> None:
        self._domains, self._seeds = domains, seeds
        self._known: dict[str, Shape] = {}

    def of(self, name: str) -> Shape:
        """The shape of the domain `name`."""
        if name not in self._known:
            own = [seed for seed in self._seeds if seed.domain == name]
            self._known[name] = shape_of(self._domains[name], own)
        return self._known[name]


def bad_effects(
    shape: Shape, state: Json, effects: Sequence[Mapping[str, Json]], at: int | None
) -> list[Reason]:
    """A `bad_effect` for each way in which `effects`, which fit `state`, fit no shape."""
    return [Reason("bad_effect", at, what) for what in misfits(shape, state, effects)]


def shape_of(domain: Domain, seeds: Sequence[Seed]) -> Shape:
    """The shape of the domain's state and of the seeds' states, each before and after the
    effects that it records, as far as these fit. Where all states have the same keys at the
    top, no others are expected there."""
    known = [domain.state]
    for seed in seeds:
        known += _states(Ledger(overlay(domain.state, seed.state), 0), seed)
    known = [state for state in known if isinstance(state, dict)]
    enough = domain.state is not None or len(seeds) >= SIBLINGS
    root = _record(Shape(frozenset({"object"}), 1), [known]) if known else Shape()
    return replace(root, fixed=enough and len({frozenset(state) for state in known}) == 1)


def _states(ledger: Ledger, seed: Seed) -> list[Json]:
    """The states of a seed. Loaded seeds have effects that fit; what does not shows nothing."""
    states = [ledger.state]
    with suppress(EffectError):
        for call in calls_of(seed.messages):
            ledger.apply(seed.meta.get("effects", {}).get(call.id, ()))
            states.append(ledger.state)
    return states


def infer(places: list[Versions]) -> Shape:
    """The one shape of all `places`, each given by the values that it has held."""
    flat = list(chain.from_iterable(places))
    types = frozenset(_NAMES.get(kind, "number") for kind in set(map(type, flat)))
    if types.isdisjoint(("object", "array")):
        return Shape(types, len(places))
    objects = [only for versions in places if (only := _distinct(versions, dict))]
    items = [[v] for v in chain.from_iterable(_distinct(flat, list))]
    shape = Shape(types, len(places), items=infer(items) if items else None)
    if not any(map(any, objects)):
        return shape
    if _is_collection(objects):
        below = [(key, held) for one in objects for key, held in _columns(one).items()]
        return replace(shape, values=infer([v for _, v in below]), own_key=_own_key(below))
    return _record(shape, objects)


def extended(shape: Shape, state: Json, effects: Iterable[Mapping[str, Json]]) -> Shape:
    """`shape` with what real `effects` brought into `state`, which is that after them."""
    for effect in effects:
        if path := _target(effect):
            value = effect["value"] if effect["op"] != "move" else _held(state, path)
            shape = shape if value is MISSING else _met(shape, split(path), value)
    return shape


def misfits(shape: Shape, state: Json, effects: Iterable[Mapping[str, Json]]) -> Iterator[str]:
    """How `effects` on `state`, which fit it one after the other, differ from all that is
    known: pointer, expected, found."""
    for effect in effects:
        if path := _target(effect):
            moved = effect["op"] == "move"
            value = lookup(state, effect["path"]) if moved else effect["value"]
            parent = _at(shape, split(path)[:-1])
            if parent is not None and value is not MISSING:
                yield from _misplaced(parent, split(path)[-1], value, path)


def _at(shape: Shape, keys: Iterable[str]) -> Shape | None:
    for key in keys:
        if (below := shape.below(key)) is None:
            return None
        shape = below
    return shape


def _record(shape: Shape, objects: list[Versions]) -> Shape:
    columns = [_columns(one) for one in objects]
    names = sorted(set(chain.from_iterable(columns)))
    fields = {name: infer([c[name] for c in columns if name in c]) for name in names}
    every = frozenset(names).intersection(*chain.from_iterable(objects))
    strong = len(objects) >= SIBLINGS
    return replace(shape, fields=fields, required=every if strong else frozenset(), fixed=strong)


def _is_collection(objects: list[Versions]) -> bool:
    """Keys with a digit, or that are no plain words, are ids. So are words that hardly two
    objects have in common, and those of a single object whose values are records alike."""
    keys = Counter(chain.from_iterable(set().union(*one) for one in objects))
    if sum(map(is_id, keys)) * 2 > len(keys):
        return True
    if keys.total() > 1.5 * len(keys) or len(keys) < 2:
        return False
    values = [v for one in objects for version in one for v in version.values()]
    scalars = not any(isinstance(value, dict) for value in values)
    return len(objects) > 1 if scalars else _alike(values)


def is_id(key: str) -> bool:
    """Whether a key is no plain word, as ids are: it has a digit or a mark."""
    return not key.isidentifier() or any(map(str.isdigit, key))


def _alike(values: Sequence[Json]) -> bool:
    """Whether these are records with at least half of all their fields in common."""
    if not all(isinstance(value, dict) and value for value in values):
        return False
    names = [set(value) for value in values]
    return 2 * len(set.intersection(*names)) >= len(set.union(*names))


def _own_key(below: list[tuple[str, Versions]]) -> str:
    """The field that holds the key of each record, or ""."""
    if len({key for key, _ in below}) < 3:  # chance repeats no three keys
        return ""
    records = [(key, v) for key, versions in below for v in versions]
    if not all(isinstance(record, dict) for _, record in records):
        return ""
    names = [n for n, v in records[0][1].items() if v == records[0][0]]
    return next((n for n in names if all(r.get(n) == k for k, r in records)), "")


def _distinct(versions: Iterable[Json], kind: type) -> list[Json]:
    """The objects or lists among `versions`; those that states share count once."""
    return list({id(v): v for v in versions if type(v) is kind}.values())


def _columns(versions: Versions) -> dict[str, Versions]:
    columns: dict[str, Versions] = {}
    for version in versions:
        for key, value in version.items():
            columns.setdefault(key, []).append(value)
    return columns


def _target(effect: Mapping[str, Json]) -> str:
    """Where an effect puts a value that may be new in kind: "/list/-" is a new item."""
    op, path = effect["op"], str(effect["path"])
    if op == "append":
        return f"{path}/-"
    if op == "move":
        return str(effect["value"])
    return path if op in ("set", "add") else ""


def _held(state: Json, path: str) -> Json:
    """The value at `path`; of "/list/-" the last item."""
    if path.endswith("/-") and isinstance(items := lookup(state, path[:-2]), list):
        return items[-1] if items else MISSING
    return lookup(state, path)


def _misplaced(parent: Shape, key: str, value: Json, path: str) -> Iterator[str]:
    """What is wrong with `value` under `key` of an object or list of the shape `parent`."""
    if parent.values is not None:
        own = parent.own_key
        if own and isinstance(value, dict) and value.get(own, key) != key:
            yield f"{join(path, own)}: expected {key!r}, its key; found {value[own]!r}"
        yield from _misfit(parent.values, value, path)
    elif key in parent.fields:
        yield from _misfit(parent.fields[key], value, path)
    elif parent.items is not None and "array" in parent.types:
        yield from _misfit(parent.items, value, path)
    elif parent.fixed:
        yield _unknown(parent, path)


def _misfit(shape: Shape, value: Json, path: str) -> Iterator[str]:
    kind = json_type(value)
    if not _allowed(shape, kind):
        yield f"{path}: expected {' or '.join(sorted(shape.types))}, found {kind}"
    elif isinstance(value, list):
        for index, item in enumerate(value) if shape.items else ():
            yield from _misfit(shape.items, item, join(path, index))  # type: ignore[arg-type]
    elif isinstance(value, dict) and shape.values is not None:
        for key, item in value.items():
            yield from _misplaced(shape, key, item, join(path, key))
    elif isinstance(value, dict):
        missing = sorted(shape.required - value.keys())
        if missing:
            yield f"{path}: expected {', '.join(sorted(shape.required))}; without {missing[0]!r}"
        for key, item in value.items():
            if key in shape.fields or shape.fixed:
                yield from _misplaced(shape, key, item, join(path, key))


def _allowed(shape: Shape, kind: str) -> bool:
    """Null is let in until SIBLINGS places never held it; after nothing but null, anything."""
    if kind in shape.types or shape.types <= {"null"}:
        return True
    return kind == "null" and shape.seen < SIBLINGS


def _unknown(parent: Shape, path: str) -> str:
    known = ", ".join(sorted(parent.fields))
    return f"{path}: expected one of {known[:200]}; no record of its kind has this field"


def _met(shape: Shape | None, keys: list[str], value: Json) -> Shape:
    """`shape` with `value` at `keys` below it."""
    if shape is None or not shape.seen:
        shape = infer([[value]]) if not keys else Shape(frozenset({"object"}), 1)
        return shape if not keys else replace(shape, fields={keys[0]: _met(None, keys[1:], value)})
    if keys:
        return _met_below(shape, keys, value)
    types = shape.types | {json_type(value)}
    shape = replace(shape, types=types, seen=shape.seen + 1)
    if isinstance(value, dict):
        shape = replace(shape, required=shape.required & value.keys())
        for key, item in value.items():
            shape = _met_below(shape, [key], item)
    elif isinstance(value, list):
        for item in value:
            shape = _met_below(shape, ["-"], item)
    return shape


def _met_below(shape: Shape, keys: list[str], value: Json) -> Shape:
    key, rest = keys[0], keys[1:]
    if shape.values is not None:
        return replace(shape, values=_met(shape.values, rest, value))
    if "array" in shape.types and "object" not in shape.types:
        return replace(shape, items=_met(shape.items, rest, value))
    return replace(shape, fields={**shape.fields, key: _met(shape.fields.get(key), rest, value)})
