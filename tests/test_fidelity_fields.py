"""Fields: what counts as one, how many differ, how much two observations share."""

from __future__ import annotations

from typing import Any

import pytest

from trajgen.fidelity.fields import fields, n_changed, observation_score
from trajgen.pointers import MISSING


def test_a_field_is_a_scalar_or_nothing_at_all() -> None:
    value = {"a": 1, "b": {"c": [True, "x"], "d": {}}, "e": [], "f": None}
    assert dict(fields(value)) == {
        "/a": "1",
        "/b/c/0": "true",
        "/b/c/1": '"x"',
        "/b/d": "{}",
        "/e": "[]",
        "/f": "null",
    }
    assert list(fields(MISSING)) == []


@pytest.mark.parametrize(
    ("old", "new", "n"),
    [
        ({"a": 1}, {"a": 1.0}, 0),
        ({"a": 0.1 + 0.2}, {"a": 0.3}, 0),
        ({"a": 1}, {"a": True}, 1),
        ({"a": 1}, {"a": "1"}, 1),
        ({"a": 10**15}, {"a": 10**15 + 1}, 1),
        ({"a": 1, "b": 2}, {"a": 2, "b": 3}, 2),
        ({}, {"a": {"b": 1, "c": [2, 3]}}, 3),  # an entity that is new
        ({"a": {"b": 1, "c": 2}}, {}, 2),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, 1),  # one item more
        ({"a": [1, 2, 3]}, {"a": [2, 3]}, 1),  # those behind it only move up
        ({"a": [{"x": 1, "y": 2}]}, {"a": []}, 2),
        ({"a": [1, 2]}, {"a": [2, 1]}, 2),
        ({"a": {}}, {"a": {"b": 1}}, 1),
        ({"a": {"b": 1}}, {"a": None}, 1),
        ({"a": "x"}, {"a": {"b": 1, "c": 2}}, 2),
        ({"a": {}}, {"a": {}}, 0),
        ({"a": {}}, {"a": []}, 1),
    ],
)
def test_how_many_fields_differ(old: Any, new: Any, n: int) -> None:
    assert n_changed(old, new) == n
    assert n_changed(new, old) == n
    assert n_changed(old, old) == 0


@pytest.mark.parametrize(
    ("truth", "said", "exact", "f1"),
    [
        ('{"a": 1, "b": 2}', '{ "b":2, "a":1.0 }', True, 1.0),
        ('{"a": 1, "b": 2}', '{"a": 1, "b": 3}', False, 0.5),  # 1 of 2 and 1 of 2
        ('{"a": 1, "b": 2}', '{"a": 1}', False, 2 / 3),  # all of 1, 1 of 2
        ('{"a": 1}', '{"a": 1, "b": 2, "c": 3}', False, 0.5),
        ('["x", "y"]', '["y", "x"]', False, 0.0),  # the order counts
        ('{"a": 1}', "a is 1", False, 0.0),
        ('{"a": 1}', '{"a": ', False, 0.0),
        ("{}", "{}", True, 1.0),
        ("You open  the box.\n", "You open the box.", True, 1.0),
        ("You open the box.", "you open the box", False, 1.0),  # words alone do not make it exact
        ("You open the box.", "You open the door.", False, 0.75),
        ("no", "yes", False, 0.0),
        ("no", "", False, 0.0),
        ("...", "!!!", False, 0.0),
        ("yes", '{"a": "yes"}', False, 2 / 3),  # words: yes of a, yes
    ],
)
def test_observations(truth: str, said: str, exact: bool, f1: float) -> None:
    assert observation_score(truth, said) == (exact, pytest.approx(f1))
