"""What a declared call changes: typed effects with placeholders, compiled once.

    {path: /orders/{id}/status, value: cancelled}             set, or add where nothing is
    {op: append, path: /orders/{id}/notes, value: "{note}"}   any effect of effects.py
    {op: decrement, path: /items/{id}/stock, value: "{n}"}    an increment by minus the value
    {path: ..., value: ..., when: {argument: note, exists: true}}

Every placeholder is filled from the state before the call; effects apply in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from trajgen.declared.conditions import condition
from trajgen.declared.placeholders import Fill, Malformed, View, nearest, pointer, rendered, value
from trajgen.effects import OPS, applied
from trajgen.pointers import MISSING, EffectError, is_number, json_type, lookup, split
from trajgen.records import Json

Effect: TypeAlias = dict[str, Json]
Write: TypeAlias = Callable[[View, Json], Effect | None]
KEYS = ("path", "value", "op", "when")
DECLARED_OPS = (*OPS, "decrement")
MAX_DEPTH = 64  # of a value that is written; the ledger holds twice as much


def writes(data: Json, place: str, names: Sequence[str]) -> list[Write]:
    """The compiled writes of a tool: one, or a list of them. Raises Malformed."""
    items = data if isinstance(data, list) else [data]
    if not items:
        raise Malformed(place, "an empty list writes nothing; leave it out")
    places = [f"{place}.{i}" for i in range(len(items))] if isinstance(data, list) else [place]
    return [_write(item, where, names) for item, where in zip(items, places, strict=True)]


def written(steps: Sequence[Write], view: View) -> tuple[list[Effect], Json]:
    """The effects of a call, and the state after them. Raises EffectError for the first that
    does not fit."""
    effects, state = [], view.state
    for step in steps:
        effect = step(view, state)
        if effect is not None:
            state = applied(state, effect)
            effects.append(effect)
    return effects, state


def _write(data: Json, place: str, names: Sequence[str]) -> Write:
    if not isinstance(data, Mapping):
        raise Malformed(place, f"an effect is a mapping, found {data!r}")
    if unknown := [key for key in data if key not in KEYS]:
        raise Malformed(place, f"unknown key {unknown[0]!r}; {nearest(str(unknown[0]), KEYS)}")
    op = data.get("op")
    if op is not None and op not in DECLARED_OPS:
        advice = nearest(str(op), DECLARED_OPS)
        raise Malformed(f"{place}.op", f"unknown effect {op!r}; {advice}")
    if "path" not in data:
        raise Malformed(place, "an effect has a path")
    where = pointer(data["path"], f"{place}.path", names)
    new = _value(op, data, place, names)
    when = condition(data["when"], f"{place}.when", names) if "when" in data else None

    def step(view: View, state: Json) -> Effect | None:
        if when is not None and not when(view):
            return None
        if (keys := where(view)) is None:
            raise EffectError(data["path"], "a placeholder of it names what is not there")
        view.read.append(keys)
        path = rendered(keys)
        return _effect(op, path, new(view) if new else MISSING, state)

    return step


def _value(
    op: str | None, data: Mapping[str, Json], place: str, names: Sequence[str]
) -> Fill | None:
    if ("value" in data) == (op == "remove"):
        raise Malformed(place, "remove takes no value" if op == "remove" else "needs a value")
    if op == "remove":
        return None
    found, place = data["value"], f"{place}.value"
    if op in ("increment", "decrement") and not (isinstance(found, str) or is_number(found)):
        raise Malformed(place, f"is a number or a placeholder for one, found {found!r}")
    if op != "move":
        return value(found, place, names)
    target = pointer(found, place, names)
    return lambda view: _path(view, target(view))


def _path(view: View, keys: tuple[str, ...] | None) -> Json:
    if keys is None:
        return MISSING
    view.read.append(keys)
    return rendered(keys)


def _effect(op: str | None, path: str, new: Json, state: Json) -> Effect:
    if op == "remove":
        return {"op": op, "path": path}
    if new is MISSING:
        raise EffectError(path, "the value to write names what is not there")
    if op is None:
        op = "add" if lookup(state, path) is MISSING else "set"
    elif op == "decrement":
        if not is_number(new):
            raise EffectError(path, f"cannot take {json_type(new)} from a number")
        op, new = "increment", -new
    if isinstance(new, dict | list) and depth(new) + len(split(path)) > MAX_DEPTH:
        raise EffectError(path, f"nests deeper than {MAX_DEPTH}")
    return {"op": op, "path": path, "value": new}


def depth(data: Json) -> int:
    """How many levels of objects and lists `data` has; MAX_DEPTH + 1 stands for any more."""
    levels, level = 0, [data] if isinstance(data, dict | list) else []
    while level and levels <= MAX_DEPTH:
        levels += 1
        inner = [v.values() if isinstance(v, dict) else v for v in level]
        level = [v for values in inner for v in values if isinstance(v, dict | list)]
    return levels
