"""The part of a state that a call touches, and what that refers to."""

from __future__ import annotations

from typing import Any

from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.records import Call
from trajgen.worlds.shown import (
    FEW_FIELDS,
    REFERRED_CHARS,
    STATE_CHARS,
    Fields,
    folded,
    outlined_state,
    shown_state,
    small_parts,
)

STATE: dict[str, Any] = {
    "customers": {f"CU-{n}": {"name": f"N{n}", "orders": [f"W{n}"]} for n in range(100)},
    "orders": {
        f"W{n}": {"customer": f"CU-{n}", "lines": {f"P-{n}": 2}, "garden": "customers"}
        for n in range(100)
    },
    "products": {f"P-{n}": {"price": n} for n in range(100)},
}


def asking(tool: str = "act", **arguments: Any) -> Call:
    return Call("c", tool, arguments, 0)


def shown(arguments: dict[str, Any], state: Any = STATE) -> Any:
    return shown_state(Ledger(state, 0), asking(**arguments))


def test_what_is_named_comes_with_what_it_refers_to_one_step_away() -> None:
    assert shown({"order_id": "W7"}) == {
        "orders": {"W7": STATE["orders"]["W7"]},
        "customers": {"CU-7": STATE["customers"]["CU-7"]},  # by value
        "products": {"P-7": {"price": 7}},  # by key
    }
    assert "products" not in shown({"customer_id": "CU-7"})  # two steps away


def test_a_read_is_not_shown_what_is_referred_to() -> None:
    assert shown_state(Ledger(STATE, 0), asking(order_id="W7"), reads=True) == {
        "orders": {"W7": STATE["orders"]["W7"]}
    }


def test_what_is_referred_to_has_less_room() -> None:
    products = {f"P-{n}": {"note": "z" * 900} for n in range(99)}
    orders = {f"W{n}": {"lines": {f"P-{m}": 1 for m in range(9)}} for n in range(99)}
    found = shown({"order_id": "W1"}, {"orders": orders, "products": products})
    assert len(found["products"]) == 3
    assert len(canonical(found["products"])) <= REFERRED_CHARS


def test_where_nothing_is_named_entities_are_found_by_their_fields() -> None:
    flights = {
        f"F{n}": {"origin": "JFK" if n % 2 else "PHL", "to": f"A{n % 9}", "crew": {"zip": n}}
        for n in range(600)
    }
    state = {"flights": flights, "queue": ["JFK"], "open": True}
    fields, ledger = Fields(state), Ledger(state, 0)

    def found(**arguments: Any) -> list[str]:
        return list(shown_state(ledger, asking(**arguments), fields).get("flights", {}))

    assert found(origin="JFK", to="A3") == []  # 33 of them
    assert found(origin="JFK", zip=41) == ["F41"]  # inside, too
    assert found(to="nowhere", open=True) == []
    ledger.apply([{"op": "remove", "path": "/flights/F41"}])
    assert found(origin="JFK", zip=41) == []
    assert Fields(None).find(asking(a=1)) == []


def test_what_is_named_has_the_first_right_to_room() -> None:
    orders = {f"W{n}": {"customer": f"CU-{n}", "note": "x" * 900} for n in range(100)}
    customers = {f"CU-{n}": {"note": "y" * 900} for n in range(100)}
    found = shown({"ids": [f"W{n}" for n in range(9)]}, {"orders": orders, "customers": customers})
    assert len(found["orders"]) == 6
    assert "customers" not in found
    assert len(canonical(found)) <= STATE_CHARS


def test_of_a_large_entity_its_fields_and_what_is_named_in_it() -> None:
    dates = {f"2027-05-{n:02d}": {"seats": n, "note": "z" * 400} for n in range(1, 31)}
    state = {
        "flights": {"HAT001": {"origin": "PHL", "dates": dates}, "HAT002": {"dates": {}}},
        "bookings": {"B1": {"flight": "HAT001", "date": "2027-05-20"}},
    }
    named = shown({"flight": "HAT001", "date": "2027-05-12"}, state)
    day = {"origin": "PHL", "dates": {"2027-05-12": dates["2027-05-12"]}}
    assert named == {"flights": {"HAT001": day}}
    booked = shown({"booking": "B1"}, state)
    assert booked["flights"]["HAT001"]["dates"] == {"2027-05-20": dates["2027-05-20"]}


