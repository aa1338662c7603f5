"""Text, JSON and pointers with {placeholders}, compiled once and filled call by call.

    {name}            an argument of the call
    {/orders/{id}}    what is there in the state; its parts may hold placeholders again
    {keys /orders}    the keys of an object in alphabetical order: "a, b, c"
    {{ and }}         the signs themselves

A value that is one placeholder and nothing else keeps its JSON type; within text a value is
written as JSON, a string as it is. A filled pointer is a tuple of keys, so an argument with
a slash in it is one key and leads nowhere else. What is not there fills in as MISSING.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from trajgen.pointers import MISSING, child, join
from trajgen.records import Json

Keys: TypeAlias = tuple[str, ...]
_ARGUMENT = re.compile(r"\w[\w.-]*")
_BAD_ESCAPE = re.compile(r"~(?![01])")
MAX_NESTING = 8


class Malformed(ValueError):
    """Something a domain file declares is not in the language: the key, and why."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(f"{place}: {why}")


class View:
    """What a declaration sees of one call: its arguments and a state. `read` gathers the
    keys of every place it looked at."""

    __slots__ = ("arguments", "read", "state")

    def __init__(self, arguments: Mapping[str, Json], state: Json, read: list[Keys]) -> None:
        self.arguments, self.state, self.read = arguments, state, read

    def at(self, keys: Keys | None) -> Json:
        """The value under `keys`, or MISSING."""
        if keys is None:
            return MISSING
        self.read.append(keys)
        value = self.state
        for key in keys:
            value = value.get(key, MISSING) if value.__class__ is dict else child(value, key)
            if value is MISSING:
                return MISSING
        return value


Fill: TypeAlias = Callable[[View], Json]
Where: TypeAlias = Callable[[View], Keys | None]


def rendered(keys: Iterable[str]) -> str:
    """The JSON pointer of `keys`."""
    path = ""
    for key in keys:
        path = join(path, key)
    return path


def spoken(value: Json) -> str:
    """A value within text: a string as it is, anything else as JSON."""
    return value if value.__class__ is str else json.dumps(value, ensure_ascii=False)


def value(data: Json, place: str, names: Sequence[str]) -> Fill:
    """A JSON template. A key whose value is an argument that was left out is left out too.

    Raises Malformed for what is no JSON, and as `text` does.
    """
    if isinstance(data, str):
        return text(data, place, names)
    if isinstance(data, dict):
        return _object(data, place, names)
    if isinstance(data, list):
        items = [value(item, f"{place}.{i}", names) for i, item in enumerate(data)]
        return lambda view: _whole([item(view) for item in items])
    known = data is None or isinstance(data, bool | int | float)
    if not known or (isinstance(data, float) and not math.isfinite(data)):
        raise Malformed(
            place, f"{data!s:.40} is no JSON value (text that looks like one: quote it)"
        )
    return lambda view: data


def text(data: str, place: str, names: Sequence[str]) -> Fill:
    """A text template; one placeholder alone keeps its type. Raises Malformed."""
    parts = _parts(data, place, names)
    if all(isinstance(part, str) for part in parts):
        fixed = "".join(part for part in parts if isinstance(part, str))
        return lambda view: fixed
    if len(parts) == 1 and callable(parts[0]):
        return parts[0]
    return lambda view: _joined(parts, view)


def literal_head(data: str) -> str:
    """What a text begins with whatever the call is."""
    return data.partition("{")[0]


def pointer(data: Json, place: str, names: Sequence[str]) -> Where:
    """A JSON pointer with placeholders in its keys. Raises Malformed."""
    if not isinstance(data, str) or not data.startswith("/"):
        raise Malformed(place, f"{data!r} is no JSON pointer (it must begin with '/')")
    keys = [_key(parts, place) for parts in _keys(_parts(data, place, names))]
    if all(isinstance(key, str) for key in keys):
        fixed = tuple(key for key in keys if isinstance(key, str))
        return lambda view: fixed
    return lambda view: _filled(keys, view)


