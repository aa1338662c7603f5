"""Two states -> the typed effects between them, the overlay, and the goal that the second holds.

Exact: the effects, applied in their order to the first state, give the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from trajgen.effects import SMALL_COLLECTION, is_large
from trajgen.pointers import equal, join, json_type, lookup
from trajgen.records import Json

MAX_GOAL = 12


def difference(old: Json, new: Json, path: str = "") -> Iterator[dict[str, Json]]:
    """The typed effects that turn `old` at `path` into `new`, in an order that applies.

    At "" both are objects: a state is never replaced as a whole.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _objects(path, old, new)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(path, old, new)
    elif _fits(old, new):
        yield from _set(path, old, new)
    else:
        yield from _removed(path, old)
        yield {"op": "add", "path": path, "value": new}


def patch(old: Json, new: Json) -> Json:
    """What laid over `old` (`pointers.overlay`) gives `new`; `new` has all keys of `old`."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    same = {k for k, v in new.items() if k in old and (old[k] is v or equal(old[k], v))}
    return {key: patch(old.get(key), value) for key, value in new.items() if key not in same}


def goal(initial: Json, state: Json) -> tuple[dict[str, Json], ...]:
    """Conditions on the scalars that changed, single fields before whole new entities."""
    plain: list[tuple[str, Json]] = []
    nested: list[tuple[str, Json]] = []
    for path, value in _changed(initial, state):
        if isinstance(value, dict):
            nested += [(join(path, key), item) for key, item in value.items()]
        else:
            plain.append((path, value))
    known = [(p, v) for p, v in plain + nested if isinstance(v, str | int | float)]
    return tuple({"path": path, "equals": value} for path, value in known[:MAX_GOAL])


def _objects(path: str, old: dict[str, Json], new: dict[str, Json]) -> Iterator[dict[str, Json]]:
    for key in old:
        if key not in new:
            yield from _removed(join(path, key), old[key])
        elif old[key] is not new[key] and not equal(old[key], new[key]):
            yield from difference(old[key], new[key], join(path, key))
    added = [key for key in new if key not in old]
    yield from ({"op": "add", "path": join(path, key), "value": new[key]} for key in added)


def _lists(path: str, old: list[Json], new: list[Json]) -> Iterator[dict[str, Json]]:
    kept, gone = _common(old, new), len(old) - len(new)
    if len(old) == len(new) and all(map(_fits, old, new)):
        for index in range(kept, len(old)):
            if not equal(old[index], new[index]):
                yield from difference(old[index], new[index], join(path, index))
    elif gone > 0 and equal(old[kept + gone :], new[kept:]):
        for index in range(kept + gone - 1, kept - 1, -1):
            yield from _removed(join(path, index), old[index])
    elif (kept == len(old) or is_large(old)) and _appends(new[max(kept - 1, 0) :]):
        for index in range(len(old) - 1, kept - 1, -1):
            yield from _removed(join(path, index), old[index])
        yield from ({"op": "append", "path": path, "value": item} for item in new[kept:])
    else:
        yield from _set(path, old, new)


def _common(old: list[Json], new: list[Json]) -> int:
    """How many items both lists begin with."""
    shorter = min(len(old), len(new))
    return next((i for i in range(shorter) if not equal(old[i], new[i])), shorter)


def _set(path: str, old: Json, new: Json) -> Iterator[dict[str, Json]]:
    yield from _shrunk(path, old)
    yield {"op": "set", "path": path, "value": new}


def _removed(path: str, old: Json) -> Iterator[dict[str, Json]]:
    yield from _shrunk(path, old)
    yield {"op": "remove", "path": path}


def _shrunk(path: str, old: Json) -> Iterator[dict[str, Json]]:
    """A large collection is neither set nor removed as a whole: first its entries go."""
    if is_large(old):
        keys = list(old) if isinstance(old, dict) else list(range(len(old)))
        for key in reversed(keys[SMALL_COLLECTION:]):
            yield from _removed(join(path, key), old[key])


def _fits(old: Json, new: Json) -> bool:
    """Whether a value may take the other's place: of one JSON type, or null."""
    types = {json_type(old), json_type(new)}
    return len(types) == 1 or "null" in types


def _appends(items: list[Json]) -> bool:
    return all(_fits(before, after) for before, after in pairwise(items))


def _changed(initial: Json, state: Json) -> Iterator[tuple[str, Json]]:
    """(path, new value) of every change; an appended item by the index that it has."""
    ends: dict[str, int] = {}
    for effect in difference(initial, state):
        path = effect["path"]
        if effect["op"] == "append":
            end = ends.get(path, len(lookup(initial, path)))
            ends[path] = end + 1
            path = join(path, end)
        yield path, effect.get("value")
