"""The retail seeds replayed: ledger, tool schemas, observations and goals must agree.

`APPLIES` and `_answer` say, independently of the seeds' texts, when a tool applies and what
a read returns; every gold answer is held against them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from trajgen.declared import answer, undeclared
from trajgen.domains import load_domain
from trajgen.goals import holds
from trajgen.ledger import Ledger
from trajgen.pointers import overlay
from trajgen.records import Call, calls_of

FOLDER = Path(__file__).parent.parent / "seeds" / "retail_support"
STATE = json.loads((FOLDER / "state.json").read_text("utf-8"))
TOOLS = {t["function"]["name"]: t for t in json.loads((FOLDER / "tools.json").read_text("utf-8"))}
DOMAIN = yaml.safe_load((FOLDER / "domain.yaml").read_text("utf-8"))
LINES = (FOLDER / "trajectories.jsonl").read_text("utf-8").splitlines()
SEEDS = {seed["id"]: seed for seed in map(json.loads, LINES)}
COLLECTIONS = {
    "customer_id": "customers",
    "order_id": "orders",
    "item_id": "items",
    "gift_card_id": "gift_cards",
    "return_id": "returns",
    "exchange_id": "exchanges",
    "handover_id": "handovers",
}
READ_BY_ID = {"get_order": "order_id", "get_item": "item_id", "get_gift_card": "gift_card_id"}
ID = re.compile(r"\b[A-Z]{2}-[A-Z0-9]{3,5}\b")

each_seed = pytest.mark.parametrize("seed", SEEDS.values(), ids=SEEDS)


def start(seed: dict[str, Any]) -> Ledger:
    return Ledger(overlay(STATE, seed.get("state")))


def replay(seed: dict[str, Any]) -> Iterator[tuple[Call, Any, Any, Any]]:
    """Every call with the state before it, the state after it and its observation."""
    ledger = start(seed)
    answers = {m["tool_call_id"]: m["content"] for m in seed["messages"] if m["role"] == "tool"}
    for call in calls_of(seed["messages"]):
        before = ledger.state
        ledger.apply(seed["meta"]["effects"].get(call.id, []))
        yield call, before, ledger.state, json.loads(answers[call.id])


def every(kind: str) -> list[Any]:
    """Each replayed call of a seed whose tool is of this kind."""
    return [
        pytest.param(*step, id=f"{name}-{step[0].id}-{step[0].tool}")
        for name, seed in SEEDS.items()
        for step in replay(seed)
        if DOMAIN["tools"][step[0].tool]["kind"] == kind
    ]


def entities(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Objects of an observation that show an entity (its id comes first), with their pointer."""
    if isinstance(value, list):
        for item in value:
            yield from entities(item)
    elif isinstance(value, dict) and value:
        first = next(iter(value))
        if first in COLLECTIONS:
            yield f"/{COLLECTIONS[first]}/{value[first]}", value
        else:
            yield from entities(list(value.values()))


def _answer(tool: str, args: dict[str, Any], state: Any) -> Any:
    """What a read returns in `state`; None stands for an error."""
    if tool == "verify_customer":
        fits = (
            c
            for c in state["customers"].values()
            if c["address"]["postcode"] == args["postcode"]
            and (c["email"] == args.get("email") or args.get("order_id") in c["orders"])
        )
        return next(fits, None)
    if tool == "search_items":
        return {
            "items": [
                item
                for item in state["items"].values()
                if item["category"] == args["category"]
                and item["price"] <= args.get("max_price", item["price"])
                and (item["stock"] > 0 or not args.get("in_stock_only", False))
            ]
        }
    key = READ_BY_ID[tool]
    return state[COLLECTIONS[key]].get(args[key])


def _in_window(state: Any, order: dict[str, Any]) -> bool:
    if order["status"] != "delivered":
        return False
    days = date.fromisoformat(state["shop"]["today"]) - date.fromisoformat(order["delivered_on"])
    return days.days <= 30


