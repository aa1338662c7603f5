"""JSON values field by field: how far two of them differ, and how much they share.

A field is a scalar, or an empty object or list, at its pointer. 10 is 10.0, true is not 1,
and floats are the same to twelve digits. Crash rule: pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from trajgen.filters.reading import parsed
from trajgen.json_text import canonical
from trajgen.pointers import MISSING, join
from trajgen.records import Json

_WORD = re.compile(r"\w+")


def fields(value: Json, path: str = "") -> Iterator[tuple[str, str]]:
    """Every field of `value` as (pointer, value as text); MISSING has none."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from fields(item, join(path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from fields(item, join(path, index))
    elif value is not MISSING:
        yield path, _text(value)


def n_changed(old: Json, new: Json) -> int:
    """How many fields differ between two values; 0 when they are the same.

    What both share by identity is not looked at. Lists of one length are compared item by
    item, others by the items that only one of them has.
    """
    if old is new:
        return 0
    if isinstance(old, dict) and isinstance(new, dict) and (old or new):
        keys = old.keys() | new.keys()
        return sum(n_changed(old.get(k, MISSING), new.get(k, MISSING)) for k in keys)
    if isinstance(old, list) and isinstance(new, list):
        if len(old) == len(new):
            return sum(map(n_changed, old, new))
        before, after = (Counter(tuple(fields(item)) for item in side) for side in (old, new))
        only = (before - after) + (after - before)
        return sum(len(item) * n for item, n in only.items())
    left, right = set(fields(old)), set(fields(new))
    return max(len(left - right), len(right - left))


def observation_score(truth: str, said: str) -> tuple[bool, float]:
    """Whether an observation is the true one, and the F1 of its fields.

    A JSON object or array is compared as data; its F1 is that of its fields. Text is
    compared with white space folded; its F1 is that of its words, in any case.
    """
    real = parsed(truth)
    if real is MISSING:
        exact = " ".join(truth.split()) == " ".join(said.split())
        return exact, 1.0 if exact else _f1(_words(truth), _words(said))
    mine = parsed(said)
    left, right = Counter(fields(real)), Counter(fields(mine))
    return left == right, _f1(left, right)


def _f1(left: Counter[Json], right: Counter[Json]) -> float:
    size = left.total() + right.total()
    return 2 * (left & right).total() / size if size else 0.0


def _words(text: str) -> Counter[Json]:
    return Counter(_WORD.findall(text.casefold()))


def _text(value: Json) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.12g}"
    return canonical(value)
