"""Small hand-made conversations for the tests of the filters."""

from __future__ import annotations

import json
from typing import Any

from trajgen.records import Domain, Message, Reason, Trajectory


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def says(text: str) -> Message:
    return {"role": "assistant", "content": text}


def calls(*made: tuple[str, str, dict[str, Any]], text: str = "") -> Message:
    """An assistant message that makes the calls (id, tool, arguments)."""
    items = [
        {"id": id_, "type": "function", "function": {"name": tool, "arguments": arguments}}
        for id_, tool, arguments in made
    ]
    return {"role": "assistant", "content": text, "tool_calls": items}


def result(id_: str, content: Any) -> Message:
    """A tool message; anything but a string is shown as JSON."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return {"role": "tool", "tool_call_id": id_, "content": text}


def tool(name: str, required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    function = {"name": name, "description": f"Does {name}.", "parameters": parameters}
    return {"type": "function", "function": function}


TEXT = {"type": "string"}
TOOLS = (
    tool("find_customer", email=TEXT),
    tool("get_order", order_id=TEXT),
    tool(
        "list_orders",
        ["customer_id"],
        customer_id=TEXT,
        status={"type": "string", "enum": ["pending", "shipped"]},
    ),
    tool("cancel_order", order_id=TEXT, reason=TEXT),
    tool(
        "refund",
        ["order_id", "amount"],
        order_id=TEXT,
        amount={"type": "number"},
        pieces={
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"sku": TEXT, "quantity": {"type": "integer", "minimum": 1}},
                "required": ["sku", "quantity"],
            },
        },
        day={"type": "string", "format": "date"},
        at=TEXT,
    ),
    tool("search", query=TEXT),
)
STATE = {
    "customers": {"ana_diaz_77": {"email": "ana.diaz@example.com", "orders": ["W1001", "W1002"]}},
    "orders": {
        "W1001": {
            "order_id": "W1001",
            "status": "pending",
            "total": 54.5,
            "tags": ["gift", "paid"],
            "items": [{"sku": "MUG-42", "quantity": 1}, {"sku": "CUP-43", "quantity": 2}],
            "address": {"city": "Lyon", "zip": "69001"},
        },
        "W1002": {"order_id": "W1002", "status": "shipped", "total": 20.0, "tags": []},
        "W1003": {"order_id": "W1003", "status": "shipped", "total": 1220.25, "tags": []},
    },
}
SHOP = Domain(
    name="shop",
    policy="You help customers of a shop. Today is 2024-05-14. Only pending orders are cancelled.",
    tools=TOOLS,
    kinds={
        "find_customer": "read",
        "get_order": "read",
        "list_orders": "read",
        "search": "read",
        "cancel_order": "write",
        "refund": "write",
    },
    failure_prefixes=("Error", "Sorry, no"),
    state=STATE,
)


def trajectory(*messages: Message, **more: Any) -> Trajectory:
    return Trajectory(id="t", domain="shop", messages=tuple(messages), **more)


def codes(reasons: Any) -> list[tuple[str, int | None]]:
    """Each reason as (code, at); a reason without a detail fails the test."""
    found: list[Reason] = list(reasons)
    for reason in found:
        assert reason.detail, reason
    return [(reason.code, reason.at) for reason in found]


ORDER = STATE["orders"]["W1001"]
GOOD: dict[str, list[Message]] = {
    "a question": [user("What can you do?"), says("I look up and cancel orders.")],
    "a system message": [
        {"role": "system", "content": "Be brief."},
        user("hi"),
        says("Hello! How can I help?"),
    ],
    "a read and a write": [
        user("Please cancel order #W1001, I don't need it any more."),
        calls(("c1", "get_order", {"order_id": "W1001"}), text="Let me look at it first:"),
        result("c1", ORDER),
        calls(("c2", "cancel_order", {"order_id": "W1001", "reason": "no longer needed"})),
        result("c2", {"order_id": "W1001", "status": "cancelled"}),
        says("Order W1001 is cancelled. You get 54.50 back."),
    ],
    "parallel calls, answered in another order": [
        user("Where are W1001 and w1002?"),
        calls(("a", "get_order", {"order_id": "W1001"}), ("b", "get_order", {"order_id": "W1002"})),
        result("b", STATE["orders"]["W1002"]),
        result("a", ORDER),
        says("W1001 is pending, W1002 is on its way."),
    ],
    "a retry after an error": [
        user("Status of W1001?"),
        calls(("c1", "get_order", {"order_id": "W1001"})),
        result("c1", "Error: timed out"),
        calls(("c2", "get_order", {"order_id": "W1001"})),
        result("c2", ORDER),
        says("It is pending."),
    ],
    "a customer looked up by the address they spelled": [
        user("hey, it's ana dot diaz at example dot com, what did I order"),
        calls(("c1", "find_customer", {"email": "ana.diaz@example.com"})),
        result("c1", {"customer_id": "ana_diaz_77", "orders": ["W1001", "W1002"]}),
        calls(("c2", "list_orders", {"customer_id": "ana_diaz_77", "status": "pending"})),
        result("c2", [{"order_id": "W1001", "status": "pending", "total": 54.5}]),
        says("You have one pending order:\n- W1001, 54.50 EUR"),
    ],
    "unicode": [
        user("¿Puede cancelar el pedido W1001? Já não o quero — 谢谢"),
        calls(("c1", "cancel_order", {"order_id": "W1001", "reason": "no longer needed"})),
        result("c1", {"order_id": "W1001", "status": "cancelled", "note": "annulé ✓"}),
        says("Hecho. Ha sido cancelado 👍"),
    ],
    "a refusal by policy": [
        user("Cancel W1002 right now!!"),
        calls(("c1", "get_order", {"order_id": "W1002"})),
        result("c1", STATE["orders"]["W1002"]),
        says("I'm sorry, but I can't cancel W1002 because it is already shipped."),
    ],
    "text observations and a table": [
        user("Search mugs"),
        calls(("c1", "search", {"query": "mug 330ml"})),
        result(
            "c1",
            "| sku | stock | price |\n|---|---|---|\n| MUG-42 | 3 | 9.50 |\n| MUG-43 | 3 | 9.50 |",
        ),
        says("| sku | price |\n|---|---|\n| MUG-42 | 9.50 |\n| MUG-43 | 9.50 |"),
    ],
    "a date and a sum in other words": [
        user("Refund W1001 and W1003 together, on May 16th, in the afternoon at 2:30 pm."),
        calls(("a", "get_order", {"order_id": "W1001"}), ("b", "get_order", {"order_id": "W1003"})),
        result("a", ORDER),
        result("b", {"order_id": "W1003", "status": "shipped", "total": 1220.25}),
        calls(
            (
                "c",
                "refund",
                {"order_id": "W1001", "amount": 1274.75, "day": "2024-05-16", "at": "14:30"},
            )
        ),
        result("c", {"order_id": "W1001", "refunded": 1274.75}),
        says("1274.75 EUR will be paid back on 16 May."),
    ],
    "a later look at the same order": [
        user("Cancel W1001."),
        calls(("c1", "get_order", {"order_id": "W1001"})),
        result("c1", ORDER),
        calls(("c2", "cancel_order", {"order_id": "W1001", "reason": "asked"})),
        result("c2", "Done."),
        calls(("c3", "get_order", {"order_id": "W1001"})),
        result("c3", {**ORDER, "status": "cancelled"}),
        says("It is cancelled now."),
    ],
    "chat without marks": [user("thx"), says("You're welcome"), user("bye now"), says("Bye")],
}