def _can_go_back(state: Any, args: dict[str, Any], items: list[dict[str, Any]]) -> bool:
    order = state["orders"][args["order_id"]]
    lines = order["lines"]
    return _in_window(state, order) and all(
        i["quantity"] <= lines[i["item_id"]]["quantity"] - lines[i["item_id"]]["returned"]
        and (not state["items"][i["item_id"]]["final_sale"] or args.get("reason") == "damaged")
        for i in items
    )


def _pays(state: Any, customer_id: str, method: str, amount: int) -> bool:
    customer = state["customers"][customer_id]
    if method in customer["gift_cards"]:
        return bool(state["gift_cards"][method]["balance"] >= amount)
    return method in customer["payment_methods"] and state["card_checks"][method] == "ok"


def _payable(state: Any, args: dict[str, Any]) -> bool:
    order = state["orders"][args["order_id"]]
    owed = order["status"] == "pending" and order["payment"]["status"] == "declined"
    return owed and _pays(state, order["customer_id"], args["method"], order["total"])


def _exchangeable(state: Any, args: dict[str, Any]) -> bool:
    order, old = state["orders"][args["order_id"]], state["items"][args["item_id"]]
    new = state["items"][args["new_item_id"]]
    extra = args["quantity"] * (new["price"] - order["lines"][args["item_id"]]["unit_price"])
    return (
        _can_go_back(state, args, [{"item_id": old["item_id"], "quantity": args["quantity"]}])
        and new["family"] == old["family"]
        and new["stock"] >= args["quantity"]
        and (extra <= 0 or _pays(state, order["customer_id"], args["pay_with"], extra))
    )


APPLIES = {
    "cancel_order": lambda s, a: s["orders"][a["order_id"]]["status"] == "pending",
    "set_delivery_address": lambda s, a: s["orders"][a["order_id"]]["status"] == "pending",
    "pay_order": _payable,
    "redeem_gift_card": lambda s, a: s["gift_cards"][a["gift_card_id"]]["owner"] is None,
    "start_return": lambda s, a: _can_go_back(s, a, a["items"]),
    "start_exchange": _exchangeable,
    "hand_over": lambda s, a: a["customer_id"] in s["customers"],
}


def test_the_folder_is_complete_and_small() -> None:
    assert len(SEEDS) == len(LINES) == 12
    assert set(DOMAIN["tools"]) == set(TOOLS)
    assert (FOLDER / "state.json").stat().st_size < 12_000
    policy = (FOLDER / "policy.md").read_text("utf-8")
    assert len(policy.splitlines()) <= 60
    assert f"Today is {STATE['shop']['today']}" in policy


def test_the_set_is_varied() -> None:
    outcomes = [seed["meta"]["outcome"] for seed in SEEDS.values()]
    lengths = [len(list(calls_of(seed["messages"]))) for seed in SEEDS.values()]
    used = {call.tool for seed in SEEDS.values() for call in calls_of(seed["messages"])}
    parallel = [
        m for s in SEEDS.values() for m in s["messages"] if len(m.get("tool_calls", ())) > 1
    ]
    assert set(outcomes) == {"success", "refusal", "failure"}
    assert (min(lengths), max(lengths)) == (1, 8)
    assert used == set(TOOLS)
    assert parallel


def test_the_state_is_consistent() -> None:
    for name, collection in COLLECTIONS.items():
        assert all(entity[name] == key for key, entity in STATE[collection].items())
    for key, order in STATE["orders"].items():
        customer = STATE["customers"][order["customer_id"]]
        goods = sum(line["unit_price"] * line["quantity"] for line in order["lines"].values())
        assert order["total"] == goods + order["shipping_fee"]
        assert key in customer["orders"]
        assert order["payment"]["method"] in customer["payment_methods"]
        assert set(order["lines"]) <= set(STATE["items"])
        assert ("delivered_on" in order) == (order["status"] == "delivered")
    methods = [m for c in STATE["customers"].values() for m in c["payment_methods"]]
    assert sorted(methods) == sorted(STATE["card_checks"])


def test_no_real_looking_addresses() -> None:
    for path in FOLDER.iterdir():
        for host in re.findall(r"@([\w.-]+\w)", path.read_text("utf-8")):
            assert host == "example.com", path.name


