"""Values that a row can hold and a trainer's reader cannot: one would break a whole epoch.

`datasets` reads Arrow JSON with integers of 64 bits and bounded nesting, and has no NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from trajgen.filters.reading import reading
from trajgen.json_text import searchable
from trajgen.records import Domain, Json, Reason, Trajectory

LEAST, MOST = -(2**63), 2**64 - 1
MAX_DEPTH = 200


def check(trajectory: Trajectory, domain: Domain) -> Iterator[Reason]:
    """`unreadable_value` for arguments and effects that readers refuse or change."""
    if not _is_readable(reading(trajectory.messages).text):
        for index, message in enumerate(trajectory.messages):
            calls = message.get("tool_calls") if isinstance(message, dict) else None
            if found := _unreadable(calls):
                yield Reason("unreadable_value", index, f"tool_calls: {found}")
    if not _is_readable(searchable([step.effects for step in trajectory.steps])):
        for step in trajectory.steps:
            if found := _unreadable(list(step.effects)):
                yield Reason("unreadable_value", step.message, f"effects: {found}")


def _is_readable(text: str | None) -> bool:
    """Whether what was written as `text` holds no value that has to be looked for."""
    return (
        text is not None and "null" not in text and text.count("[") + text.count("{") <= MAX_DEPTH
    )


def _unreadable(value: Json) -> str:
    """The first value that cannot be read back, in words; or ""."""
    stack: list[tuple[Json, int]] = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        if isinstance(item, dict | list):
            if depth > MAX_DEPTH:
                return f"expected at most {MAX_DEPTH} levels"
            children = item.values() if isinstance(item, dict) else item
            stack.extend((child, depth + 1) for child in children)
        elif isinstance(item, float):
            if not isfinite(item):
                return f"{item} is no JSON number"
        elif isinstance(item, int) and not LEAST <= item <= MOST:
            return f"an integer of {item.bit_length()} bits; readers hold 64"
    return ""
