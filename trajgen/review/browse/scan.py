"""Whose messages call a tool or say a text: a row group at a time, as far as is wanted.

A group's messages are searched as stored JSON first, which is quick and lets too many
through; what is left is parsed and looked at closely.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from trajgen.records import Json, Message
from trajgen.review.browse.index import Index
from trajgen.review.reading import content_of, signature_of


def looked_through(
    index: Index, positions: Sequence[int], tool: str, text: str
) -> Iterator[tuple[int, bool]]:
    """Each position with whether its messages call `tool` and say `text`; "" is always so.

    Capital letters do not count in `text`.
    """
    if not tool and not text:
        yield from ((position, True) for position in positions)
        return
    wanted = text.casefold()
    for position, messages in _messages(index, positions, tool, text):
        yield position, messages is not None and _fits(messages, tool, wanted)


def _messages(
    index: Index, positions: Sequence[int], tool: str, text: str
) -> Iterator[tuple[int, list[str] | None]]:
    """The stored messages of each position; None where they cannot fit."""
    rows, start, column, hits = None, 0, None, set[int]()
    for position in positions:
        found, at = index.at(position)
        if found is not rows or column is None or not start <= at < start + len(column):
            rows = found
            start, table = rows.part(at, ["messages"])
            column = table.column("messages").combine_chunks()
            hits = _hits(column, tool, text)
        yield position, column[at - start].as_py() if at - start in hits else None


def _hits(column: pa.Array[Any], tool: str, text: str) -> set[int]:
    """The rows of a column whose stored JSON holds both, each somewhere."""
    found = set(range(len(column)))
    parents, stored = pc.list_parent_indices(column), pc.list_flatten(column).cast(pa.string())
    for wanted in (tool, text):
        if wanted:
            escaped = json.dumps(wanted, ensure_ascii=False)[1:-1]
            mask = pc.match_substring(stored, escaped, ignore_case=True)
            found &= set(parents.filter(mask).to_pylist())
    return found


def _fits(stored: list[str], tool: str, wanted: str) -> bool:
    messages: list[Message] = [json.loads(message) for message in stored]
    calls = [call for message in messages for call in message.get("tool_calls") or ()]
    if tool and not any(_name(call) == tool for call in calls):
        return False
    return not wanted or any(wanted in part.casefold() for part in _said(messages, calls))


def _said(messages: Sequence[Message], calls: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    yield from (content_of(message) for message in messages)
    yield from (signature_of(dict(call)) for call in calls)


def _name(call: Mapping[str, Json]) -> str:
    return str((call.get("function") or {}).get("name", ""))
