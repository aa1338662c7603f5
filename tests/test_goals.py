"""Conditions on a state: each test, on values that are there, missing or of another type."""

from __future__ import annotations

from typing import Any

import pytest

from tests.states import shop
from trajgen.goals import holds
from trajgen.pointers import EffectError


@pytest.mark.parametrize(
    ("path", "test", "operand", "expected"),
    [
        ("/orders/o1/status", "equals", "paid", True),
        ("/orders/o1/status", "equals", "sent", False),
        ("/orders/o1/status", "not_equals", "sent", True),
        ("/orders/o1/status", "not_equals", "paid", False),
        ("/orders/o2/total", "equals", 3.0, True),
        ("/orders/o2/total", "equals", "3", False),
        ("/users/u1/member", "equals", 1, False),
        ("/users/u1/member", "equals", True, True),
        ("/orders/o1/tracking", "equals", None, True),
        ("/users/u1/orders", "equals", ["o1", "o2"], True),
        ("/users/u1/orders", "equals", ["o2", "o1"], False),
        ("/queue/0", "equals", {"id": "q1"}, True),
        ("/orders/o1", "exists", True, True),
        ("/orders/o9", "exists", True, False),
        ("/orders/o9", "exists", False, True),
        ("/orders/o1/tracking", "exists", True, True),
        ("/orders/o1", "exists", "yes", False),
        ("/orders/o1", "exists", 1, False),
        ("/orders/o9", "equals", None, False),
        ("/orders/o9", "not_equals", "x", True),
        ("/orders/o9", "contains", "x", False),
        ("/orders/o9", "at_least", 0, False),
        ("/orders/o1/items", "contains", "i2", True),
        ("/orders/o1/items", "contains", "i9", False),
        ("/orders/o1/items", "contains", ["i1"], False),
        ("/queue", "contains", {"id": "q2"}, True),
        ("/orders/o1/status", "contains", "ai", True),
        ("/orders/o1/status", "contains", 5, False),
        ("/orders/o1/status", "contains", None, False),
        ("/orders", "contains", "o1", True),
        ("/orders", "contains", ["o1"], False),
        ("/orders", "contains", {}, False),
        ("/orders/o1/total", "contains", 1, False),
        ("/orders/o1/total", "at_least", 10.5, True),
        ("/orders/o1/total", "at_least", 11, False),
        ("/orders/o1/total", "at_most", 10.5, True),
        ("/orders/o1/total", "at_most", 10, False),
        ("/orders/o1/total", "at_least", "1", False),
        ("/orders/o1/status", "at_most", "z", False),
        ("/users/u1/member", "at_least", 0, False),
        ("/orders/o1/total", "at_least", False, False),
        ("/orders/o1/tracking", "at_most", 5, False),
    ],
)
def test_a_condition_holds(path: str, test: str, operand: Any, expected: bool) -> None:
    assert holds(shop(), {"path": path, test: operand}) is expected
    assert holds(shop(), {test: operand, "path": path}) is expected


def test_a_list_contains_no_true_for_one() -> None:
    assert not holds({"a": [1, 2]}, {"path": "/a", "contains": True})
    assert holds({"a": [1, 2]}, {"path": "/a", "contains": 2.0})


def test_a_condition_without_a_pointer_is_an_error() -> None:
    with pytest.raises(EffectError):
        holds(shop(), {"path": "orders", "equals": 1})
