"""Conversations and rows held against what their domain declares."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.conversations import calls, codes, result, says, trajectory, user
from tests.playing import DOMAIN, STATE
from trajgen import filters
from trajgen.declared import answer
from trajgen.domains import load_domain
from trajgen.filters.declared import check
from trajgen.filters.world import is_failure
from trajgen.ledger import Ledger
from trajgen.loading import shipped
from trajgen.records import Domain, Message, Reason, Step, Trajectory, calls_of
from trajgen.seeds import initial_state, load_seeds

SEMANTICS = {
    "get_order": {
        "requires": {"path": "/orders/{order_id}", "exists": True, "else": "no such order"},
        "reads": {"status": "/orders/{order_id}/status", "total": "/orders/{order_id}/total"},
    },
    "cancel_order": {
        "requires": [
            {"path": "/orders/{order_id}", "exists": True, "else": "no such order"},
            {"path": "/orders/{order_id}/status", "equals": "pending", "else": "too late"},
        ],
        "writes": {"path": "/orders/{order_id}/status", "value": "cancelled"},
        "returns": {"status": "{/orders/{order_id}/status}"},
    },
}
SHOP = replace(DOMAIN, semantics=SEMANTICS)
MIXED = replace(DOMAIN, semantics={"get_order": SEMANTICS["get_order"]})
PENDING, SHIPPED = {"status": "pending", "total": 20}, {"status": "shipped", "total": 35}
CANCELLED = {"status": "cancelled"}
GET = ("get_order", {"order_id": "W101"})
CANCEL = ("cancel_order", {"order_id": "W101"})


def talk(*steps: tuple[tuple[str, dict[str, Any]], Any]) -> list[Message]:
    """user, then each call with its answer (messages 1, 2; 3, 4; ...), then the agent."""
    messages = [user("Cancel W101, and W102 too.")]
    for number, ((tool, arguments), seen) in enumerate(steps):
        messages += [calls((f"c{number}", tool, arguments)), result(f"c{number}", seen)]
    return [*messages, says("That is all.")]


def bare(*steps: Any, domain: Domain = SHOP, **more: Any) -> list[tuple[str, int | None]]:
    return codes(check(trajectory(*talk(*steps), **more), domain))


def error(text: str) -> dict[str, str]:
    return {"error": text}


# without steps


def test_a_conversation_that_code_would_have_given_passes() -> None:
    assert bare((GET, PENDING), (CANCEL, CANCELLED), (GET, {"total": 20.0, **CANCELLED})) == []
    assert bare((CANCEL, CANCELLED), (CANCEL, error("too late"))) == []
    assert bare((("get_order", {"order_id": "W9"}), error("no such order"))) == []


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(GET, {**PENDING, "total": 21})], ("contradicts_state", 2)),
        ([(GET, PENDING), (CANCEL, CANCELLED), (GET, PENDING)], ("contradicts_state", 6)),
        ([(CANCEL, error("too late"))], ("false_refusal", 1)),
        ([(CANCEL, CANCELLED), (CANCEL, CANCELLED)], ("precondition_violated", 3)),
        ([(("cancel_order", {"order_id": "W102"}), CANCELLED)], ("precondition_violated", 1)),
        ([(("get_order", {"order_id": "W9"}), error("gone"))], ("contradicts_state", 2)),
        ([(GET, "pending")], ("contradicts_state", 2)),
        ([(CANCEL, {"status": "pending"})], ("contradicts_state", 2)),
    ],
)
def test_the_first_wrong_answer_is_told_where_it_is(steps: Any, expected: Any) -> None:
    assert bare(*steps) == [expected]
    assert bare(*steps, (GET, "nonsense")) == [expected]  # what follows a break is not judged


def test_the_detail_names_pointer_expected_and_found() -> None:
    (reason,) = check(trajectory(*talk((GET, {**PENDING, "status": "sent"}))), SHOP)
    assert reason.detail == 'get_order /status: expected "pending", found "sent"'
    (reason,) = check(trajectory(*talk((GET, {"status": "pending"}))), SHOP)
    assert reason.detail == "get_order /total: expected 20, found nothing there"


def test_it_runs_in_the_world_family() -> None:
    row = trajectory(*talk((CANCEL, error("too late"))), tools=DOMAIN.tools)
    assert ("false_refusal", 1) in codes(filters.check(row, SHOP, ("world",)))
    assert filters.check(row, DOMAIN, ("world",)) == []


def test_a_conversation_begins_in_its_own_state_where_it_has_one() -> None:
    own = {"orders": {"W101": {"status": "shipped", "total": 20}}}
    assert bare((GET, {**PENDING, "status": "shipped"}), state_initial=own) == []
    assert bare((GET, PENDING), state_initial=own) == [("contradicts_state", 2)]


def test_nothing_is_judged_behind_an_undeclared_write() -> None:
    wrong = (GET, {**PENDING, "total": 99})
    assert bare((CANCEL, CANCELLED), (GET, PENDING), domain=MIXED) == []
    assert bare(wrong, (CANCEL, CANCELLED), domain=MIXED) == [("contradicts_state", 2)]
    # a write that failed changed nothing, and neither does a read
    assert bare((CANCEL, error("no")), wrong, domain=MIXED) == [("contradicts_state", 4)]
    reads = replace(SHOP, semantics={"cancel_order": SEMANTICS["cancel_order"]})
    assert bare((GET, 1), (CANCEL, error("x")), domain=reads) == [("false_refusal", 3)]
    unknown = replace(reads, kinds={"cancel_order": "write"})
    assert bare((GET, PENDING), (CANCEL, error("x")), domain=unknown) == []


def test_planned_faults_say_nothing_of_the_state() -> None:
    fault = error("the service did not answer in time; nothing was changed")
    assert bare((CANCEL, fault), (CANCEL, CANCELLED)) == []


@pytest.mark.parametrize("arguments", [{}, {"order": "W101"}, {"order_id": [[]] * 3}])
def test_calls_that_nobody_can_make_are_other_filters_business(arguments: dict[str, Any]) -> None:
    steps = [(("get_order", arguments), error("no such order"))]
    assert bare(*steps) == []


def test_deep_and_odd_values_never_raise() -> None:
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    bare((("get_order", {"order_id": deep}), PENDING))
    bare((GET, deep))
    bare((GET, PENDING), state_initial={"orders": deep})
    bare((GET, PENDING), state_initial=[])
    assert list(check(trajectory({"role": "tool"}, 3, "x"), SHOP)) == []  # type: ignore[arg-type]


# with steps


def row(domain: Domain = SHOP, **broken: Any) -> Trajectory:
    """A stored row: W101 read, cancelled and read again; `broken` changes the second step."""
    messages = talk((GET, PENDING), (CANCEL, CANCELLED), (GET, {"total": 20, **CANCELLED}))
    messages[4]["content"] = broken.pop("observation", messages[4]["content"])
    ledger, steps = Ledger(STATE), []
    for number, call in enumerate(calls_of(messages)):
        found = answer(SHOP, call, ledger.state)
        assert found is not None
        ledger.touch(found.touched())
        before, more = ledger.hash, broken if number == 1 else {}
        effects = more.get("effects", found.effects)
        ledger.apply(effects)
        step = Step(
            call.message, call.id, call.tool, True, "", effects, "code", before, ledger.hash
        )
        steps.append(replace(step, **more))
    return trajectory(
        *messages,
        steps=tuple(steps),
        state_initial=ledger.touched_initial(),
        state_final=ledger.touched_final(),
    )


def found(broken: Trajectory, domain: Domain = SHOP) -> list[Reason]:
    return list(check(broken, domain))


SET = {"op": "set", "path": "/orders/W101/status", "value": "cancelled"}


@pytest.mark.parametrize(
    ("broken", "expected", "told"),
    [
        ({"effects": ()}, ("effect_missing", 3), '/orders/W101/status: expected "cancelled"'),
        ({"effects": ({**SET, "value": "gone"},)}, ("bad_effect", 3), 'found "gone"'),
        (
            {"effects": (SET, {"op": "add", "path": "/orders/W101/x", "value": 1})},
            ("bad_effect", 3),
            "/orders/W101/x: expected nothing there, found 1",
        ),
        ({"effects": ({**SET, "path": "/orders/W7/status"},)}, ("bad_effect", 3), "/orders/W7"),
        ({"observation": '{"status": "canceled"}'}, ("contradicts_state", 4), "/status: expected"),
        ({"applies": False, "observation": '{"error": "x"}'}, ("false_refusal", 3), "applies"),
    ],
)
def test_a_broken_row_is_told_where_it_broke(broken: Any, expected: Any, told: str) -> None:
    effects = broken.get("effects", ())
    fits = all(e["path"].startswith("/orders/W101") for e in effects)
    made = row(**broken) if fits else row()
    if not fits:
        step = replace(made.steps[1], effects=effects)
        made = replace(made, steps=(made.steps[0], step, made.steps[2]))
    (reason,) = found(made)
    assert (reason.code, reason.at) == expected
    assert told in reason.detail


def test_a_good_row_passes_whatever_its_effects_look_like() -> None:
    assert found(row()) == []
    other = ({"op": "remove", "path": SET["path"]}, {**SET, "op": "add"})
    assert found(row(effects=other)) == []
    assert filters.check(row(), SHOP, ("world",)) == []


def test_a_call_that_does_not_apply_and_was_stored_as_if_it_did() -> None:
    made = row()
    shipped = json.loads(json.dumps(made.state_initial))
    shipped["orders"]["W101"]["status"] = "shipped"
    messages = [dict(m) for m in made.messages]
    messages[2]["content"] = '{"status": "shipped", "total": 20}'
    (reason,) = found(replace(made, state_initial=shipped, messages=tuple(messages)))
    assert (reason.code, reason.at) == ("precondition_violated", 3)
    assert "too late" in reason.detail


def test_faults_and_refused_steps_are_left_to_others() -> None:
    fault = {"applies": False, "effects": (), "fault": "timeout", "observation": '{"error": "t"}'}
    made = row(**fault)
    (reason,) = found(made)  # the last read was made for a cancelled order
    assert (reason.code, reason.at) == ("contradicts_state", 6)
    assert found(row(effects=(), verdicts=(Reason("bad_effect", 3, "x"),))) == []
    assert found(replace(made, state_initial=None)) == []


def test_undeclared_steps_are_known_by_their_stored_effects() -> None:
    assert found(row(), MIXED) == []
    (reason,) = found(row(effects=({**SET, "value": "gone"},)), MIXED)
    assert (reason.code, reason.at) == ("contradicts_state", 6)


def test_steps_of_another_shape_never_raise() -> None:
    made = row()
    for effects in ((3,), ({},), ({"op": "set"},), ({"op": [], "path": 1},), ("x",)):
        steps = (replace(made.steps[0], effects=effects), *made.steps[1:])
        assert len(found(replace(made, steps=steps))) <= 1
    assert found(replace(made, steps=made.steps[::-1])) == []


# our own seeds, corrupted

SEEDS = {seed.meta["name"]: seed for seed in load_seeds(("seeds/household",)).seeds}
HOUSE = load_domain(shipped("seeds") / "household")


def replayed(name: str, messages: Any) -> list[tuple[str, int | None]]:
    state = initial_state(HOUSE, SEEDS[name])
    return codes(check(trajectory(*messages, state_initial=state), HOUSE))


@pytest.mark.parametrize("name", SEEDS)
def test_every_wrong_answer_in_a_seed_is_found_at_its_step(name: str) -> None:
    """Each observation replaced by every other one of the domain's seeds, one at a time."""
    said = {m["content"] for s in SEEDS.values() for m in s.messages if m["role"] == "tool"}
    messages = SEEDS[name].messages
    assert replayed(name, messages) == []
    for at, message in enumerate(messages):
        for other in said - {message["content"]} if message["role"] == "tool" else ():
            broken = [*messages[:at], {**message, "content": other}, *messages[at + 1 :]]
            ((code, place),) = replayed(name, broken)
            assert code in ("contradicts_state", "false_refusal", "precondition_violated")
            assert place in (at - 1, at)


@pytest.mark.parametrize("name", SEEDS)
def test_a_write_left_out_is_found_by_what_follows(name: str) -> None:
    """Without one of its calls and the answer to it a job no longer holds together."""
    messages = SEEDS[name].messages
    written = [
        call.message
        for call in calls_of(messages)
        if HOUSE.kinds[call.tool] == "write"
        and not is_failure(messages[call.message + 1]["content"], HOUSE)
    ]
    broken = [replayed(name, [*messages[:at], *messages[at + 2 :]]) for at in written]
    assert sum(map(bool, broken)) >= len(written) - 4  # nothing behind the last ones can tell
