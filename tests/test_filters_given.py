"""Entities of a state: found by id, known to be missing."""

from __future__ import annotations

from trajgen.filters.given import NOTHING, Given, World, is_id, stem_of

STATE = {
    "orders": {"W1": {"status": "new", "lines": {"K1": {"n": 1}, "K2": {"n": 2}}}, "W2": {}},
    "customers": [{"customer_id": "C1", "name": "Ana"}, {"customer_id": "C2", "name": "Eva"}],
    "agent": {"at": "hall_1"},
}


def test_entities_are_found_under_keys_in_lists_and_inside_each_other() -> None:
    given = Given(STATE)
    assert [e.path for e in given.of("W1")] == ["/orders/W1"]
    assert [e.path for e in given.of("C2")] == ["/customers/1"]
    assert [e.path for e in given.of("K2")] == ["/orders/W1/lines/K2"]
    assert given.of("agent") == []
    assert Given(None).of("W1") == []


def test_what_a_state_has_and_lacks() -> None:
    given = Given(STATE)
    assert given.holds("order_id", "W1")
    assert not given.holds("customer_id", "W1")
    assert given.lacks("order_id", "W9")
    assert not given.lacks("order_id", "#w1")
    assert not given.lacks("parcel_id", "P1")  # it has no parcels to know by
    assert not given.lacks("id", "P1")


def test_a_row_s_own_state_lies_over_the_domain_s() -> None:
    world = World(Given({"orders": {"W1": {"status": "lost"}}}), Given(STATE))
    assert world.of("W1")[0].record == {**STATE["orders"]["W1"], "status": "lost"}  # type: ignore[index]
    assert not world.lacks("order_id", "W2")
    assert not World(NOTHING, NOTHING)


def test_names_of_ids() -> None:
    assert is_id("order_id", "W1")
    assert is_id("flight_number", 7)
    assert not is_id("order_id", True)
    assert not is_id("order", "W1")
    assert (stem_of("order_id"), stem_of("id"), stem_of("status")) == ("order", "", "")
