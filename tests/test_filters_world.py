"""Steps against the ledger; observations against each other."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conversations import ORDER, SHOP, STATE, calls, codes, result, says, trajectory, user
from trajgen.filters.answers import is_failure
from trajgen.filters.views import difference
from trajgen.filters.world import check, judge
from trajgen.ledger import Ledger
from trajgen.records import Call, Reason, Step, Trajectory

CANCELLED = [{"op": "set", "path": "/orders/W1001/status", "value": "cancelled"}]
GET = Call("c1", "get_order", {"order_id": "W1001"}, 1)
CANCEL = Call("c1", "cancel_order", {"order_id": "W1001", "reason": "asked"}, 3)
DONE = '{"order_id": "W1001", "status": "cancelled"}'
NO = '{"error": "it is shipped"}'


def judged(call: Call, applies: bool, effects: Any, observation: Any) -> list[str]:
    ledger = Ledger(copy.deepcopy(STATE))
    before = ledger.hash
    text = observation if isinstance(observation, str) else result("", observation)["content"]
    reasons = judge(SHOP, call, applies, effects, text, ledger)
    assert ledger.hash == before
    assert ledger.state == STATE
    assert all(reason.at == call.message and reason.detail for reason in reasons)
    return [reason.code for reason in reasons]


@pytest.mark.parametrize(
    ("call", "applies", "effects", "observation", "expected"),
    [
        (GET, True, [], ORDER, []),
        (GET, True, [], "Order W1001: pending, 54.50 EUR", []),
        (GET, True, [], {"status": "pending", "items": 2, "eta": "soon"}, []),
        (CANCEL, True, CANCELLED, DONE, []),
        (CANCEL, True, CANCELLED, "Order W1001 is cancelled.", []),
        (CANCEL, False, [], NO, []),
        (CANCEL, False, [], "Error: it is shipped", []),
        (CANCEL, False, [], "Sorry, no can do.", []),
        (CANCEL, False, [], "You cannot do that.", []),
        (CANCEL, True, [{**CANCELLED[0], "value": 3}], DONE, ["bad_effect"]),
        (CANCEL, True, [{**CANCELLED[0], "path": "/orders/W9/status"}], DONE, ["bad_effect"]),
        (CANCEL, True, ["cancelled"], DONE, ["bad_effect"]),
        (CANCEL, True, [{"op": ["set"], "path": 4}], DONE, ["bad_effect"]),
        (GET, True, CANCELLED, DONE, ["read_changed_state"]),
        (CANCEL, True, [], '{"message": "ok"}', ["effect_missing"]),
        (CANCEL, True, [{**CANCELLED[0], "value": "pending"}], "ok", ["effect_missing"]),
        (CANCEL, False, CANCELLED, NO, ["precondition_violated"]),
        (CANCEL, False, [], '{"message": "all done"}', ["precondition_violated"]),
        (CANCEL, False, [], "Your order is cancelled.", ["precondition_violated"]),
        (CANCEL, True, [], NO, ["false_refusal"]),
        (GET, True, [], "error: timed out", ["false_refusal"]),
        (GET, True, [], {**ORDER, "status": "shipped"}, ["contradicts_state"]),
        (GET, True, [], {**ORDER, "order_id": "W1002"}, ["contradicts_state"]),
        (GET, True, [], STATE["orders"]["W1002"], ["contradicts_state"]),
        (GET, True, [], {"order": {**ORDER, "total": 54.51}}, ["contradicts_state"]),
        (GET, True, [], {**ORDER, "tags": ["gift"]}, ["contradicts_state"]),
        (GET, True, [], {**ORDER, "address": {"city": "Paris"}}, ["contradicts_state"]),
        (GET, True, [], {**ORDER, "total": "54.5"}, ["contradicts_state"]),
        (GET, True, [], {**ORDER, "total": None}, ["contradicts_state"]),
        (
            GET,
            True,
            [],
            {**ORDER, "items": [{"sku": "MUG-42", "quantity": 9}]},
            ["contradicts_state"],  # no key there is an id, yet no item of the state fits
        ),
        (CANCEL, True, CANCELLED, {**ORDER}, ["contradicts_state"]),
    ],
)
def test_judge(
    call: Call, applies: bool, effects: Any, observation: Any, expected: list[str]
) -> None:
    assert judged(call, applies, effects, observation) == expected


def test_a_list_is_compared_by_the_ids_in_it() -> None:
    call = Call("c", "list_orders", {"customer_id": "ana_diaz_77"}, 1)
    rows = [{"order_id": "W1001", "status": "pending"}, {"order_id": "W1002", "status": "shipped"}]
    assert judged(call, True, [], rows) == []
    assert judged(call, True, [], {"orders": rows}) == []
    wrong = [rows[0], {**rows[1], "status": "lost"}]
    assert judged(call, True, [], wrong) == ["contradicts_state"]
    assert judged(call, True, [], {"orders": wrong}) == ["contradicts_state"]


def test_what_a_write_makes_is_not_taken_for_what_it_was_made_of() -> None:
    call = Call("c", "refund", {"order_id": "W1001", "amount": 5}, 1)
    made = {"refund_id": "R-7", "order_id": "W1001", "status": "requested", "amount": 5}
    state = {**STATE, "refunds": {}}
    add = [{"op": "add", "path": "/refunds/R-7", "value": made}]
    text = result("", made)["content"]
    assert judge(SHOP, call, True, add, text, Ledger(state)) == []


def test_of_two_vessels_the_one_that_is_shown_counts() -> None:
    state = {"vessels": {"B2": {"ml": 200}, "F1": {"ml": 0}}}
    call = Call("c", "refund", {"source": "B2", "vessel_id": "F1"}, 1)
    effects = [
        {"op": "increment", "path": "/vessels/B2/ml", "value": -50},
        {"op": "increment", "path": "/vessels/F1/ml", "value": 50},
    ]
    for shown, expected in ((50, []), (70, ["contradicts_state"])):
        text = f'{{"vessel_id": "F1", "ml": {shown}}}'
        reasons = judge(SHOP, call, True, effects, text, Ledger(state))
        assert [reason.code for reason in reasons] == expected


def test_a_date_names_no_entity_by_itself() -> None:
    state = {"flights": {"F1": {"dates": {"2024-05-16": {"seats": 2}}}}}
    call = Call("c", "get_order", {"date": "2024-05-16"}, 1)
    assert judge(SHOP, call, True, [], '{"flight": "F9", "seats": 5}', Ledger(state)) == []


@pytest.mark.parametrize(
    ("observation", "failed"),
    [
        (NO, True),
        ('{"error": null, "status": "ok"}', False),
        ('{"success": false}', True),
        ("ERROR 404", True),
        (' "Error: quoted"', True),
        ("No error was found", False),
        ('[{"error": "x"}]', False),
        ("", False),
    ],
)
def test_is_failure(observation: str, failed: bool) -> None:
    assert is_failure(observation, SHOP) is failed


def played(**change: Any) -> Trajectory:
    """Two reads around a write, with the steps and the state as a rollout stores them."""
    ledger = Ledger(STATE)
    plan: list[tuple[str, Any, Any, Any]] = [
        ("get_order", {"order_id": "W1001"}, [], ORDER),
        ("cancel_order", {"order_id": "W1001", "reason": "asked"}, CANCELLED, DONE),
        ("get_order", {"order_id": "W1001"}, [], {**ORDER, "status": "cancelled"}),
    ]
    messages, steps = [user("Cancel W1001.")], []
    for n, (tool, arguments, effects, shown) in enumerate(plan):
        at, before = len(messages), ledger.hash
        ledger.touch(ledger.relevant(arguments))
        ledger.apply(effects)
        messages += [calls((f"c{n}", tool, arguments)), result(f"c{n}", shown)]
        steps.append(
            Step(at, f"c{n}", tool, True, "", tuple(effects), "model", before, ledger.hash)
        )
    made = trajectory(
        *messages,
        says("Done."),
        steps=tuple(steps),
        state_initial=ledger.touched_initial(),
        state_final=ledger.touched_final(),
    )
    return replace(made, **change)


def with_step(n: int, **change: Any) -> Trajectory:
    good = played()
    steps = list(good.steps)
    steps[n] = replace(steps[n], **change)
    return replace(good, steps=tuple(steps))


def with_message(n: int, message: Any) -> Trajectory:
    good = played()
    return replace(good, messages=(*good.messages[:n], message, *good.messages[n + 1 :]))


def found(made: Trajectory) -> list[tuple[str, int | None]]:
    return codes(check(made, SHOP))


def test_a_stored_trajectory_replays() -> None:
    assert found(played()) == []
    assert found(Trajectory.parse(played().row())) == []


SHIPPED = [{"op": "set", "path": "/orders/W1001/status", "value": "shipped"}]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (with_step(1, effects=()), ("effect_missing", 3)),
        (with_step(1, effects=tuple(SHIPPED)), ("bad_effect", 3)),
        (with_step(1, effects=({"op": "remove", "path": "/orders/W5"},)), ("bad_effect", 3)),
        (with_step(1, applies=False), ("precondition_violated", 3)),
        (with_step(1, state_after="0" * 32), ("bad_effect", 3)),
        (with_step(1, state_after="what?"), ("bad_effect", 3)),
        (with_step(2, state_before="1" * 32), ("bad_effect", 5)),
        (with_step(2, call_id="c9"), ("bad_effect", 5)),
        (with_step(2, tool="search"), ("bad_effect", 5)),
        (with_step(0, message=3), ("bad_effect", 1)),
        (with_step(1, fault="timeout"), ("bad_effect", 3)),
        (with_step(0, verdicts=(Reason("false_refusal", 1, "x"),)), ("false_refusal", 1)),
        (with_message(2, result("c0", {**ORDER, "total": 1})), ("contradicts_state", 2)),
        (with_message(4, result("c1", NO)), ("false_refusal", 3)),
        (with_message(6, result("c2", ORDER)), ("contradicts_state", 6)),
        (played(steps=played().steps[:2]), ("bad_effect", 5)),
        (played(messages=played().messages[:5]), ("bad_effect", 5)),
        (played(state_final={"orders": {}}), ("bad_effect", 5)),
        (played(state_initial={"orders": {}}), ("bad_effect", 3)),
    ],
)
def test_a_stored_trajectory_that_was_changed(made: Trajectory, expected: Any) -> None:
    assert expected in found(made)


def test_a_planned_fault_is_no_refusal() -> None:
    good = played()
    first = good.steps[0]
    steps = (replace(first, fault="timeout"), *good.steps[1:])
    messages = (*good.messages[:2], result("c0", "Error: timed out"), *good.messages[3:])
    assert found(replace(good, steps=steps, messages=messages)) == []


def test_a_refused_step_was_not_applied() -> None:
    good = played()
    before = good.steps[1].state_before
    verdict = Reason("contradicts_state", 3, "told")
    refused = replace(good.steps[1], verdicts=(verdict,), state_after=before)
    made = replace(
        good,
        steps=(good.steps[0], refused),
        messages=good.messages[:5],
        state_final=good.state_initial,
    )
    assert found(made) == [("contradicts_state", 3)]


@pytest.mark.parametrize("source", ["real", "code"])
def test_code_and_real_environments_may_write_what_was_there(source: Any) -> None:
    good = with_step(1, effects=(), state_after=played().steps[1].state_before)
    steps = [replace(step, source=source) for step in good.steps]
    steps[2] = replace(
        steps[2], state_before=steps[1].state_after, state_after=steps[1].state_after
    )
    messages = list(good.messages)
    messages[4], messages[6] = result("c1", "ok"), result("c2", ORDER)
    same = good.state_initial
    made = replace(good, steps=tuple(steps), messages=tuple(messages), state_final=same)
    assert found(made) == []


def reads(*answers: tuple[str, Any, Any]) -> Trajectory:
    messages = [user("a")]
    for n, (tool, arguments, shown) in enumerate(answers):
        messages += [calls((f"c{n}", tool, arguments)), result(f"c{n}", shown)]
    return trajectory(*messages, says("b"))


W1 = {"order_id": "W1001"}
LOOK = ("get_order", W1, ORDER)
SEARCH = ("search", {"query": "q"}, "nothing")


@pytest.mark.parametrize(
    ("answers", "at"),
    [
        ([LOOK, SEARCH, ("get_order", W1, {**ORDER, "status": "lost"})], 6),
        ([LOOK, ("get_order", W1, "W1001: pending")], 4),
        ([LOOK, ("cancel_order", W1, NO), ("get_order", W1, {**ORDER, "total": 1})], 6),
        ([("search", {"query": "q"}, "2 mugs"), LOOK, ("search", {"query": "q"}, "3 mugs")], 6),
        (
            [
                LOOK,
                (
                    "list_orders",
                    {"customer_id": "ana_diaz_77"},
                    [{"order_id": "W1001", "status": "lost", "total": 54.5}],
                ),
            ],
            4,
        ),
    ],
)
def test_contradicts_observation(answers: list[Any], at: int) -> None:
    assert found(reads(*answers)) == [("contradicts_observation", at)]


SEATS = {"number": "F1", "seats": 2, "fare": 80}


@pytest.mark.parametrize(
    "answers",
    [
        [LOOK, ("cancel_order", W1, "ok"), ("get_order", W1, {**ORDER, "status": "cancelled"})],
        [LOOK, SEARCH, ("get_order", W1, dict(reversed(ORDER.items())))],
        [LOOK, SEARCH, ("get_order", W1, "Error: timed out"), LOOK],
        [LOOK, ("unheard_of", {}, "?"), ("get_order", W1, {**ORDER, "total": 1})],
        [
            ("search", {"query": "16 May"}, [SEATS]),
            ("search", {"query": "17 May"}, [{**SEATS, "fare": 95}]),
        ],
        [
            ("get_order", W1, ORDER),
            ("search", W1, {"order_id": "W1001", "status": "captured", "fee": 1}),
        ],
    ],
)
def test_observations_that_agree(answers: list[Any]) -> None:
    assert found(reads(*answers)) == []


VALUES = st.sampled_from(["pending", "lost", 3, 2.5, True, None, ["a"], {"b": 1}])
EFFECTS = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["set", "add", "remove", "increment", "append", "move", "x"])},
        optional={
            "path": st.sampled_from(
                ["/orders/W1001/status", "/orders/W1001/total", "/orders/W7", ""]
            ),
            "value": VALUES,
        },
    ),
    max_size=3,
)


@given(EFFECTS, st.booleans(), st.text(max_size=20), st.sampled_from([GET, CANCEL]))
def test_judge_never_fails_and_never_changes_the_ledger(
    effects: Any, applies: bool, observation: str, call: Call
) -> None:
    ledger = Ledger(STATE)
    before = ledger.hash
    first = judge(SHOP, call, applies, effects, observation, ledger)
    assert first == judge(SHOP, call, applies, effects, observation, ledger)
    assert ledger.hash == before


LEGS = [{"flight_number": "HA1", "date": "2027-05-01"}, {"flight_number": "HA2", "date": "d"}]


@pytest.mark.parametrize(
    ("shown", "differs"),
    [
        (LEGS, False),
        (LEGS[::-1], False),
        (LEGS[:1], False),  # a view may leave out
        ([{**LEGS[0], "seat": "4A"}], False),  # and add fields
        ([{"flight_number": "HA9", "date": "2027-05-01"}], True),  # but not make items up
        ([*LEGS, {"flight_number": "HA3", "date": "d"}], True),
        ([{"name": "Ann"}], False),  # nothing in common: another view
    ],
)
def test_objects_of_a_list_are_those_of_the_state(shown: list[Any], differs: bool) -> None:
    assert bool(difference(shown, LEGS, "/trips/T1/flights", True)) is differs


def test_objects_of_a_list_may_differ_from_those_that_were_seen_before() -> None:
    assert difference([{"flight_number": "HA9"}], LEGS, "/flights", False) == ""
