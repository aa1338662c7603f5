"""Two states -> the typed effects between them, and the goal that says the second is reached."""

from __future__ import annotations

from collections.abc import Iterator

from trajgen.pointers import join, json_type, lookup
from trajgen.records import Json

MAX_GOAL = 12


def changes(path: str, old: Json, new: Json) -> Iterator[dict[str, Json]]:
    """The typed effects that turn `old` at `path` into `new`, in an order that applies."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _object_changes(path, old, new)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _list_changes(path, old, new)
    elif "null" in (types := {json_type(old), json_type(new)}) or len(types) == 1:
        yield {"op": "set", "path": path, "value": new}
    else:
        yield {"op": "remove", "path": path}
        yield {"op": "add", "path": path, "value": new}


def _object_changes(
    path: str, old: dict[str, Json], new: dict[str, Json]
) -> Iterator[dict[str, Json]]:
    for key in old:
        if key not in new:
            yield {"op": "remove", "path": join(path, key)}
        elif old[key] is not new[key] and old[key] != new[key]:
            yield from changes(join(path, key), old[key], new[key])
    added = [key for key in new if key not in old]
    yield from ({"op": "add", "path": join(path, key), "value": new[key]} for key in added)


def _list_changes(path: str, old: list[Json], new: list[Json]) -> Iterator[dict[str, Json]]:
    if [json_type(item) for item in old] == [json_type(item) for item in new]:
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            if before != after:
                yield from changes(join(path, index), before, after)
    elif new[: len(old)] == old and len({json_type(item) for item in new}) == 1:
        yield from ({"op": "append", "path": path, "value": item} for item in new[len(old) :])
    else:
        yield {"op": "set", "path": path, "value": new}


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


def _changed(initial: Json, state: Json) -> Iterator[tuple[str, Json]]:
    """(path, new value) of every change; an appended item by the index that it has."""
    ends: dict[str, int] = {}
    for effect in changes("", initial, state):
        path = effect["path"]
        if effect["op"] == "append":
            end = ends.get(path, len(lookup(initial, path)))
            ends[path] = end + 1
            path = join(path, end)
        yield path, effect.get("value")
