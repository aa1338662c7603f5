"""Samples of one step agree about the state, not about words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.playing import CANCEL, CANCELLED, PENDING, REFUSED, STATE, world
from trajgen.cast import Given
from trajgen.ledger import Ledger
from trajgen.records import Reason
from trajgen.worlds.agreement import agreed

LESS = {"op": "increment", "path": "/orders/W101/total", "value": -5}
FIFTEEN = {"op": "set", "path": "/orders/W101/total", "value": 15}


def share(*answers: Any) -> tuple[Any, float]:
    samples = [
        Given(a, json.dumps(a), 1, 10, (Reason("bad_effect"),) if a is None else ())
        for a in answers
    ]
    given, found = agreed(samples, Ledger(STATE))
    return given.answer, found


def test_the_largest_group_is_taken_and_its_first_answer() -> None:
    yes, no = world(CANCELLED, CANCEL), world(REFUSED, applies=False)
    assert share(no, yes, {**yes, "why": "in other words"}) == (yes, 2 / 3)
    assert share(yes, yes) == (yes, 1.0)
    assert share(no, yes) == (no, 0.5)  # of equal groups the first


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (world("Gone.", LESS), world("It is gone.", FIFTEEN), True),  # one state, other words
        (world("ok", CANCEL, LESS), world("ok", LESS, CANCEL), True),
        (world("ok", CANCEL), world("ok", CANCEL, LESS), False),
        (world("ok"), world("ok", applies=False), False),
        (world({"a": 1, "b": 2}), world({"b": 2, "a": 1}), True),
        (world(PENDING), world({**PENDING, "total": 21}), False),
    ],
)
def test_what_agrees(one: Any, other: Any, same: bool) -> None:
    assert share(one, other)[1] == (1.0 if same else 0.5)


def test_an_answer_that_cannot_stand_agrees_with_none() -> None:
    yes = world(CANCELLED, CANCEL)
    assert share(None, yes, None) == (yes, 1 / 3)
    assert share(None, None) == (None, 0.0)
