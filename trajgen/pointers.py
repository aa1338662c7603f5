"""JSON pointers (RFC 6901) over plain values: what is where, and what is the same.

Nothing here changes a value; MISSING stands for what is not there, which null is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from trajgen.records import Json

MISSING: Any = object()
_SHORT = 256  # characters of a pointer whose keys are kept
_TYPES = {
    bool: "boolean",
    dict: "object",
    list: "array",
    str: "string",
    int: "number",
    float: "number",
}
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_BAD_ESCAPE = re.compile(r"~(?![01])")


class EffectError(ValueError):
    """No pointer, or an effect that does not fit: `path` is where, the text says why."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path or '/'}: {why}")
        self.path = path


def split(path: str) -> list[str]:
    """The keys of a JSON pointer. Raises EffectError when it is none."""
    return list(keys_of(path))


def keys_of(path: str) -> tuple[str, ...]:
    """The same, shared by all who ask for a short pointer."""
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise EffectError(str(path), "not a JSON pointer (it must begin with '/')")
    return _keys_of(path) if len(path) <= _SHORT else _read(path)


def join(parent: str, key: str | int) -> str:
    """The pointer of `key` below `parent`."""
    text = str(key)
    if "~" in text or "/" in text:
        text = text.replace("~", "~0").replace("/", "~1")
    return f"{parent}/{text}"


def child(value: Json, key: str) -> Json:
    """The value under one key of an object or list, or MISSING."""
    if isinstance(value, dict):
        return value.get(key, MISSING)
    if isinstance(value, list) and _INDEX.fullmatch(key):
        return value[int(key)] if int(key) < len(value) else MISSING
    return MISSING


def lookup(state: Json, path: str) -> Json:
    """The value at `path`, or MISSING."""
    return below(state, keys_of(path))


def below(state: Json, keys: Sequence[str]) -> Json:
    """The value under `keys`, one inside the other, or MISSING."""
    for key in keys:
        state = state.get(key, MISSING) if type(state) is dict else child(state, key)
        if state is MISSING:
            return MISSING
    return state


def overlay(base: Json, patch: Json) -> Json:
    """`base` with `patch`, if there is one, laid over it: objects merge key by key, anything
    else replaces; so does a null inside the patch."""
    if not (isinstance(base, dict) and isinstance(patch, dict)):
        return base if patch is None else patch
    return base | {k: v if v is None else overlay(base.get(k), v) for k, v in patch.items()}


def excerpt(state: Json, paths: Iterable[str]) -> Json:
    """`state` reduced to `paths`; a list on the way is kept whole, a missing path left out."""
    result: dict[str, Json] = {}
    for path in sorted(paths, key=lambda p: p.count("/")):
        _keep(state, result, keys_of(path))
    return result


def scalars(value: Json) -> list[Json]:
    """Every string, number and boolean inside `value`, keys left out."""
    found: list[Json] = []
    _gather([value], found)
    return found


def equal(left: Json, right: Json) -> bool:
    """Whether two JSON values are the same: 10 is 10.0, true is not 1."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(v, right[k]) for k, v in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return json_type(left) == json_type(right) and bool(left == right)


def json_type(value: Json) -> str:
    """The JSON type's name; a boolean is not a number."""
    return _TYPES.get(type(value), "null")


def is_number(value: Json) -> bool:
    """Whether `value` is a number; a boolean is none."""
    return json_type(value) == "number"


def _read(path: str) -> tuple[str, ...]:
    if "~" not in path:
        return tuple(path.split("/")[1:])
    if _BAD_ESCAPE.search(path):
        raise EffectError(path, "not a JSON pointer ('~' in a key is written ~0, '/' is ~1)")
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in path.split("/")[1:])


_keys_of = lru_cache(maxsize=4096)(_read)


def _gather(items: Iterable[Json], found: list[Json]) -> None:
    for item in items:
        if isinstance(item, dict):
            _gather(item.values(), found)
        elif isinstance(item, list):
            _gather(item, found)
        elif item is not None:
            found.append(item)


def _keep(state: Json, result: dict[str, Json], keys: Sequence[str]) -> None:
    for depth, key in enumerate(keys):
        inner = child(state, key)
        if inner is MISSING:
            return
        if not isinstance(inner, dict) or depth == len(keys) - 1:
            result[key] = inner
            return
        if key not in result:
            result[key] = {}
        elif result[key] is inner:  # kept whole already
            return
        state, result = inner, result[key]
