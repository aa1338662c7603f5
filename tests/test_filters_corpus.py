"""Fingerprints and copies."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conversations import GOOD, calls, codes, result, says, trajectory, user
from trajgen.filters.corpus import copy_of_seed, fingerprint
from trajgen.records import Seed

LOOK = [
    user("Where is W1001?"),
    calls(("c1", "get_order", {"order_id": "W1001", "deep": {"a": [1, True]}})),
    result("c1", "shipped"),
    says("It is on its way."),
]


def changed(at: int, message: Any) -> list[Any]:
    return [*LOOK[:at], message, *LOOK[at + 1 :]]


@pytest.mark.parametrize(
    "messages",
    [
        changed(0, user("  where is\n w1001? ")),
        [LOOK[0], calls(("x9", "get_order", {"deep": {"a": [1, True]}, "order_id": "w1001"})),
         result("x9", "shipped"), LOOK[3]],
        [{"role": "system", "content": "policy"}, *LOOK],
    ],
)  # fmt: skip
def test_what_says_the_same_has_the_same_fingerprint(messages: list[Any]) -> None:
    assert fingerprint(messages) == fingerprint(LOOK)


@pytest.mark.parametrize(
    "messages",
    [
        changed(0, user("Where is W1002?")),
        changed(1, calls(("c1", "get_order", {"order_id": "W1001", "deep": {"a": [1, 1]}}))),
        changed(1, calls(("c1", "find_order", {"order_id": "W1001", "deep": {"a": [1, True]}}))),
        changed(2, result("c1", "lost")),
        LOOK[:3],
        [LOOK[3], *LOOK[1:3], LOOK[0]],
        [user("Where is W1001? It is on its way."), *LOOK[1:3], says("")],
        [],
    ],
)
def test_what_differs_has_another(messages: list[Any]) -> None:
    assert fingerprint(messages) != fingerprint(LOOK)


def test_all_good_conversations_differ() -> None:
    assert len({fingerprint(messages) for messages in GOOD.values()}) == len(GOOD)


def test_copy_of_seed() -> None:
    seed = Seed(id="seed-1", domain="shop", messages=tuple(LOOK))
    copy = copy_of_seed(trajectory(*LOOK), seed)
    assert copy is not None
    assert codes([copy]) == [("copy_of_seed", None)]
    assert copy_of_seed(trajectory(*changed(3, says("Soon."))), seed) is None
