"""Probes: each kind is what its name says, fits the tool, and is drawn the same each time."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from tests.bazaar import ADDRESS, ANA, DOMAIN, SEEDS, STATE, answer, seed
from tests.playing import tool
from trajgen.fidelity.probes import KINDS, Moment, probes, text_values
from trajgen.ledger import Ledger
from trajgen.records import Call, Domain, calls_of
from trajgen.schemas import call_problems

MOVE_AND_CANCEL = SEEDS[0]
CALLS = list(calls_of(MOVE_AND_CANCEL.messages))
VALUES = text_values(SEEDS)


def moment(after: int, chance: int = 0, domain: Domain = DOMAIN, **changes: Any) -> Moment:
    found = Moment(domain, CALLS, after, Ledger(STATE), False, VALUES, random.Random(chance))
    return replace(found, **changes)


def made(kind: str, after: int, **changes: Any) -> list[tuple[str, dict[str, Any]]]:
    """What one kind makes, over several draws."""
    return [m for n in range(20) for m in KINDS[kind](moment(after, n, **changes))]


def orders(kind: str, after: int) -> set[str]:
    return {arguments["order_id"] for _, arguments in made(kind, after)}


def test_another_id_is_one_of_its_kind() -> None:
    assert orders("another_id", 0) == {"R1002", "R1003", "R1004", "R1005"}
    users = {arguments["user_id"] for _, arguments in made("another_id", 2)}
    assert users == {"ana_11", "bob_22", "cem_33"}  # one of two ids at a time
    assert all(arguments["city"] == "Bonn" for _, arguments in made("another_id", 2))


@pytest.mark.parametrize("kind", ["no_such_id", "mangled_id"])
def test_what_nothing_is_called(kind: str) -> None:
    known = {*STATE["orders"], *STATE["users"]}
    found = {arguments[k] for _, arguments in made(kind, 3) for k in ("user_id", "order_id")}
    assert found - known
    assert all(set(arguments.values()) - known for _, arguments in made(kind, 3))
    lengths = {len(arguments["order_id"]) for _, arguments in made(kind, 0)}
    assert lengths == ({4} if kind == "mangled_id" else {5})


def test_what_is_somebody_elses() -> None:
    found = orders("others_own", 0)
    assert found == {"R1003", "R1004", "R1005"}  # R1002 is ana's too


def test_what_is_in_another_state() -> None:
    assert orders("wrong_state", 0) == {"R1002", "R1004"}


def test_another_value_of_what_is_no_id() -> None:
    for tool_, arguments in made("bad_value", 2):
        assert tool_ == "move_order"
        assert (arguments["user_id"], arguments["order_id"]) == ("ana_11", "R1001")
        assert sum(arguments[k] != v for k, v in ADDRESS.items()) == 1
    assert made("bad_value", 0) == []  # get_order takes nothing else


def test_values_keep_their_type() -> None:
    given = {"on": True, "n": 7, "to": "a", "many": ["x"], "what": {"a": 1}}
    kinds = {"on": {"type": "boolean"}, "n": {"type": "integer"}, "to": {"enum": ["a", "b"]}}
    domain = replace(DOMAIN, tools=(tool("use", **kinds),), state={})
    calls = [Call("c", "use", given, 1)]
    found = made("bad_value", 0, domain=domain, calls=calls, ledger=Ledger({}))
    changed = {k: v for _, arguments in found for k, v in arguments.items() if v != given[k]}
    assert changed["n"] in (-8, 7001)
    assert {k: v for k, v in changed.items() if k != "n"} == {
        "on": False,
        "to": "b",
        "many": [],
        "what": {},
    }


def test_a_later_change_made_now() -> None:
    assert {name for name, _ in made("too_early", 0)} == {"set_note", "move_order", "cancel_order"}
    assert {name for name, _ in made("too_early", 2)} == {"cancel_order"}
    assert made("too_early", 3) == []
    assert made("too_early", 4) == []


def test_the_same_change_again() -> None:
    assert made("repeated", 4) == []  # it changed nothing
    again = made("repeated", 4, made_change=True)
    assert again[0] == ("cancel_order", ANA)
    assert made("repeated", 0, made_change=True) == []


def test_without_a_state_ids_are_what_other_calls_give() -> None:
    stateless = {"ledger": Ledger({}), "domain": replace(DOMAIN, state=None)}
    found = {arguments["order_id"] for _, arguments in made("another_id", 0, **stateless)}
    assert found == {"R1003"}
    assert made("others_own", 0, **stateless) == made("wrong_state", 0, **stateless) == []


def test_ids_are_found_in_lists_and_as_numbers() -> None:
    ledger = Ledger({"lamps": {"1": {"on": True}, "2": {"on": True}, "a": {"on": False}}})
    calls = [Call("c", "use", {"ids": [1, {"x": "1"}]}, 1)]
    found = [arguments for _, arguments in made("another_id", 0, ledger=ledger, calls=calls)]
    assert {"ids": [2, {"x": "2"}]} in found


def chosen(after: int, made_change: bool = False) -> list[tuple[str, Call]]:
    return list(probes(MOVE_AND_CANCEL, DOMAIN, after, Ledger(STATE), made_change, VALUES))


def test_the_choice_is_drawn_from_the_seed() -> None:
    assert chosen(2) == chosen(2)
    others = [chosen(after) for after in range(4)]
    assert len({found[0][0] for found in others}) > 1
    ids = [call.id for found in others for _, call in found]
    assert len(set(ids)) == len(ids)


def test_there_is_one_of_each_kind() -> None:
    every = chosen(2)
    assert {kind for kind, _ in every} == set(KINDS) - {"repeated"}
    assert len(every) == len(KINDS) - 1
    assert [kind for kind, _ in chosen(4, made_change=True)] == ["repeated"]


@pytest.mark.parametrize("after", range(4))
def test_a_probe_is_another_call_that_fits_its_tool(after: int) -> None:
    for kind, call in chosen(after, made_change=True):
        assert kind in KINDS
        given = {"name": call.tool, "arguments": call.arguments}
        assert call_problems([given], DOMAIN.tools, 0) == []
        assert (call.tool, call.arguments) != (CALLS[after].tool, CALLS[after].arguments)
        assert call.message == CALLS[after].message


def test_most_of_them_do_not_apply() -> None:
    found = [call for after in range(4) for _, call in chosen(after)]
    applied = [answer(Ledger(STATE), call).applies for call in found]
    assert 0 < sum(applied) < len(applied) / 2


def test_every_seed_has_some() -> None:
    for name in ("invoice", "too late"):
        assert len(list(probes(seed(name), DOMAIN, 0, Ledger(STATE), False, VALUES))) > 2
