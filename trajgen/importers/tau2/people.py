"""Whom a task is about, where the database has a record of users by name."""

from __future__ import annotations

from trajgen.importers.tau2.kit import Action
from trajgen.records import Json


def named_user(state: Json, actions: list[Action], text: str) -> str:
    """The id of the user whom the calls or the user's words name, or ""."""
    named = [a.arguments["user_id"] for a in actions if "user_id" in a.arguments]
    orders = [
        state["orders"].get(a.arguments["order_id"]) for a in actions if "order_id" in a.arguments
    ]
    named += [order["user_id"] for order in orders if order]
    for user_id, user in state["users"].items():
        name = f"{user['name']['first_name']} {user['name']['last_name']}"
        if user_id in text or (name in text and user["address"]["zip"] in text):
            named.append(user_id)
    return next((str(user_id) for user_id in named if user_id in state["users"]), "")
