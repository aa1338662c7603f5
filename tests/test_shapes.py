"""What states have in common is what proposed effects are held to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.playing import DOMAIN, SEED
from trajgen.ledger import Ledger
from trajgen.pointers import overlay
from trajgen.records import Domain, Seed, calls_of
from trajgen.seeds import load_seeds
from trajgen.shapes import Shape, Shapes, bad_effects, extended, infer, misfits, shape_of

ORDERS: dict[str, Any] = {
    f"W10{n}": {
        "order_id": f"W10{n}",
        "status": "pending",
        "total": 10.5 * n,
        "note": None if n % 2 else "gift",
        "lines": {f"P-{n}": n},
        "address": {"city": "Oslo", "zip": "0150"},
        "payments": [{"method": "card", "amount": n}],
    }
    for n in range(6)
}
STATE: dict[str, Any] = {
    "shop": {"open": True, "today": "2027-01-02"},
    "orders": {**ORDERS, "W106": {**ORDERS["W105"], "order_id": "W106", "gift_card": "G1"}},
    "refunds": {},
    "notes": {"N1": "call back"},
}
KNOWN = shape_of(Domain("shop", "", (), state=STATE), ())
NEW = {**ORDERS["W101"], "order_id": "W200"}


def found(op: str, path: str, value: Any = None, shape: Shape = KNOWN) -> list[str]:
    effect = {"op": op, "path": path} | ({} if op == "remove" else {"value": value})
    Ledger(STATE).apply([effect])  # it fits the ledger: the shape is what may be against it
    return list(misfits(shape, STATE, [effect]))


@pytest.mark.parametrize(
    ("op", "path", "value"),
    [
        ("set", "/orders/W101/status", "cancelled"),  # a word that no state has yet
        ("set", "/orders/W101/total", 3),
        ("set", "/orders/W101/note", "for you"),
        ("set", "/orders/W102/note", None),
        ("add", "/orders/W200", NEW),
        ("add", "/orders/W200", {**NEW, "gift_card": "G7"}),  # some have one
        ("add", "/orders/W101/gift_card", "G7"),
        ("add", "/orders/W101/lines/P-99", 2),
        ("add", "/refunds/R1", {"order": "W101", "sum": 3}),  # the first of its kind
        ("add", "/notes/N2", "wrote back"),
        ("add", "/shop/tomorrow", "2027-01-03"),  # one shop is no rule
        ("set", "/shop/today", None),
        ("append", "/orders/W101/payments", {"method": "cash", "amount": 1}),
        ("remove", "/orders/W101", None),
        ("increment", "/orders/W101/total", 2),
    ],
)
def test_what_is_like_the_rest_fits(op: str, path: str, value: Any) -> None:
    assert found(op, path, value) == []


@pytest.mark.parametrize(
    ("op", "path", "value", "told"),
    [
        ("set", "/orders/W101/status", None, "/orders/W101/status: expected string, found null"),
        ("set", "/orders/W101/address", {"city": "Oslo"}, "without 'zip'"),
        ("set", "/orders/W101/address/zip", None, "/orders/W101/address/zip: expected string"),
        ("set", "/orders/W101/payments", [{"method": "card", "amount": "1"}], "/payments/0/amount"),
        ("add", "/orders/W101/state", "x", "/orders/W101/state: expected one of address, "),
        ("add", "/orders/W200", {"status": "pending"}, "without 'address'"),
        ("add", "/orders/W200", {**NEW, "colour": 1}, "/orders/W200/colour: expected one of"),
        ("add", "/orders/W200", {**NEW, "total": "3"}, "/orders/W200/total: expected number"),
        ("add", "/orders/W200", {**NEW, "lines": {"P-1": {}}}, "/lines/P-1: expected number"),
        ("add", "/orders/W201", NEW, "/orders/W201/order_id: expected 'W201', its key"),
        ("add", "/orders/W200", "pending", "/orders/W200: expected object, found string"),
        ("add", "/orders/W101/lines/P-9", "two", "/lines/P-9: expected number, found string"),
        ("add", "/status", "cancelled", "/status: expected one of notes, orders, refunds, shop"),
        ("append", "/orders/W101/payments", {"amount": 1}, "/orders/W101/payments/-: expected"),
        ("move", "/orders/W101/status", "/orders/W101/payments/-", "expected object, found str"),
        ("move", "/orders/W101/total", "/orders/W101/price", "/orders/W101/price: expected one"),
    ],
)
def test_what_is_like_nothing_is_told_with_pointer_and_expectation(
    op: str, path: str, value: Any, told: str
) -> None:
    if op == "append" or (op == "move" and value.endswith("-")):
        effect = {"op": op, "path": path, "value": value}
        (what,) = misfits(KNOWN, STATE, [effect])
    else:
        (what,) = found(op, path, value)
    assert told in what


def test_reasons_stand_at_the_call() -> None:
    effects = [{"op": "set", "path": "/orders/W101/status", "value": None}]
    (reason,) = bad_effects(KNOWN, STATE, effects, 7)
    assert (reason.code, reason.at) == ("bad_effect", 7)
    assert bad_effects(KNOWN, STATE, [], 7) == []


def test_few_examples_say_little() -> None:
    few = shape_of(Domain("d", "", (), state={"jars": {"J1": {"a": 1}, "J2": {"a": 2}}}), ())
    for value in ({"b": 1}, {"a": None}, {}):
        assert list(misfits(few, {}, [{"op": "add", "path": "/jars/J3", "value": value}])) == []
    (what,) = misfits(few, {}, [{"op": "add", "path": "/jars/J3", "value": {"a": "x"}}])
    assert what == "/jars/J3/a: expected number, found string"


@pytest.mark.parametrize(
    ("places", "collection"),
    [
        ([{"kitchen": {"lit": True}, "hall": {"lit": False}}], True),  # alike
        ([{"agent": {"at": "hall"}, "clock": {"hour": 3}}], False),  # not alike
        ([{"apples": 3, "pears": 2}], False),  # fields or goods: who knows
        ([{"apples": 3}, {"pears": 2}, {"figs": 1}], True),  # no two have one in common
        ([{"x": 1, "y": 2}, {"x": 3, "y": 1}], False),
        ([{"2027-01-01": 1, "2027-01-02": 2}], True),
        ([{"address1": "a", "address2": "b", "city": "c", "state": "d", "zip": "e"}], False),
    ],
)
def test_collections_and_records(places: list[dict[str, Any]], collection: bool) -> None:
    assert (infer([[place] for place in places]).values is not None) == collection


def test_versions_of_one_place_are_one_example() -> None:
    jar = {"open": True}
    once = infer([[{"J1": jar}]])
    often = infer([[{"J1": {"open": bool(n % 2)}} for n in range(20)]])
    assert once.values is not None
    assert often.values is not None
    assert (once.values.seen, often.values.seen) == (1, 1)
    assert not often.values.fixed


def test_seeds_bring_their_states_and_effects() -> None:
    added = {"op": "add", "path": "/orders/W101/reason", "value": "late"}
    seed = replace(SEED, state={"desk": {"open": True}}, meta={"effects": {"call_2": [added]}})
    shape = shape_of(DOMAIN, [seed])
    assert shape.below("desk") is not None
    assert not shape.fixed  # the seeds themselves bring new keys to the top
    orders = shape.below("orders")
    assert orders is not None
    assert orders.values is not None
    assert "reason" in orders.values.fields


def test_real_effects_extend_the_shape_and_leave_the_old_one() -> None:
    effect = {"op": "add", "path": "/orders/W101/colour", "value": "red"}
    ledger = Ledger(STATE)
    ledger.apply([effect])
    wider = extended(KNOWN, ledger.state, [effect])
    assert found("add", "/orders/W102/colour", "blue", wider) == []
    assert found("add", "/orders/W102/colour", 3, wider) != []
    assert found("add", "/orders/W102/colour", "blue") != []
    null = {"op": "set", "path": "/orders/W101/status", "value": None}
    assert found("set", "/orders/W102/status", None, extended(KNOWN, STATE, [])) != []
    wider = extended(KNOWN, STATE, [null])
    assert found("set", "/orders/W102/status", None, wider) == []
    moved = {"op": "move", "path": "/x", "value": "/orders/W101/payments/-"}
    extended(KNOWN, STATE, [moved, {"op": "remove", "path": "/x"}])  # nothing to learn


def test_a_domain_without_state_has_no_shape() -> None:
    shape = shape_of(replace(DOMAIN, state=None), [])
    assert list(misfits(shape, {}, [{"op": "add", "path": "/a/b", "value": 1}])) == []
    assert list(misfits(shape, {}, [{"op": "add", "path": "/a", "value": 1}])) == []


def test_effects_that_do_not_fit_show_nothing() -> None:
    shape = shape_of(replace(DOMAIN, state={"orders": {}}), [SEED])
    assert shape == shape_of(replace(DOMAIN, state={"orders": {}}), [])


def test_shapes_are_inferred_once_a_domain() -> None:
    shapes = Shapes({"shop": DOMAIN}, [SEED, replace(SEED, id="other", domain="farm")])
    assert shapes.of("shop") is shapes.of("shop")


def false_refusals(domain: Domain, seed: Seed, shape: Shape) -> list[str]:
    ledger, found = Ledger(overlay(domain.state, seed.state), 0), list[str]()
    for call in calls_of(seed.messages):
        effects = seed.meta.get("effects", {}).get(call.id, ())
        found += misfits(shape, ledger.state, effects)
        ledger.apply(effects)
    return found


@pytest.mark.parametrize("source", ["household", "chemistry_lab", "retail_support"])
def test_no_real_effect_of_ours_is_refused_by_what_the_other_seeds_show(source: str) -> None:
    loaded = load_seeds((f"seeds/{source}",))
    (domain,) = loaded.domains.values()
    for seed in loaded.seeds:
        others = [other for other in loaded.seeds if other is not seed]
        assert false_refusals(domain, seed, shape_of(domain, others)) == []


@pytest.mark.slow
@pytest.mark.parametrize("source", ["tau2:airline", "tau2:retail"])
def test_no_real_effect_of_tau2_is_refused_by_the_state_alone(source: str) -> None:
    loaded = load_seeds((source,))
    (domain,) = loaded.domains.values()
    shape = shape_of(domain, ())
    for seed in loaded.seeds:
        assert false_refusals(domain, seed, shape) == []
