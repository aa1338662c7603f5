"""JSON text without white space, written by orjson where it writes just what `json` would.

Text that is stored and text that ids are made of stay the same to the letter, so `json` writes
what orjson refuses (integers of more than 64 bits, half surrogate pairs, keys that are no text)
and what it may have written otherwise: NaN as null, small numbers as 1e-7 or 0.00001.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_CANONICAL = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
# Types that `json` does not take, or takes for what they are derived from.
_PLAIN = (
    orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)  # fmt: skip
_SORTED = _PLAIN | orjson.OPT_SORT_KEYS
_SMALL = re.compile(rb"\de-\d")


def compact(value: Any) -> str:
    """`value` as JSON text without white space; keys keep their order."""
    data = _quick(value, _PLAIN)
    return _COMPACT.encode(value) if data is None else data.decode()


def canonical(value: Any) -> str:
    """`value` as JSON text with sorted keys and no white space; one text for one value."""
    data = _quick(value, _SORTED)
    return _CANONICAL.encode(value) if data is None else data.decode()


def plain(value: Any) -> Any:
    """A copy of `value` that holds nothing but JSON; it raises for what is none."""
    data = _quick(value, _PLAIN)
    return json.loads(_COMPACT.encode(value)) if data is None else orjson.loads(data)


def sent(value: Any) -> bytes:
    """`value` as JSON for another machine: half surrogate pairs escaped, NaN, which JSON has
    not, as null."""
    try:
        return orjson.dumps(value, None, _PLAIN)
    except orjson.JSONEncodeError:
        return json.dumps(value).encode()


def received(data: bytes) -> Any:
    """The value of JSON from another machine. Raises ValueError, RecursionError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)  # half surrogate pairs, NaN, UTF-16: rather read than refused


def searchable(value: Any) -> str | None:
    """`value` as compact JSON text to search in, with null for NaN; None for what orjson refuses:
    no JSON, integers of more than 64 bits, half surrogate pairs, more than 254 levels."""
    try:
        return orjson.dumps(value, None, _PLAIN).decode()
    except orjson.JSONEncodeError:
        return None


def _quick(value: Any, options: int) -> bytes | None:
    try:
        data = orjson.dumps(value, None, options)
    except orjson.JSONEncodeError:
        return None
    if b"0.0000" in data or (b"e-" in data and _SMALL.search(data)):
        return None
    return None if _has_nan(data, value) else data


def _has_nan(data: bytes, value: Any) -> bool:
    """Whether a null of `data` may stand for NaN; true as well where a tuple was."""
    return b"null" in data and bool(orjson.loads(data) != value)