@each_seed
def test_messages_are_well_formed(seed: dict[str, Any]) -> None:
    messages, open_calls = seed["messages"], []
    assert messages[0]["role"] == "user"
    for before, message in zip([{"role": "assistant"}, *messages], messages, strict=False):
        assert isinstance(message["content"], str)
        assert message["content"] or message.get("tool_calls")
        if message["role"] == "tool":
            assert message["tool_call_id"] == open_calls.pop(0)
            continue
        assert not open_calls
        open_calls = [call["id"] for call in message.get("tool_calls", ())]
        if message["role"] == "user":
            assert before["role"] == "assistant"
            assert "tool_calls" not in before
    assert message["role"] == "assistant"
    assert not open_calls
    ids = [call.id for call in calls_of(messages)]
    assert ids == [f"call_{n}" for n in range(1, len(ids) + 1)]
    assert set(seed["meta"]["effects"]) <= set(ids)


@each_seed
def test_goals_hold_exactly_when_the_seed_succeeds(seed: dict[str, Any]) -> None:
    goal, success = seed.get("goal", []), seed["meta"]["outcome"] == "success"
    first, last = start(seed).state, [after for _, _, after, _ in replay(seed)][-1]
    if goal:
        assert all(holds(last, condition) for condition in goal) == success
        assert not all(holds(first, condition) for condition in goal)
    else:
        assert not seed["meta"].get("effects")


@each_seed
def test_arguments_fit_the_schemas(seed: dict[str, Any]) -> None:
    for call in calls_of(seed["messages"]):
        schema = TOOLS[call.tool]["function"]["parameters"]
        jsonschema_rs.Draft202012Validator(schema).validate(call.arguments)


@each_seed
def test_arguments_were_seen_before(seed: dict[str, Any]) -> None:
    for call in calls_of(seed["messages"]):
        seen = " ".join(m["content"] for m in seed["messages"][: call.message])
        values = {k: v for k, v in call.arguments.items() if k != "summary"}
        named = ID.findall(json.dumps(call.arguments))
        typed = [v for k, v in values.items() if k in ("email", "postcode", "max_price")]
        typed += call.arguments.get("address", {}).values()
        for value in [*named, *map(str, typed)]:
            assert value in seen, value


@each_seed
def test_orders_and_cards_are_touched_after_verification_only(seed: dict[str, Any]) -> None:
    verified: dict[str, Any] = {}
    for call, _, after, seen in replay(seed):
        if call.tool == "verify_customer":
            verified = {} if "error" in seen else seen
            continue
        if call.tool not in ("search_items", "get_item"):
            assert verified
        if "order_id" in call.arguments and "error" not in seen:
            owner = after["orders"][call.arguments["order_id"]]["customer_id"]
            assert owner == verified["customer_id"]


@pytest.mark.parametrize(("call", "before", "after", "seen"), every("read"))
def test_reads_return_what_the_state_holds(call: Call, before: Any, after: Any, seen: Any) -> None:
    expected = _answer(call.tool, call.arguments, before)
    assert after is before
    assert ("error" in seen) if expected is None else (seen == expected)


@pytest.mark.parametrize(("call", "before", "after", "seen"), every("write"))
def test_writes_change_the_state_unless_they_fail(
    call: Call, before: Any, after: Any, seen: Any
) -> None:
    applies = APPLIES[call.tool](before, call.arguments)
    assert (after != before) == applies
    assert ("error" in seen) != applies
    if "error" in seen:
        assert list(seen) == ["error"]
        return
    shown = list(entities(seen))
    assert shown
    for pointer, fields in shown:
        held = Ledger(after).get(pointer)
        assert {key: held[key] for key in fields} == fields


