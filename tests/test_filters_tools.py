"""Calls: tools, arguments, answers, loops."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conversations import (
    ORDER,
    SHOP,
    TEXT,
    calls,
    codes,
    result,
    says,
    tool,
    trajectory,
    user,
)
from trajgen.filters.tools import check, closed
from trajgen.records import Domain, Step


def found(*messages: Any, **more: Any) -> list[tuple[str, int | None]]:
    return codes(check(trajectory(*messages, **more), SHOP))


def one(name: str, arguments: Any, **more: Any) -> list[tuple[str, int | None]]:
    return found(user("a"), calls(("c1", name, arguments)), result("c1", "ok"), says("b"), **more)


@pytest.mark.parametrize("name", ["get_ordr", "", "Get_Order", "cancel"])
def test_unknown_tool(name: str) -> None:
    assert one(name, {"order_id": "W1001"}) == [("unknown_tool", 1)]


def test_the_trajectorys_own_tools_come_first() -> None:
    assert one("get_order", {"order_id": "W1001"}, tools=(tool("other"),)) == [("unknown_tool", 1)]
    assert one("other", {}, tools=(tool("other"),)) == []


@pytest.mark.parametrize(
    ("name", "arguments", "pointer"),
    [
        ("get_order", {}, "/"),
        ("get_order", {"order_id": 1001}, "/order_id"),
        ("get_order", {"order_id": "W1001", "extra": 1}, "/"),
        ("list_orders", {"customer_id": "x", "status": "lost"}, "/status"),
        ("refund", {"order_id": "W1", "amount": True}, "/amount"),
        ("refund", {"order_id": "W1", "amount": "12"}, "/amount"),
        ("refund", {"order_id": "W1", "amount": 1, "pieces": [{"sku": "a"}]}, "/pieces/0"),
        (
            "refund",
            {"order_id": "W1", "amount": 1, "pieces": [{"sku": "a", "quantity": True}]},
            "/pieces/0/quantity",
        ),
        (
            "refund",
            {"order_id": "W1", "amount": 1, "pieces": [{"sku": "a", "quantity": 1, "x": 2}]},
            "/pieces/0",
        ),
        ("refund", {"order_id": "W1", "amount": 1, "day": "2024-13-01"}, "/day"),
        ("get_order", "W1001", "/"),
        ("get_order", '{"order_id": "W1001"}', "/"),
        ("get_order", ["W1001"], "/"),
        ("get_order", None, "/"),
    ],
)
def test_bad_arguments_name_the_place(name: str, arguments: Any, pointer: str) -> None:
    messages = [user("a"), calls(("c1", name, arguments)), result("c1", "ok"), says("b")]
    reasons = list(check(trajectory(*messages), SHOP))
    assert codes(reasons) == [("bad_arguments", 1)]
    assert reasons[0].detail.startswith(f"{name} {pointer}: ")


@pytest.mark.parametrize(
    "arguments",
    [
        {"order_id": "W1", "amount": 12},
        {"order_id": "W1", "amount": 12.5, "pieces": [], "day": "2024-02-29"},
        {"order_id": "W1", "amount": 0, "pieces": [{"sku": "é", "quantity": 2.0}]},
    ],
)
def test_good_arguments(arguments: Any) -> None:
    assert one("refund", arguments) == []


def test_a_schema_that_says_so_stays_open() -> None:
    free = {"type": "object", "additionalProperties": True, "properties": {"a": TEXT}}
    assert closed(free) == free
    either = {"anyOf": [{"type": "object", "properties": {"a": TEXT}}, {"type": "null"}]}
    assert closed(either)["anyOf"][0]["additionalProperties"] is False
    named = {"type": "object", "properties": {"properties": TEXT, "format": TEXT}}
    assert closed(named)["properties"] == {"properties": TEXT, "format": TEXT}
    bare = {"type": "function", "function": {"name": "f", "description": "no parameters told"}}
    assert one("f", {"anything": 1}, tools=(bare,)) == []


@pytest.mark.parametrize(
    "schema",
    [{"type": "objekt"}, {"$ref": "http://127.0.0.1:9/schema"}, {"pattern": "("}, {"$ref": "#/x"}],
)
def test_a_broken_schema_is_told_and_never_fetched(schema: Any) -> None:
    broken = {"type": "function", "function": {"name": "f", "parameters": schema}}
    assert one("f", {"a": 1}, tools=(broken,)) == [("bad_arguments", 1)]


LOOK = ("c1", "get_order", {"order_id": "W1001"})


@pytest.mark.parametrize(
    ("messages", "at"),
    [
        ([user("a"), calls(LOOK), says("b")], 1),
        ([user("a"), calls(LOOK), result("c1", "x"), result("c1", "y"), says("b")], 3),
        ([user("a"), calls(LOOK), result("c1", "x"), result("c9", "y"), says("b")], 3),
        ([user("a"), result("c1", "x"), says("b")], 1),
        ([user("a"), calls(LOOK, LOOK), result("c1", "x"), says("b")], 1),
        (
            [user("a"), calls(LOOK), result("c1", "x"), user("b"), calls(LOOK), result("c1", "x")],
            4,
        ),
        ([user("a"), calls(("", *LOOK[1:])), result("", "x"), says("b")], 1),
        ([user("a"), calls(LOOK), {**result("c1", "x"), "name": "search"}, says("b")], 2),
        ([user("a"), says('{"name": "get_order", "arguments": {"order_id": "W1001"}}')], 1),
    ],
)
def test_unanswered_call(messages: list[Any], at: int) -> None:
    assert ("unanswered_call", at) in found(*messages)


def test_an_answer_under_another_id() -> None:
    messages = [user("a"), calls(LOOK), result("c2", "x"), says("b")]
    assert found(*messages) == [("unanswered_call", 2), ("unanswered_call", 1)]


def repeated(tool_: str, answers: list[str], arguments: Any = None) -> list[Any]:
    messages: list[Any] = [user("a")]
    for n, answer in enumerate(answers):
        made = {"order_id": "W1001"} if arguments is None else arguments
        messages += [calls((f"c{n}", tool_, made)), result(f"c{n}", answer)]
    return [*messages, says("b")]


CANCEL = {"order_id": "W1", "reason": "x"}


@pytest.mark.parametrize(
    ("messages", "at"),
    [
        (repeated("get_order", ["x", "x"]), 3),
        (repeated("get_order", ["Error: down"] * 3), 5),
        (repeated("cancel_order", ["done"] * 3, CANCEL), 5),
        (repeated("search", ["x", "y"], {"query": "q"}), 3),
    ],
)
def test_repeated_call(messages: list[Any], at: int) -> None:
    assert found(*messages) == [("repeated_call", at)]


def test_two_calls_in_turns_are_a_loop_in_the_third_round() -> None:
    messages: list[Any] = [user("a")]
    for n in range(6):
        made = ("get_order", {"order_id": "W1001"}) if n % 2 else ("search", {"query": "q"})
        messages += [calls((f"c{n}", *made)), result(f"c{n}", "same")]
    assert found(*messages, says("b")) == [("repeated_call", 11)]


@pytest.mark.parametrize(
    "messages",
    [
        repeated("get_order", ["Error: down", "x"]),
        repeated("get_order", ["Error: down", "Error: down", "x"]),
        repeated("cancel_order", ["1 left", "0 left", "none left"], CANCEL),
        repeated("cancel_order", ["done", "done"], CANCEL),
        [
            *repeated("get_order", ["x"]),
            user("And now?"),
            calls(("d", "get_order", {"order_id": "W1001"})),
            result("d", "x"),
            says("The same."),
        ],
    ],
)
def test_a_retry_and_a_later_look_are_no_loops(messages: list[Any]) -> None:
    assert found(*messages) == []


def test_planned_faults_and_progress_are_no_loops() -> None:
    def step(n: int, after: str, fault: str | None = None) -> Step:
        at = 1 + 2 * n
        return Step(at, f"c{n}", "x", True, "", (), "model", "", after, fault=fault)

    faulted = repeated("get_order", [str(ORDER), str(ORDER)])
    assert found(*faulted, steps=(step(0, "1", "timeout"), step(1, "1"))) == []
    waited = repeated("cancel_order", ["Time passes."] * 4, CANCEL)
    assert found(*waited, steps=tuple(step(n, str(n)) for n in range(4))) == []


def test_tools_that_nobody_declared() -> None:
    bare = Domain(name="", policy="", tools=())
    messages = [user("a"), calls(LOOK), result("c1", "x"), says("b")]
    assert codes(check(trajectory(*messages), bare)) == [("unknown_tool", 1)]
