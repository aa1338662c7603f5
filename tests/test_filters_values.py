"""Values that would break a reader of the rows."""

from __future__ import annotations

from typing import Any

import pytest

from trajgen.filters.values import MAX_DEPTH, check
from trajgen.records import Domain, Reason, Step, Trajectory

DOMAIN = Domain(name="d", policy="", tools=())


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def reasons(argument: Any, effect: Any = 1) -> list[Reason]:
    function = {"name": "t", "arguments": {"x": argument}}
    call = {"id": "call_0", "type": "function", "function": function}
    messages = (
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    )
    effects = ({"op": "set", "path": "/a", "value": effect},)
    step = Step(1, "call_0", "t", True, "", effects, "model", "0", "1")
    trajectory = Trajectory(id="t", domain="d", messages=messages, steps=(step,))
    return list(check(trajectory, DOMAIN))


@pytest.mark.parametrize(
    "value", [0, -(2**63), 2**64 - 1, 1e300, -0.0, True, None, "9" * 99, nested(100), {}]
)
def test_what_readers_hold_passes(value: Any) -> None:
    assert reasons(value, value) == []


@pytest.mark.parametrize(
    "value", [2**64, -(2**63) - 1, float("nan"), float("inf"), nested(MAX_DEPTH + 5)]
)
def test_what_breaks_a_reader_is_found(value: Any) -> None:
    assert [(r.code, r.at) for r in reasons(value)] == [("unreadable_value", 1)]
    assert [(r.code, r.at) for r in reasons(1, value)] == [("unreadable_value", 1)]
