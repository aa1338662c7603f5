"""Calls with their answers: read once for all checks of a trajectory, and anew for the next."""

from __future__ import annotations

from tests.conversations import calls, result, says, user
from trajgen.filters.reading import exchanges, read_once

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
