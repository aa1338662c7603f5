"""Small changes to bytes and to JSON values: what editors, disks and models do to data.

All are drawn from a `random.Random`, so that a case that fails can be played again.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

LONG = "so " * 4_000
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3.5, 1e308, -1e-308, 2**31, 2**63 - 1, 2**63, 10**30),
    *("", " ", "\n", "0", "-1", "null", "~", "x\0y", "\ud800", "\u202eabc", "é" * 40, "💥"),
    *("../../../etc/passwd", "/etc/passwd", "~root/x", "${HOME}", "${}", "%s%n", "{{ 7 * 7 }}"),
    *("<|im_end|>", "[INST]", "<tool_call>", "</s>", "\x1b[31m", "a: b: c", "- x", "&a *a", LONG),
    *("/a/~2/b", "/", "//", "task-0", "inf", "nan", "1_000", "0x1F", "2024-01-05"),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": [1, {"c": None}]}}, [1, "1", None, {}]),
)
Place = tuple[Any, Any]  # a list or a mapping, and an index or key of it


def deep(levels: int) -> Any:
    """Lists in lists."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def bytes_changed(data: bytes, draw: random.Random) -> bytes:
    """One to four bytes changed, cut, doubled or put in."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(changed) + 1)
        draw.choice(_EDITS)(changed, at, draw)
    return bytes(changed)


def _set(data: bytearray, at: int, draw: random.Random) -> None:
    data[at : at + 1] = bytes([draw.choice(b'{}[]",:\\/#&*!|>%@`~-0179eE.\x00\t\n\xff\xc3')])


def _cut(data: bytearray, at: int, draw: random.Random) -> None:
    del data[at : at + draw.randint(1, 40)]


def _double(data: bytearray, at: int, draw: random.Random) -> None:
    data[at:at] = data[at : at + draw.randint(1, 40)]


def _flip(data: bytearray, at: int, draw: random.Random) -> None:
    if at < len(data):
        data[at] ^= 1 << draw.randrange(8)


def _end(data: bytearray, at: int, draw: random.Random) -> None:
    if draw.random() < 0.2:
        del data[at:]


_EDITS: tuple[Callable[[bytearray, int, random.Random], None], ...] = (
    *(_set, _cut, _double, _flip, _end),
)


def value_changed(value: Any, draw: random.Random) -> Any:
    """A copy of a JSON value with one or two places changed."""
    root = [copy.deepcopy(value)]
    for _ in range(draw.randint(1, 2)):
        holder, key = draw.choice(list(_places(root)))
        draw.choice(_CHANGES)(holder, key, draw)
    return root[0] if root else None


def _places(value: Any) -> Iterator[Place]:
    keys = value.items() if isinstance(value, dict) else enumerate(value)
    for key, below in list(keys):
        yield value, key
        if isinstance(below, dict | list):
            yield from _places(below)


def _replace(holder: Any, key: Any, draw: random.Random) -> None:
    holder[key] = deep(90) if draw.random() < 0.03 else copy.deepcopy(draw.choice(HOSTILE))


def _remove(holder: Any, key: Any, draw: random.Random) -> None:
    if isinstance(holder, dict) or len(holder) > 1:
        del holder[key]


def _rename(holder: Any, key: Any, draw: random.Random) -> None:
    if isinstance(holder, dict):
        name = draw.choice([h for h in HOSTILE if isinstance(h, str)])
        holder[name if draw.random() < 0.5 else f"{key}s"] = holder.pop(key)


def _retype(holder: Any, key: Any, draw: random.Random) -> None:
    old = holder[key]
    holder[key] = draw.choice([[old], {"value": old}, str(old), len(str(old))])


def _repeat(holder: Any, key: Any, draw: random.Random) -> None:
    if isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif isinstance(holder[key], str):
        holder[key] = holder[key] * draw.choice([2, 50])


def _swap(holder: Any, key: Any, draw: random.Random) -> None:
    other = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    holder[key], holder[other] = holder[other], holder[key]


_CHANGES: tuple[Callable[[Any, Any, random.Random], None], ...] = (
    *(_replace, _replace, _remove, _rename, _retype, _repeat, _swap),
)
