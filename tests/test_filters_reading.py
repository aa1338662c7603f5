"""A conversation is read once for all checks of a trajectory, and anew for the next."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tests.conversations import calls, result, says, user
from trajgen.filters.reading import Turn, exchanges, read_once, reading, turns

MESSAGES = (
    user("Cancel W1."),
    calls(("c1", "get_order", {"order_id": "W1"}), ("c2", "get_order", {"order_id": "W2"})),
    result("c2", "second"),
    result("c1", "first"),
    says("Done."),
    calls(("c3", "cancel_order", {"order_id": "W1"})),
)


def test_each_call_has_the_answer_with_its_id() -> None:
    found = [(e.call.id, e.call.message, e.at, e.observation) for e in exchanges(MESSAGES)]
    assert found == [("c1", 1, 3, "first"), ("c2", 1, 2, "second"), ("c3", 5, None, "")]


def test_while_it_is_read_once_all_share_one_list() -> None:
    with read_once(MESSAGES):
        assert exchanges(MESSAGES) is exchanges(MESSAGES)
        assert exchanges(MESSAGES[:4]) == exchanges(MESSAGES)[:2]  # other messages are read
    assert exchanges(MESSAGES) is not exchanges(MESSAGES)


def test_a_message_that_is_changed_afterwards_is_read_anew() -> None:
    answer = result("c1", "first")
    messages = (user("Hi."), calls(("c1", "get_order", {"order_id": "W1"})), answer)
    with read_once(messages):
        assert exchanges(messages)[0].observation == "first"
    answer["content"] = "changed"
    assert exchanges(messages)[0].observation == "changed"


@pytest.mark.parametrize(
    ("message", "turn"),
    [
        (user("Hi."), ("user", "Hi.", [])),
        ({"role": 1, "content": None, "tool_calls": {"a": 1}}, ("", "", [])),
        ({"tool_calls": [None, 5]}, ("", "", [None, 5])),
        ("no message", ("", "", [])),
        (None, ("", "", [])),
    ],
)
def test_what_is_malformed_is_read_past(message: Any, turn: tuple[str, str, list[Any]]) -> None:
    assert turns([message]) == [Turn(*turn)]
    assert exchanges([message]) == []


def test_turns_and_text_are_read_once() -> None:
    with read_once(MESSAGES):
        assert turns(MESSAGES) is turns(MESSAGES)
        text = reading(MESSAGES).text
        assert text is reading(MESSAGES).text
    assert text is not None
    assert json.loads(text) == list(MESSAGES)


@pytest.mark.parametrize("value", [2**64, "\ud800", {1, 2}, {3: 4}])
def test_what_no_reader_of_text_can_hold_has_no_text(value: Any) -> None:
    assert reading([{"role": "user", "content": value}]).text is None
    assert reading([{"role": "user", "content": math.nan}]).text is not None  # as null
