"""Arrow columns and JSON text that several formats share.

`plain` columns are structs of text: any reader of Parquet takes them, and what differs from
call to call (arguments, schemas) is JSON text, so that no reader lends one call the keys of
another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa

from trajgen.exporters import Unfit
from trajgen.json_text import compact
from trajgen.records import Json, Message, Tool

JSON_LIST = pa.list_(pa.field("element", pa.json_()))
TEXT_LIST = pa.list_(pa.field("element", pa.string()))
_DIGITS = re.compile(r"\d{19}")
_SPACED = json.JSONEncoder(ensure_ascii=False)
_FUNCTION = pa.struct([("name", pa.string()), ("arguments", pa.string())])
_CALL = pa.struct([("id", pa.string()), ("type", pa.string()), ("function", _FUNCTION)])
_PLAIN = {
    "role": pa.string(),
    "content": pa.string(),
    "reasoning_content": pa.string(),
    "tool_calls": pa.list_(pa.field("element", _CALL)),
    "tool_call_id": pa.string(),
    "name": pa.string(),
}


def plain_messages(**more: pa.DataType) -> pa.DataType:
    """The type of a list of plain messages, each with the further keys `more`."""
    return pa.list_(pa.field("element", pa.struct([*_PLAIN.items(), *more.items()])))


def plain(messages: Iterable[Message]) -> list[Message]:
    """Messages as plain columns hold them, `arguments` as JSON text. Raises Unfit for a key
    that has no place there."""
    return [_plain(message) for message in messages]


def as_json(value: Json) -> str:
    """`value` as JSON text the way chat templates write it."""
    return _SPACED.encode(value)


def texts(values: Iterable[Json]) -> list[str]:
    """Each value as compact JSON text, for a column of Arrow JSON."""
    return [compact(value) for value in values]


def json_texts(values: Iterable[Json]) -> list[str]:
    """The same, of what `datasets` can read. Raises Unfit for an integer of more than 64 bits, at
    which it stops, and with it the training on all other rows."""
    made = texts(values)
    if any(map(_DIGITS.search, made)) and (found := _too_long(map(json.loads, made))) is not None:
        what = f"the integer {str(found)[:40]} has more than 64 bits"
        raise Unfit(f"{what}, and `datasets` cannot read it")
    return made


class Tools:
    """`write(tools)`, once for rows that come with the same tools one after the other."""

    def __init__(self, write: Callable[[Sequence[Tool]], Json]) -> None:
        self._write = write
        self._last: tuple[Sequence[Tool], Json] | None = None

    def __call__(self, tools: Sequence[Tool]) -> Json:
        if self._last is None or self._last[0] is not tools:
            self._last = tools, self._write(tools)
        return self._last[1]


def _too_long(values: Iterable[Json]) -> int | None:
    """The first integer, wherever in `values`, that fits neither int64 nor uint64."""
    for value in values:
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            return value
        inner = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict | list) and (found := _too_long(inner)) is not None:
            return found
    return None


def _plain(message: Message) -> Message:
    _only(message, _PLAIN.keys(), "a message")
    made = {**message}
    if "tool_calls" in message:
        made["tool_calls"] = [_call(call) for call in message["tool_calls"]]
    return made


def _call(call: Json) -> Json:
    function = call["function"]
    _only(call, {"id", "type", "function"}, "a call")
    _only(function, {"name", "arguments"}, "a call's function")
    return {**call, "function": {**function, "arguments": as_json(function["arguments"])}}


def _only(value: Json, known: Iterable[str], what: str) -> None:
    if others := sorted(set(value) - set(known)):
        raise Unfit(f"the key {others[0]!r} of {what} has no place in this format")
