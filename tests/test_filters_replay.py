"""The states that stored steps lead through: made once, and as far as the effects fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trajgen.filters.reading import read_once
from trajgen.filters.replay import replayed
from trajgen.ledger import Ledger
from trajgen.records import Reason, Step, Trajectory

START = {"orders": {"W1": {"status": "pending"}, "W2": {"status": "pending"}}}


def step(number: int, *effects: Any, refused: bool = False) -> Step:
    verdicts = (Reason("bad_effect", 1),) if refused else ()
    id_ = f"call_{number}"
    return Step(1, id_, "t", True, "", effects, "model", "0", "1", verdicts=verdicts)


def cancels(order: str) -> dict[str, Any]:
    return {"op": "set", "path": f"/orders/{order}/status", "value": "cancelled"}


def row(*steps: Step, state: Any = START) -> Trajectory:
    return Trajectory(id="t", domain="d", messages=(), steps=steps, state_initial=state)


def test_the_state_before_each_step_and_after_the_last() -> None:
    replay = replayed(row(step(0), step(1, cancels("W1")), step(2), step(3, cancels("W1"))))
    assert replay is not None
    status = [ledger.get("/orders/W1/status") for ledger in replay.states]
    assert status == ["pending", "pending", "cancelled", "cancelled", "cancelled"]
    assert replay.changed == [False, True, False, False]
    assert replay.misfit == ""
    assert replay.states[0].state is START


def test_hashes_move_as_those_of_the_whole_state() -> None:
    replay = replayed(row(step(0, cancels("W1")), step(1, cancels("W2"))))
    assert replay is not None
    whole = Ledger({**START, "more": 1})
    before = int(whole.hash, 16)
    for order in ("W1", "W2"):
        whole.apply([cancels(order)])
    moved = (int(whole.hash, 16) - before) % 2**128
    assert int(replay.states[-1].hash, 16) == moved


def test_nothing_of_a_refused_step_was_applied() -> None:
    replay = replayed(row(step(0, cancels("W1"), refused=True), step(1, cancels("W2"))))
    assert replay is not None
    assert replay.states[1].state is START
    assert replay.states[2].get("/orders/W1/status") == "pending"


@pytest.mark.parametrize("effect", [cancels("W9"), "no effect", {"op": "fly", "path": "/orders"}])
def test_it_ends_before_effects_that_do_not_fit(effect: Any) -> None:
    replay = replayed(row(step(0, cancels("W1")), step(1, effect), step(2, cancels("W2"))))
    assert replay is not None
    assert (len(replay.states), replay.changed) == (2, [True])
    assert replay.misfit


@pytest.mark.parametrize("state", [None, [], "text"])
def test_without_a_state_there_is_none(state: Any) -> None:
    assert replayed(row(step(0, cancels("W1")), state=state)) is None


def test_it_is_shared_while_the_messages_are_read_once_and_by_one_trajectory_alone() -> None:
    one = row(step(0, cancels("W1")))
    other = replace(one, state_initial={"orders": {}})
    with read_once(one.messages):
        assert replayed(one) is replayed(one)
        replay = replayed(other)
        assert replay is not None
        assert replay.misfit
        assert replayed(one) is not None
    assert replayed(one) is not replayed(one)