@pytest.mark.parametrize(("call", "before", "after", "seen"), every("write"))
def test_amounts_add_up(call: Call, before: Any, after: Any, seen: Any) -> None:
    args = call.arguments
    if "error" in seen or "order_id" not in args:
        return
    order = before["orders"][args["order_id"]]
    prices = {key: line["unit_price"] for key, line in order["lines"].items()}
    paid_with = order["payment"]["method"]
    if call.tool == "cancel_order":
        assert seen["refunds"] == [{"method": paid_with, "amount": order["total"]}]
    elif call.tool == "start_return":
        worth = sum(prices[i["item_id"]] * i["quantity"] for i in args["items"])
        assert (seen["refund_amount"], seen["refund_method"]) == (worth, paid_with)
        assert seen["return_id"] == args["order_id"].replace("LL", "RT")
    elif call.tool == "start_exchange":
        new = before["items"][args["new_item_id"]]
        assert seen["difference"] == args["quantity"] * (new["price"] - prices[args["item_id"]])
        assert new["stock"] - after["items"][args["new_item_id"]]["stock"] == args["quantity"]
    elif call.tool == "pay_order" and args["method"].startswith("GC-"):
        cards = (state["gift_cards"][args["method"]]["balance"] for state in (before, after))
        assert next(cards) - next(cards) == order["total"]


@each_seed
def test_a_write_waits_for_the_customer(seed: dict[str, Any]) -> None:
    """Between the proposal and a write (a hand-over needs none) the customer has spoken."""
    for call in calls_of(seed["messages"]):
        if DOMAIN["tools"][call.tool]["kind"] == "write" and call.tool != "hand_over":
            spoken = [m["role"] for m in seed["messages"][: call.message] if not is_call(m)]
            assert spoken[-2:] == ["assistant", "user"]


def is_call(message: dict[str, Any]) -> bool:
    return message["role"] == "tool" or "tool_calls" in message


# what domain.yaml declares

DECLARED = load_domain(FOLDER)
BY_MODEL = {"verify_customer", "search_items", "start_return", "start_exchange", "hand_over"}


def test_what_needs_no_search_sum_or_new_number_is_declared() -> None:
    assert set(undeclared(DECLARED)) == BY_MODEL
    assert {n: s["kind"] for n, s in DOMAIN["tools"].items()} == DECLARED.kinds


@each_seed
def test_code_answers_as_in_the_seed(seed: dict[str, Any]) -> None:
    for call, before, _, seen in replay(seed):
        found = answer(DECLARED, call, before)
        if found is not None:
            assert json.loads(found.observation) == seen
            assert list(found.effects) == seed["meta"]["effects"].get(call.id, [])
            assert found.applies != ("error" in seen)


def everything() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every declared call with every id of the shop, and some that are not there."""
    orders, cards = [*STATE["orders"], "LL-1"], [*STATE["gift_cards"], "GC-1"]
    customers = [*STATE["customers"], "CU-1"]
    address = {"street": "1 New Road", "city": "Saltby", "postcode": "40771"}
    for order in orders:
        yield "cancel_order", {"order_id": order}
        yield from (("pay_order", {"order_id": order, "method": m}) for m in METHODS)
        for save in (True, False):
            wanted = {"order_id": order, "address": address, "save_to_profile": save}
            yield "set_delivery_address", wanted
    for customer in customers:
        for card in cards:
            yield "redeem_gift_card", {"gift_card_id": card, "customer_id": customer}
    yield from (("get_gift_card", {"gift_card_id": card}) for card in cards)
    yield from (("get_order", {"order_id": order}) for order in orders)
    yield from (("get_item", {"item_id": item}) for item in [*STATE["items"], "GD-1"])


METHODS = [*STATE["card_checks"], *STATE["gift_cards"], "PM-0"]


@pytest.mark.slow
def test_code_and_the_rules_above_agree_on_every_call_in_every_seeds_end() -> None:
    states = [STATE, *([*replay(seed)][-1][2] for seed in SEEDS.values())]
    asked = 0
    for state in states:
        for tool, args in everything():
            found = answer(DECLARED, Call("c", tool, args, 1), state)
            assert found is not None
            seen = json.loads(found.observation)
            assert ("error" in seen) != found.applies
            known = all(
                args.get(name, next(iter(state[kept]), None)) in state[kept]
                for name, kept in COLLECTIONS.items()
                if name in args
            )
            if DOMAIN["tools"][tool]["kind"] == "read":
                expected = _answer(tool, args, state)
                assert found.applies == (expected is not None)
                assert expected is None or seen == expected
            else:
                assert found.applies == (known and APPLIES[tool](state, args)), (tool, args)
                assert Ledger(state).apply(found.effects) == found.applies
            asked += 1
    assert asked > 2000
