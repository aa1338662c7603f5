"""Typed effects: what each means for a state, and the copy that has it.

    set        {"path", "value"}  replace what is there by a value of the same JSON type
    add        {"path", "value"}  a new key of an object
    remove     {"path"}           a key or list item that is there
    increment  {"path", "value"}  add to a number
    append     {"path", "value"}  one more item of a list
    move       {"path", "value"}  value is the pointer to move to; "/list/-" is its end

Old states stay valid: an update copies only the path it changes, so a database of
megabytes is shared by every rollout that starts from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from trajgen.pointers import (
    MISSING,
    EffectError,
    below,
    child,
    is_number,
    json_type,
    keys_of,
    lookup,
)
from trajgen.records import Json

OPS = ("set", "add", "remove", "increment", "append", "move")
SMALL_COLLECTION = 64  # a larger one is not changed as a whole, nor searched for entities


def changes(state: Json, effect: Mapping[str, Json]) -> list[tuple[str, Json]]:
    """What an effect means for `state`: (path, new value) pairs; MISSING removes.

    Raises EffectError when it does not fit.
    """
    op, path, value = effect.get("op"), effect.get("path", ""), effect.get("value", MISSING)
    if op not in OPS:
        raise EffectError(str(path), f"unknown effect {op!r} (known: {', '.join(OPS)})")
    keys = keys_of(path)
    if not keys:
        raise EffectError(path, f"cannot {op} the whole state; name a part of it")
    if value is MISSING and op != "remove":
        raise EffectError(path, f"{op} needs a value")
    old = below(state, keys)
    if op != "add" and old is MISSING:
        raise EffectError(path, f"nothing is there to {op}")
    if op in ("set", "remove", "move") and is_large(old):
        raise EffectError(path, f"cannot {op} all {len(old)} entries; name the one that is meant")
    if op == "set":
        _same_type(path, old, value)
    elif op == "add":
        _free(state, path)
    elif op == "remove":
        value = MISSING
    elif op == "increment":
        if not (is_number(old) and is_number(value)):
            raise EffectError(path, f"cannot add {json_type(value)} to {json_type(old)}")
        value = _sum(path, old, value)
    elif op == "append":
        return [(path, _appended(path, old, value))]
    else:
        return _moved(state, path, old, value)
    return [(path, value)]


def copied(state: Json, keys: Sequence[str], new: Json, at: int = 0) -> Json:
    """A copy of `state` along `keys`, from number `at` on, with `new` at the end; the rest is
    shared."""
    if at == len(keys):
        return new
    key = keys[at]
    if isinstance(state, list):
        index = int(key)
        return [*state[:index], copied(state[index], keys, new, at + 1), *state[index + 1 :]]
    if new is MISSING and at == len(keys) - 1:
        return {k: v for k, v in state.items() if k != key}
    return {**state, key: copied(state.get(key), keys, new, at + 1)}


def placed(state: Json, path: str, new: Json) -> tuple[str, Json, Json]:
    """Where `new` at `path` changes `state`: the pointer, what is there, what comes there.
    Without a list item the items behind it move up, so then it is the list that changes."""
    keys = keys_of(path)
    parent = below(state, keys[:-1])
    if new is MISSING and isinstance(parent, list):
        index = int(keys[-1])
        return path.rpartition("/")[0], parent, parent[:index] + parent[index + 1 :]
    return path, child(parent, keys[-1]), new


def applied(state: Json, effect: Mapping[str, Json]) -> Json:
    """`state` with one effect. Raises EffectError when it does not fit."""
    for path, new in changes(state, effect):
        where, _, value = placed(state, path, new)
        state = copied(state, keys_of(where), value)
    return state


def is_large(value: Json) -> bool:
    """Whether `value` holds more than SMALL_COLLECTION entries."""
    return isinstance(value, dict | list) and len(value) > SMALL_COLLECTION


def _sum(path: str, old: Json, value: Json) -> Json:
    try:
        if math.isfinite(total := old + value):
            return total
    except OverflowError:
        pass
    raise EffectError(path, "the sum is too large for a number")


def _same_type(path: str, old: Json, new: Json) -> None:
    types = json_type(old), json_type(new)
    if types[0] != types[1] and "null" not in types:
        raise EffectError(path, f"holds {json_type(old)}, cannot become {json_type(new)}")


def _free(state: Json, path: str) -> None:
    parent = lookup(state, path.rpartition("/")[0])
    if not isinstance(parent, dict):
        raise EffectError(path, "its parent is no object of the state")
    if lookup(state, path) is not MISSING:
        raise EffectError(path, "is there already")


def _appended(path: str, old: Json, value: Json) -> list[Json]:
    if not isinstance(old, list):
        raise EffectError(path, f"holds {json_type(old)}, not a list to append to")
    if old:
        _same_type(path, old[-1], value)
    return [*old, value]


def _moved(state: Json, path: str, old: Json, target: Json) -> list[tuple[str, Json]]:
    keys_of(target)
    if target == path or f"{target}/".startswith(f"{path}/"):
        raise EffectError(path, f"cannot move into itself ({target})")
    removal = (path, MISSING)
    parent = target.rpartition("/")[0]
    if target.endswith("/-"):
        if parent == path.rpartition("/")[0]:
            raise EffectError(path, "is in that list already")
        return [(parent, _appended(parent, lookup(state, parent), old)), removal]
    _free(state, target)
    return [(target, old), removal]