def test_nothing_named_shows_a_small_state_or_none_of_a_large_one() -> None:
    assert shown({"x": "nobody"}, {"lamps": {"L1": "on"}}) == {"lamps": {"L1": "on"}}
    assert shown({"x": "nobody"}, {"lamps": {f"L{n}": "on" for n in range(900)}}) == {}
    assert shown({}, {"text": "x" * 9000}) == {}
    assert shown({}, {}) is None
    assert shown({}, None) is None


def test_a_tool_finds_in_the_collection_that_it_is_named_after() -> None:
    trip = {"origin": "JFK", "destination": "ATL"}
    state = {"flights": {"F1": trip}, "reservations": {f"R{n}": trip for n in range(9)}}
    fields = Fields(state)
    assert fields.find(asking("search_direct_flight", **trip)) == ["/flights/F1"]
    assert len(fields.find(asking("look", **trip))) == 10


# The outline.

HOUSE: dict[str, Any] = {
    "agent": {"at": "shelf_1", "hand": {"cup_1": {"material": "glass", "dirty": True}}},
    "places": {
        "shelf_1": {"room": "hall", "contents": {"apple_1": {"food": True}, "box_1": {"in": {}}}},
        "fridge_1": {"open": False, "use": "cool", "contents": {"stew_1": {"hot": False}}},
        "table_1": {"room": "kitchen", "contents": {}},
        **{f"drawer_{n}": {"open": False, "contents": {}} for n in range(9)},
    },
    "rooms": [{"name": "hall"}, {"name": "kitchen"}],
}


def outlined(state: Any = HOUSE, **arguments: Any) -> Any:
    return outlined_state(Ledger(state, 0), asking(**arguments))


def test_an_outline_shows_what_is_named_and_in_it_ids_alone() -> None:
    assert outlined(place="fridge_1") == {
        "agent": {"at": "shelf_1", "hand": {"cup_1": {}}},
        "places": {"fridge_1": {"open": False, "use": "cool", "contents": {"stew_1": {}}}},
    }
    assert HOUSE["places"]["fridge_1"]["contents"]["stew_1"] == {"hot": False}  # as it was


def test_of_what_is_named_the_fields_are_shown() -> None:
    held = outlined(object="cup_1", place="table_1")
    assert held["agent"]["hand"] == {"cup_1": {"material": "glass", "dirty": True}}
    assert held["places"]["table_1"] == HOUSE["places"]["table_1"]
    inside = outlined(object="apple_1")["places"]["shelf_1"]
    assert inside["contents"]["apple_1"] == {"food": True}


def test_an_outline_of_what_nothing_names_is_where_the_agent_is() -> None:
    found = outlined(place="nowhere")
    assert found["agent"] == {"at": "shelf_1", "hand": {"cup_1": {}}}
    assert "apple_1" not in str(found)
    assert outlined({}) is None
    assert outlined(None) is None


def test_an_outline_has_a_bound() -> None:
    state = {"orders": {f"W{n}": {"note": "x" * 900} for n in range(99)}}
    found = outlined(state, ids=[f"W{n}" for n in range(50)])
    assert len(found["orders"]) == 6
    assert len(canonical(found)) <= STATE_CHARS


def test_what_is_folded_keeps_its_ids_and_all_but_entities() -> None:
    bare = folded(HOUSE, [])
    assert bare["agent"] == {"at": "shelf_1", "hand": {"cup_1": {}}}
    assert bare["places"] == {key: {} for key in HOUSE["places"]}
    assert bare["rooms"] == HOUSE["rooms"]
    one = folded(HOUSE, ["/places/shelf_1/contents/apple_1"])["places"]
    assert one["shelf_1"] == {"room": "hall", "contents": {"apple_1": {"food": True}, "box_1": {}}}
    assert one["fridge_1"] == {}


def test_small_parts_are_objects_with_few_fields_at_the_top() -> None:
    many = {f"k{n}": n for n in range(FEW_FIELDS + 1)}
    state = {"agent": {"at": "x"}, "day": 3, "log": ["x"], "long": {"text": "x" * 400}}
    assert small_parts(state | {"many": many, "a/b": {}}) == ["/agent", "/a~1b"]
    assert small_parts(["agent"]) == small_parts(None) == []
