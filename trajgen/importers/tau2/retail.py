"""The retail domain of tau2: orders, items, products and addresses."""

from __future__ import annotations

from collections.abc import Iterator

from trajgen.importers.tau2.kit import Action, Kit
from trajgen.importers.tau2.people import named_user
from trajgen.records import Json


def _reads(state: Json, user: str, action: Action) -> Iterator[Action]:
    if user in state["users"]:
        yield from _find_user(state["users"][user])
        yield Action("get_user_details", {"user_id": user})
    if action.tool == "get_product_details":
        yield Action("list_all_product_types", {})
    orders = [
        order
        for order in state["users"].get(user, {}).get("orders", ())
        if order in state["orders"]
    ]
    yield from (Action("get_order_details", {"order_id": order}) for order in orders)
    products = [item["product_id"] for order in orders for item in state["orders"][order]["items"]]
    for product in dict.fromkeys(products):
        yield Action("get_product_details", {"product_id": product})


def _find_user(user: dict[str, Json]) -> Iterator[Action]:
    names = {key: user["name"][key] for key in ("first_name", "last_name")}
    yield Action("find_user_id_by_email", {"email": user["email"]})
    yield Action("find_user_id_by_name_zip", {**names, "zip": user["address"]["zip"]})


def _needs(state: Json, user: str, action: Action, said: str) -> Iterator[Action]:
    if user in state["users"] and not action.tool.startswith("find_user_id"):
        email, name = _find_user(state["users"][user])
        yield email if email.arguments["email"] in said else name
    if action.arguments.get("order_id") in state["orders"]:
        yield Action("get_order_details", {"order_id": action.arguments["order_id"]})


def _words(state: Json, arguments: dict[str, Json]) -> dict[str, Json]:
    items: dict[str, Json] = {
        key: " and ".join(_item(state, item) for item in arguments[key])
        for key in ("item_ids", "new_item_ids")
        if key in arguments
    }
    address = ", ".join(arguments[part] for part in _ADDRESS if arguments.get(part))
    return {**arguments, **items, "address": address}


_ADDRESS = ("address1", "address2", "city", "state", "zip", "country")


def _item(state: Json, item_id: str) -> str:
    for product in state["products"].values():
        if item_id in product["variants"]:
            options = ", ".join(product["variants"][item_id]["options"].values())
            return f"{product['name']} {item_id} ({options})"
    return item_id


KIT = Kit(
    "An online shop's customer service: orders, returns, exchanges and addresses.",
    _reads,
    _needs,
    _words,
    phrases={
        "cancel_pending_order": "order {order_id} cancelled ({reason}), with a refund",
        "exchange_delivered_order_items": "an exchange in order {order_id} of {item_ids} for "
        "{new_item_ids}, the difference on {payment_method_id}",
        "modify_pending_order_address": "order {order_id} sent to {address}",
        "modify_pending_order_items": "order {order_id} with {new_item_ids} in place of "
        "{item_ids}, the difference on {payment_method_id}",
        "modify_pending_order_payment": "order {order_id} paid with {payment_method_id}",
        "modify_user_address": "the address of {user_id} set to {address}",
        "return_delivered_order_items": "a return of {item_ids} from order {order_id}, "
        "refunded to {payment_method_id}",
    },
    findings={"order_id": "order {order_id}: {status}"},
    user=named_user,
)
