"""The trajectory that speed is measured on: 12 messages, 5 calls, JSON answers, a state."""

from __future__ import annotations

import json
from typing import Any

from trajgen.records import Domain, Message, Trajectory

COPIES = 400


def typical() -> tuple[Domain, list[Trajectory]]:
    """A shop, and many different conversations in it, so that no cache holds an answer."""
    orders = {f"W{n:05}": _order(n) for n in range(COPIES * 3)}
    users = {
        f"user_{n:04}": {"user_id": f"user_{n:04}", "email": f"u{n}@example.com", "orders": []}
        for n in range(COPIES)
    }
    tools = tuple(
        _tool(name, field) for name, field in (("get_user", "user_id"), ("get_order", "order_id"))
    )
    tools += (_tool("cancel_order", "order_id", "reason"),)
    kinds: Any = {"get_user": "read", "get_order": "read", "cancel_order": "write"}
    domain = Domain(
        "shop", "Help people with their orders.", tools, kinds=kinds,
        state={"orders": orders, "users": users},
    )  # fmt: skip
    return domain, [_conversation(n, domain) for n in range(COPIES)]


def _order(n: int) -> dict[str, Any]:
    items = [{"item_id": f"{n}{i}77", "name": f"thing {i}", "price": 9.5 + i} for i in range(3)]
    return {
        "order_id": f"W{n:05}",
        "user_id": f"user_{n // 3:04}",
        "status": "pending",
        "address": {"street": f"{n} Main Street", "city": "Lyon", "zip": f"{69000 + n}"},
        "items": items,
        "total": 31.5 + n,
    }


def _tool(name: str, *fields: str) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {field: {"type": "string"} for field in fields},
        "required": list(fields),
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def _conversation(n: int, domain: Domain) -> Trajectory:
    user, ids = f"user_{n:04}", [f"W{3 * n + i:05}" for i in range(3)]
    shown = {"user_id": user, "email": f"u{n}@example.com", "orders": []}
    messages: list[Message] = [
        {"role": "user", "content": f"Hi, I am {user}. Please look at my orders {', '.join(ids)}."}
    ]
    messages += _exchange("c0", "get_user", {"user_id": user}, shown)
    messages += _exchange("c1", "get_order", {"order_id": ids[0]}, _order(3 * n))
    messages += _exchange("c2", "get_order", {"order_id": ids[1]}, _order(3 * n + 1))
    reason = {"order_id": ids[1], "reason": "no longer needed"}
    done = {**_order(3 * n + 1), "status": "cancelled"}
    messages += _exchange("c3", "cancel_order", reason, done)
    messages += _exchange("c4", "get_order", {"order_id": ids[1]}, done)
    messages.append({"role": "assistant", "content": f"I have cancelled {ids[1]} for you."})
    return Trajectory(f"t{n}", "shop", tuple(messages), domain.tools)


def _exchange(id_: str, tool: str, arguments: dict[str, Any], shown: Any) -> list[Message]:
    function = {"name": tool, "arguments": arguments}
    call = {"id": id_, "type": "function", "function": function}
    return [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": id_, "content": json.dumps(shown)},
    ]
