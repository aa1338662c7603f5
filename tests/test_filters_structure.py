"""Roles, endings, empty and cut messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conversations import GOOD, ORDER, SHOP, calls, codes, result, says, trajectory, user
from trajgen import filters
from trajgen.filters.structure import check, unterminated
from trajgen.records import Reason, Step

LOOK = calls(("c1", "get_order", {"order_id": "W1001"}))
SEEN = result("c1", ORDER)


def found(*messages: Any, **more: Any) -> list[tuple[str, int | None]]:
    return codes(check(trajectory(*messages, **more), SHOP))


@pytest.mark.parametrize("name", GOOD)
def test_a_good_conversation_passes_every_filter(name: str) -> None:
    assert filters.check(trajectory(*GOOD[name], tools=SHOP.tools), SHOP) == []
    assert filters.check(trajectory(*GOOD[name]), SHOP) == []


@pytest.mark.parametrize(
    ("messages", "at"),
    [
        ([says("Hello."), user("hi"), says("Yes?")], 0),
        ([user("a"), user("b"), says("c")], 1),
        ([user("a"), says("b"), says("c")], 2),
        ([user("a"), SEEN, says("c")], 1),
        ([user("a"), LOOK, SEEN, user("b"), says("c")], 3),
        ([user("a"), LOOK, user("b"), says("c")], 2),
        ([user("a"), {"role": "system", "content": "x"}, says("c")], 1),
        ([{"role": "system", "content": "x"}, says("c")], 1),
        ([user("a"), {"role": "critic", "content": "x"}, says("c")], 1),
        ([user("a"), {"role": "assistant", "content": None}, user("b"), says("c")], 1),
        ([user("a"), {**says("b"), "name": None}], 1),
        ([user("a"), {**says("b"), "tool_calls": []}], 1),
        ([{**user("a"), "tool_calls": LOOK["tool_calls"]}, says("c")], 0),
        ([user("a"), LOOK, {"role": "tool", "content": "x"}, says("c")], 2),
        ([user("a"), "hello", says("c")], 1),
        ([user("a"), {**LOOK, "tool_calls": [{"id": "c1"}]}, SEEN, says("c")], 1),
    ],
)
def test_bad_role_order_names_the_message(messages: list[Any], at: int) -> None:
    assert ("bad_role_order", at) in found(*messages)


@pytest.mark.parametrize("messages", [[], [user("a")], [user("a"), LOOK], [user("a"), LOOK, SEEN]])
def test_a_conversation_ends_with_the_assistants_words(messages: list[Any]) -> None:
    at = len(messages) - 1 if messages else None
    assert ("no_final_answer", at) in found(*messages)


@pytest.mark.parametrize(
    ("messages", "at"),
    [
        ([user(" \n"), says("What can I do?")], 0),
        ([user("a"), says("\u200b"), user("b"), says("c")], 1),
        ([user("a"), says("None"), user("b"), says("c")], 1),
    ],
)
def test_a_turn_says_something_or_calls(messages: list[Any], at: int) -> None:
    assert found(*messages) == [("empty_turn", at)]


def test_a_user_may_answer_none() -> None:
    assert found(user("hi"), says("Any others?"), user("None"), says("Fine.")) == []


@pytest.mark.parametrize(
    "observation",
    [
        '{"order_id": "W1001", "items": [{"sku": "MUG',
        '{"order_id": "W1001", "total": 54.5',
        '[{"a": 1}, {"a": ',
        "{'order_id': 'W1001', 'items': [",
        'Found: {"order_id": "W1001", "sta',
    ],
)
def test_cut_json_is_truncated(observation: str) -> None:
    assert found(user("a"), LOOK, result("c1", observation), says("c")) == [("truncated", 2)]


@pytest.mark.parametrize(
    "observation",
    [
        "[2024-05-14 10:00] order placed",
        "[INFO] stock is low",
        "{'it': \"isn't JSON but whole\"}",
        '{"a": 1}\n{"a": 2}',
        "{not json}",
        '{"a": "a } in { a string"}',
        "",
    ],
)
def test_whole_text_is_not_truncated(observation: str) -> None:
    assert found(user("a"), LOOK, result("c1", observation), says("c")) == []


CUT = "Your order W1001 is cancelled. The refund goes to the card you paid wi"


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        (CUT, True),
        ("I have cancelled the order and the", True),
        ("You can choose between red, blue,", True),
        ("Here it is:\n```\nline", True),
        ('{"order_id": "W10', True),
        ("Your order is cancelled. See https://example.com/orders", False),
        ("It ships today.\n- Order W1001\n- two mugs and a cup", False),
        ("Kind regards,", False),
        ("This is what I found:\n- it can drive: no", False),
        ("This is what I found, and there is no", True),
        ("You take option A", False),
        ("Sure", False),
    ],
)
def test_an_answer_that_stops_in_the_middle(text: str, cut: bool) -> None:
    messages = [user("a"), says("I will look. One moment."), user("b"), says(text)]
    assert found(*messages) == ([("truncated", 3)] if cut else [])


def test_an_assistant_who_never_ends_with_a_mark_is_not_cut() -> None:
    assert found(user("a"), says("sure thing"), user("b"), says(CUT), user("c"), says("ok")) == []


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        ("truncated", "truncated"),
        ("turns", "too_long"),
        ("tool_calls", "too_long"),
        ("tokens", "too_long"),
        ("bad_answer", "no_final_answer"),
        ("violation", "no_final_answer"),
        ("something new", "no_final_answer"),
    ],
)
def test_how_the_rollout_ended(ended: str, code: str) -> None:
    assert found(user("a"), says("b"), scores={"ended": ended}) == [(code, 1)]
    assert found(user("a"), says("b"), scores={"ended": "done"}) == []


def test_a_violation_is_told_by_its_verdict() -> None:
    verdict = Reason("bad_effect", 1, "x")
    step = Step(1, "c1", "get_order", True, "", (), "model", "0", "0", verdicts=(verdict,))
    messages = [user("a"), LOOK, SEEN, says("b")]
    assert found(*messages, steps=(step,), scores={"ended": "violation"}) == []


def test_too_many_tokens() -> None:
    more = {"n_tokens": 11, "scores": {"limit_tokens": 10}}
    assert found(user("a"), says("b"), **more) == [("too_long", 1)]
    assert found(user("a"), says("b"), **{**more, "n_tokens": 10}) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
CALL = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "function": JSON | st.fixed_dictionaries({"name": JSON, "arguments": JSON}),
    },
)
MESSAGE = JSON | st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "tool", "system"]) | JSON,
        "content": st.text(max_size=30) | JSON,
        "tool_calls": st.lists(CALL, max_size=2) | JSON,
        "tool_call_id": JSON,
    },
)


@given(st.lists(MESSAGE, max_size=5))
def test_no_input_breaks_a_filter(messages: list[Any]) -> None:
    reasons = filters.check(trajectory(*messages), SHOP)
    assert all(r.at is None or 0 <= r.at < len(messages) for r in reasons)
    assert reasons == filters.check(trajectory(*messages), SHOP)


@given(st.dictionaries(st.text(max_size=4), JSON, min_size=1), st.data())
def test_every_cut_of_an_object_is_seen_and_no_whole_one(value: Any, data: Any) -> None:
    import json

    text = json.dumps(value)
    assert not unterminated(text)
    assert unterminated(text[: data.draw(st.integers(2, len(text) - 1))])
