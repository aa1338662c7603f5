"""Differences of states: exact, small, and in an order that the ledger takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from states import STATES, VALUES, shop

from trajgen.diff import MAX_GOAL, difference, goal, patch
from trajgen.goals import holds
from trajgen.ledger import Ledger
from trajgen.pointers import equal, overlay

LARGE = st.lists(VALUES, min_size=60, max_size=80) | st.dictionaries(
    st.integers(0, 999).map(str), st.integers(0, 3), min_size=60, max_size=80
)
LARGER_STATES = st.dictionaries(st.sampled_from("ab"), LARGE | VALUES, max_size=2)

CHANGES: list[tuple[Any, Any]] = [
    ({"a": 1}, {"a": 2}),
    ({"a": None}, {"a": "x"}),
    ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "d": [1]}}),
    ({"a": [1, 2]}, {"a": [1, 2, 3, 4]}),
    ({"a": []}, {"a": [{"x": 1}]}),
    ({"a": [{"x": 1}, {"x": 2}]}, {"a": [{"x": 1}, {"x": 3}]}),
    ({"a": [1, 2, 3]}, {"a": [3]}),
    ({"a": [1, "b"]}, {"a": ["b", 1]}),
    ({"a": [1]}, {"a": [1, "b"]}),
    ({"a": "1"}, {"a": 1}),
    ({"a": True}, {"a": 1}),
    ({"a": [True]}, {"a": [1]}),
    ({"a": True}, {"a": {"b/c~d": 1}}),
    ({"a/b": {"~": 1}}, {"a/b": {"~": 2}}),
    ({"a": 1}, {"a": 1}),
    ({"a": list(range(100))}, {"a": None}),
    ({"a": list(range(100))}, {"a": {}}),
    ({"a": {str(i): list(range(100)) for i in range(100)}}, {}),
    ({"a": list(range(100))}, {"a": ["x", 1, None, {}]}),
    ({"a": [list(range(100)), 1]}, {"a": ["x", 2]}),
]


def check(old: Any, new: Any) -> None:
    ledger = Ledger(old)
    ledger.apply(list(difference(old, new)))
    assert equal(ledger.state, new)
    assert ledger.hash == Ledger(ledger.state).hash


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_the_effects_turn_one_state_into_the_other(old: Any, new: Any) -> None:
    check(old, new)


@given(STATES, STATES)
def test_between_any_two_states(old: Any, new: Any) -> None:
    check(old, new)


@pytest.mark.slow
@given(LARGER_STATES, LARGER_STATES)
def test_between_states_with_large_collections(old: Any, new: Any) -> None:
    check(old, new)


@given(STATES, STATES)
def test_what_is_the_same_has_no_difference(old: Any, new: Any) -> None:
    assert list(difference(old, old)) == []
    assert bool(list(difference(old, new))) is not equal(old, new)


def test_differences_are_small() -> None:
    old = {"orders": {"W1": {"status": "pending", "items": [{"id": 1}]}}}
    new = {"orders": {"W1": {"status": "cancelled", "items": [{"id": 1}, {"id": 2}]}}}
    assert list(difference(old, new)) == [
        {"op": "set", "path": "/orders/W1/status", "value": "cancelled"},
        {"op": "append", "path": "/orders/W1/items", "value": {"id": 2}},
    ]
    assert list(difference({"at": ["key", "lamp", "mug"]}, {"at": ["key", "mug"]})) == [
        {"op": "remove", "path": "/at/1"}
    ]
    assert list(difference(shop(), shop())) == []


def test_a_number_is_no_truth_value() -> None:
    assert list(difference({"a": [1]}, {"a": [True]})) != []
    assert list(difference({"a": 1}, {"a": 1.0})) == []


@given(STATES, STATES)
def test_a_patch_laid_over_the_first_state_gives_the_second(old: Any, new: Any) -> None:
    wanted = overlay(old, new)  # keeps every key of old
    assert equal(overlay(old, patch(old, wanted)), wanted)


def test_a_patch_holds_only_what_changed() -> None:
    new = shop()
    new["orders"]["o1"]["status"] = "sent"
    assert patch(shop(), new) == {"orders": {"o1": {"status": "sent"}}}


def test_goal_names_what_changed() -> None:
    old = {"a": {"x": 1, "gone": 2}, "n": [1]}
    new = {"a": {"x": 5}, "n": [1, 7], "b": {"id": "B1", "deep": {"no": 1}}}
    wanted = goal(old, new)
    assert wanted == (
        {"path": "/a/x", "equals": 5},
        {"path": "/n/1", "equals": 7},
        {"path": "/b/id", "equals": "B1"},
    )
    assert all(holds(new, condition) for condition in wanted)
    assert goal({"a": {}}, {"a": dict.fromkeys(map(str, range(50)), 1)})[MAX_GOAL:] == ()
