"""Conversations without stored steps, against themselves and the state they began with.

Each rule has a conversation that breaks it and the nearest one that does not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conversations import (
    ORDER,
    SHOP,
    STATE,
    calls,
    codes,
    result,
    says,
    tool,
    trajectory,
    user,
)
from trajgen.filters.world import check
from trajgen.records import Domain

BARE = replace(SHOP, state=None)
ALONE = replace(BARE, kinds={})
W1, W2 = {"order_id": "W1001"}, {"order_id": "W1002"}
OTHER = STATE["orders"]["W1002"]
GONE = {**ORDER, "status": "cancelled"}
CANCEL = {**W1, "reason": "asked"}
NO = "Error: Order not found"
Said = tuple[str, dict[str, Any], Any]


def found(*said: Said, domain: Domain = BARE, **more: Any) -> list[tuple[str, int | None]]:
    """Codes of a conversation of these calls; call n is message 2n+1, its answer 2n+2."""
    messages = [user("Hello.")]
    for n, (name, arguments, shown) in enumerate(said):
        messages += [calls((f"c{n}", name, arguments)), result(f"c{n}", shown)]
    return codes(check(trajectory(*messages, says("Done."), **more), domain))


# reads against earlier answers


def test_a_read_agrees_with_the_latest_word() -> None:
    look = ("get_order", W1, ORDER)
    search = ("search", {"query": "q"}, "nothing")
    assert found(look, search, look) == []
    lost = ("get_order", W1, {**ORDER, "status": "lost"})
    assert found(look, search, lost) == [("contradicts_observation", 6)]
    assert found(look, search, lost, domain=ALONE) == [("contradicts_observation", 6)]


def test_a_write_explains_changes_of_what_it_names_and_of_nothing_else() -> None:
    look, other = ("get_order", W1, ORDER), ("get_order", W2, OTHER)
    cancel = ("cancel_order", CANCEL, {"message": "ok"})
    assert found(look, other, cancel, ("get_order", W1, GONE)) == []
    lost = ("get_order", W2, {**OTHER, "status": "lost"})
    assert found(look, other, cancel, lost) == [("contradicts_observation", 8)]


def test_a_write_reaches_one_hop_further() -> None:
    customer = {"customer_id": "ana_diaz_77", "credit": 5}
    order = {**ORDER, "customer_id": "ana_diaz_77"}
    paid = ("find_customer", {"email": "a@b.com"}, {**customer, "credit": 59.5})
    said = [("find_customer", {"email": "a@b.com"}, customer), ("get_order", W1, order)]
    assert found(*said, ("cancel_order", CANCEL, "ok"), paid) == []
    assert found(*said, paid) == [("contradicts_observation", 6)]


def test_a_write_that_names_nothing_known_may_change_anything() -> None:
    lost = ("get_order", W1, {**ORDER, "status": "lost"})
    assert found(("get_order", W1, ORDER), ("unheard_of", {}, "ok"), lost) == []


def test_a_failed_write_explains_nothing() -> None:
    refused = ("cancel_order", CANCEL, "Error: it is too late")
    lost = ("get_order", W1, {**ORDER, "total": 3})
    look = ("get_order", W1, ORDER)
    assert found(look, refused, lost) == [("contradicts_observation", 6)]
    assert found(look, refused, ("get_order", W1, GONE)) == [("false_refusal", 3)]


def test_what_a_write_answers_is_the_latest_word() -> None:
    look, done = ("get_order", W1, ORDER), ("cancel_order", CANCEL, GONE)
    assert found(look, done, ("get_order", W1, GONE)) == []
    assert found(look, done, look) == [("contradicts_observation", 6)]
    short = ("cancel_order", CANCEL, {**W1, "status": "cancelled"})
    assert found(look, short, look) == [("contradicts_observation", 6)]
    of_the_call = ("cancel_order", CANCEL, {**W1, "status": "success"})
    assert found(of_the_call, ("get_order", W1, GONE)) == []


def test_a_read_shows_what_a_write_did() -> None:
    look = ("get_order", W1, ORDER)
    done = ("cancel_order", CANCEL, "Done.")
    assert found(look, done, look) == [("contradicts_observation", 6)]
    assert found(look, ("search", {"query": "W1001"}, "Done."), look) == []


def test_the_items_of_a_list_are_the_same_in_the_same_view() -> None:
    fewer = {**ORDER, "items": ORDER["items"][:1]}
    said = [("get_order", W1, ORDER), ("search", {"query": "q"}, "-"), ("get_order", W1, fewer)]
    assert found(*said) == [("contradicts_observation", 6)]


# answers about something else


@pytest.mark.parametrize(
    ("made", "shown", "at"),
    [
        (("get_order", W1), OTHER, 2),
        (("get_order", W1), {"order": OTHER}, 2),
        (("get_order", W1), {"id": "W1002", "status": "pending"}, 2),
        (("cancel_order", CANCEL), {"order": {"order_id": "W1002"}, "note": "ok"}, 2),
        (("merge", {"order_id": "W1001", "from_id": "W1002"}), {"order_id": "W1002"}, 2),
    ],
)
def test_an_answer_about_another_entity(made: Any, shown: Any, at: int) -> None:
    assert found((*made, shown)) == [("contradicts_observation", at)]


def test_an_answer_may_leave_out_or_respell_the_id() -> None:
    assert found(("get_order", W1, {"order_id": "#w1001", "status": "pending"})) == []
    assert found(("get_order", W1, {"status": "pending"})) == []
    assert found(("list_orders", {"customer_id": "C1"}, {"id": "O1"})) == []
    made = {"order_id": "W1001", "new_order_id": "W9"}
    assert found(("refund", made, {"order_id": "W9"})) == []


def test_prose_that_always_names_what_it_is_about() -> None:
    domain = replace(ALONE, kinds={"take": "write"})
    apple = ("take", {"object": "apple_1"}, "You take apple_1 from table_1.")
    bowl = ("take", {"object": "bowl_1"}, "You take bowl_1 from sink_1.")
    wrong = ("take", {"object": "bowl_1"}, "You take apple_1 from table_1.")
    assert found(apple, bowl, domain=domain) == []
    assert found(apple, wrong, domain=domain) == [("contradicts_observation", 4)]
    go = [("go", {"to": d}, f"You are in a hall. A door leads {e}. " * 5) for d, e in PATHS]
    assert found(*go, domain=domain) == []


PATHS = (("north", "north"), ("east", "east"), ("south", "north"))


def test_the_answer_to_another_call_word_for_word() -> None:
    opened = ("open", {"thing": "cupboard"}, "The cupboard is now open.")
    went = ("go", {"place": "kitchen"}, "You move to the kitchen.")
    assert found(opened, went) == []
    wrong = ("open", {"thing": "cupboard"}, went[2])
    assert found(went, wrong) == [("contradicts_observation", 4)]


# refusals


def test_not_found_though_it_was_seen() -> None:
    look, search = ("get_order", W1, ORDER), ("search", {"query": "q"}, "-")
    row = ("list_orders", {"customer_id": "ana_diaz_77"}, [{**W1, "status": "pending"}])
    assert found(row, ("get_order", W1, NO)) == [("false_refusal", 3)]
    assert found(look, search, ("get_order", W1, "Error: no")) == [("false_refusal", 5)]
    assert found(row, ("get_order", W2, NO)) == []
    assert found(row, ("get_order", W1, "Error: not found, the service is unavailable")) == []


def test_not_found_though_the_state_has_it() -> None:
    assert found(("get_order", W1, NO), domain=SHOP) == [("false_refusal", 1)]
    assert found(("get_order", {"order_id": "W9"}, NO), domain=SHOP) == []
    assert found(("get_order", {"order_id": "ana_diaz_77"}, NO), domain=SHOP) == []


def test_refused_and_then_not() -> None:
    refused = "Error: access denied"
    assert found(("get_order", W1, refused), ("get_order", W1, ORDER)) == [("false_refusal", 1)]
    timed_out = ("get_order", W1, "Error: timed out")
    assert found(timed_out, ("get_order", W1, ORDER)) == []
    twice = [("cancel_order", CANCEL, refused), ("cancel_order", CANCEL, "ok")]
    assert found(*twice) == [("precondition_violated", 3)]
    between = [twice[0], ("refund", {**W1, "amount": 1}, "ok"), twice[1]]
    assert found(*between) == []


# what a write needs and says


def test_done_twice() -> None:
    done = ("cancel_order", CANCEL, "ok")
    assert found(done, ("search", {"query": "q"}, "-"), done) == [("precondition_violated", 5)]
    assert found(done, ("refund", {**W1, "amount": 1}, "ok"), done) == []
    taken = ("take_from", {"thing": "book", "holder": "crate"}, "You take the book.")
    put, opened = ("put_on", {"thing": "book"}, "ok"), ("open", {"thing": "crate"}, "It opens.")
    assert found(taken, opened, taken) == [("precondition_violated", 5)]
    assert found(taken, put, taken) == []
    rate = ("exchange_currency", {"amount": 100, "to": "EUR"}, "91.5")
    assert found(rate, ("search", {"query": "q"}, "-"), rate) == []
    lock = [("lockDoors", {"unlock": u}, "ok") for u in (False, True, False)]
    assert found(*lock) == []
    unlocked = ("unlock", {"thing": "crate"}, "Click.")
    assert found(opened, unlocked, opened) == [("precondition_violated", 5)]
    assert found(opened, ("close", {"thing": "crate"}, "It closes."), opened) == []
    assert found(done, ("cancel_order", {**W2, "reason": "asked"}, "ok")) == []


def test_over_already() -> None:
    done = ("cancel_order", CANCEL, "ok")
    assert found(("get_order", W1, GONE), done) == [("precondition_violated", 3)]
    assert found(("get_order", W1, ORDER), done) == []


def test_a_call_on_nothing() -> None:
    nothing = {"order_id": "W7777"}
    shown = {**ORDER, **nothing}
    assert found(("get_order", nothing, shown), domain=SHOP) == [("precondition_violated", 1)]
    assert found(("get_order", nothing, shown)) == []  # who can tell without a state
    met = ("search", {"query": "q"}, "there is W7777")
    assert found(met, ("get_order", nothing, shown), domain=SHOP) == []
    assert found(("list_orders", {"order_id": "W7777"}, []), domain=SHOP) == []


SET = tool("set_address", order_id={"type": "string"}, city={"type": "string"})
SETS = replace(BARE, tools=(*SHOP.tools, SET), kinds={**SHOP.kinds, "set_address": "write"})
MOVED = {**ORDER, "address": {"city": "Nice", "zip": "69001"}}
NICE = {**W1, "city": "Nice"}


def test_what_a_write_sets_is_seen_later() -> None:
    look, moved = ("get_order", W1, ORDER), ("set_address", NICE, "ok")
    assert found(look, moved, ("get_order", W1, MOVED), domain=SETS) == []
    lyon = [("contradicts_observation", 6)]
    assert found(look, moved, look, domain=SETS) == lyon
    assert found(look, ("set_address", NICE, ORDER), domain=SETS)[0][1] in (3, 4)
    assert found(look, ("set_address", {**W1, "city": "Lyon"}, ORDER), domain=SETS) == []


def test_an_answer_that_shows_nothing_changed() -> None:
    look = ("get_order", W1, ORDER)
    assert found(look, ("cancel_order", CANCEL, ORDER)) == [("effect_missing", 3)]
    assert found(look, ("cancel_order", CANCEL, GONE)) == []


def test_a_name_stays() -> None:
    ana = {"customer_id": "C-1", "name": "Ana", "credit": 5}
    look = ("find_customer", {"customer_id": "C-1"}, ana)
    eva = ("find_customer", {"customer_id": "C-1"}, {**ana, "name": "Eva", "credit": 6})
    pay = ("refund", {"customer_id": "C-1", "amount": 1}, "ok")
    rename = ("rename", {"customer_id": "C-1", "name": "Eva"}, "ok")
    assert found(look, pay, eva) == [("contradicts_observation", 6)]
    assert found(look, rename, eva) == []


# against the given state


def test_a_first_read_agrees_with_the_state() -> None:
    assert found(("get_order", W1, ORDER), domain=SHOP) == []
    lost = ("get_order", W1, {**ORDER, "status": "lost"})
    assert found(lost, domain=SHOP) == [("contradicts_state", 2)]
    deep = {**ORDER, "address": {"city": "Paris", "zip": "69001"}}
    assert found(("get_order", W1, deep), domain=SHOP) == [("contradicts_state", 2)]


def test_the_state_vouches_only_for_what_no_write_touched() -> None:
    done = ("cancel_order", CANCEL, "ok")
    assert found(done, ("get_order", W1, GONE), domain=SHOP) == []
    lost = ("get_order", W2, {**OTHER, "status": "lost"})
    assert found(done, lost, domain=SHOP) == [("contradicts_state", 4)]
    assert found(("unheard_of", {}, "ok"), lost, domain=SHOP) == []


def test_a_row_may_begin_in_a_state_of_its_own() -> None:
    own = {"orders": {"W1001": {"status": "lost"}}}
    lost = ("get_order", W1, {**ORDER, "status": "lost"})
    assert found(lost, domain=SHOP, state_initial=own) == []
    assert found(("get_order", W1, ORDER), domain=SHOP, state_initial=own) == [
        ("contradicts_state", 2)
    ]


def test_a_number_as_text_is_a_mistake_only_of_a_tool_that_knows_better() -> None:
    text = {**OTHER, "total": "20.0"}
    assert found(("get_order", W2, text), domain=SHOP) == []
    said = [("get_order", W1, ORDER), ("get_order", W2, text)]
    assert found(*said, domain=SHOP) == [("contradicts_state", 4)]


def test_things_lie_where_the_state_has_them() -> None:
    state = {
        "places": {
            "sink_1": {"contents": {"bowl_1": {"is": "dirty"}}},
            "table_1": {"contents": {"apple_1": {"is": "clean"}}},
        }
    }
    domain = replace(BARE, state=state, kinds={"look": "read", "take": "write"})
    sink = {"place": "sink_1"}
    assert found(("look", sink, "You see bowl_1."), domain=domain) == []
    wrong = ("look", sink, "You see apple_1.")
    assert found(wrong, domain=domain) == [("contradicts_state", 2)]
    take = ("take", {"object": "apple_1", "place": "table_1"}, "You take apple_1.")
    put = ("put", {"object": "apple_1", "place": "sink_1"}, "You put apple_1 down.")
    assert found(take, put, wrong, domain=domain) == []


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["W1001", "W1002", "x", "Error: y"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["order_id", "id", "status", "items"]), inner, max_size=3)
    ),
    max_leaves=8,
)
TOOLS = st.sampled_from(["get_order", "cancel_order", "set_address", "list_orders", "x.y", ""])
ARGUMENTS = st.dictionaries(st.sampled_from(["order_id", "id", "city", "ids"]), JSON, max_size=3)


@given(st.lists(st.tuples(TOOLS, ARGUMENTS, JSON | st.text(max_size=9)), max_size=5))
def test_no_conversation_breaks_the_filter(said: list[Said]) -> None:
    for domain in (SHOP, BARE, ALONE):
        assert found(*said, domain=domain) == found(*said, domain=domain)