def nearest(name: str, known: Iterable[str]) -> str:
    """Advice for an unknown name: the nearest known one, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"


def _object(data: dict[str, Json], place: str, names: Sequence[str]) -> Fill:
    items, optional = [], set()
    for key, item in data.items():
        if not isinstance(key, str) or "{" in key:
            raise Malformed(place, f"key {key!r}: keys are text without placeholders")
        items.append((key, value(item, f"{place}.{key}", names)))
        if isinstance(item, str) and item[1:-1] in names and item == f"{{{item[1:-1]}}}":
            optional.add(key)

    def fill(view: View) -> Json:
        found = {key: item(view) for key, item in items}
        for key in optional:
            if found[key] is MISSING:
                del found[key]
        return MISSING if any(v is MISSING for v in found.values()) else found

    return fill


def _whole(items: list[Json]) -> Json:
    return MISSING if any(item is MISSING for item in items) else items


def _joined(parts: Sequence[str | Fill], view: View) -> Json:
    said = []
    for part in parts:
        item = part if isinstance(part, str) else part(view)
        if item is MISSING:
            return MISSING
        said.append(spoken(item))
    return "".join(said)


def _filled(keys: Sequence[str | Fill], view: View) -> Keys | None:
    found = []
    for key in keys:
        item = key if isinstance(key, str) else key(view)
        if item is MISSING:
            return None
        found.append(spoken(item))
    return tuple(found)


def _parts(data: str, place: str, names: Sequence[str], depth: int = 0) -> list[str | Fill]:
    """Literal text and placeholders of a template, in order."""
    parts: list[str | Fill] = []
    literal, at = "", 0
    while at < len(data):
        sign = data[at]
        if data[at : at + 2] in ("{{", "}}"):
            literal, at = literal + sign, at + 2
        elif sign == "{":
            inside = data[at + 1 : (end := _closing(data, at, place))]
            parts += [literal] if literal else []
            parts.append(_hole(inside, place, names, depth + 1))
            literal, at = "", end + 1
        elif sign == "}":
            raise Malformed(place, f"{data[:80]!r}: a '}}' that closes nothing is written '}}}}'")
        else:
            literal, at = literal + sign, at + 1
    return parts + ([literal] if literal or not parts else [])


def _closing(data: str, start: int, place: str) -> int:
    depth = 0
    for at in range(start, len(data)):
        depth += (data[at] == "{") - (data[at] == "}")
        if depth == 0:
            return at
    raise Malformed(place, f"{data[:80]!r}: a '{{' is never closed (the sign itself is '{{{{')")


def _hole(inside: str, place: str, names: Sequence[str], depth: int) -> Fill:
    if depth > MAX_NESTING:
        raise Malformed(place, f"placeholders nest deeper than {MAX_NESTING}")
    if inside in names:
        return lambda view: view.arguments.get(inside, MISSING)
    if inside.startswith("/"):
        where = _pointer_inside(inside, place, names, depth)
        return lambda view: view.at(where(view))
    if inside.startswith("keys /"):
        where = _pointer_inside(inside[5:], place, names, depth)
        return lambda view: _listed(view.at(where(view)))
    if _ARGUMENT.fullmatch(inside):
        raise Malformed(place, f"{{{inside}}} is no argument of the tool; {nearest(inside, names)}")
    raise Malformed(
        place, f"{{{inside}}}: a placeholder is an argument, a pointer, or `keys` and a pointer"
    )


def _pointer_inside(data: str, place: str, names: Sequence[str], depth: int) -> Where:
    keys = [_key(parts, place) for parts in _keys(_parts(data, place, names, depth))]
    return lambda view: _filled(keys, view)


def _listed(found: Json) -> Json:
    return ", ".join(sorted(found)) if isinstance(found, dict) else MISSING


def _keys(parts: list[str | Fill]) -> list[list[str | Fill]]:
    """The parts of each key of a pointer: only the template's own slashes divide."""
    keys: list[list[str | Fill]] = []
    for part in parts:
        if not isinstance(part, str):
            keys[-1].append(part)
            continue
        first, *more = part.split("/")
        if first:
            keys[-1].append(first)
        keys += [[key] if key else [] for key in more]
    return keys


def _key(parts: list[str | Fill], place: str) -> str | Fill:
    read: list[str | Fill] = []
    for part in parts:
        if isinstance(part, str):
            if _BAD_ESCAPE.search(part):
                raise Malformed(place, f"{part!r}: '~' in a key is written ~0, '/' is ~1")
            part = part.replace("~1", "/").replace("~0", "~")
        read.append(part)
    if all(isinstance(part, str) for part in read):
        return "".join(part for part in read if isinstance(part, str))
    return read[0] if len(read) == 1 and callable(read[0]) else lambda view: _joined(read, view)
