"""JSON pointers as the RFC says, overlays, excerpts, and what is equal."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.states import KEYS, VALUES, shop
from trajgen.pointers import (
    MISSING,
    EffectError,
    below,
    equal,
    excerpt,
    join,
    json_type,
    keys_of,
    lookup,
    overlay,
    scalars,
    split,
)


@pytest.mark.parametrize(
    ("pointer", "keys"),
    [("", []), ("/", [""]), ("/a/0", ["a", "0"]), ("/a~1b/~0~1", ["a/b", "~/"]), ("/~01", ["~1"])],
)
def test_a_pointer_splits_as_the_rfc_says(pointer: str, keys: list[str]) -> None:
    assert split(pointer) == keys


@given(st.lists(KEYS, max_size=4))
@settings(max_examples=40)
def test_join_and_split_are_inverse(keys: list[str]) -> None:
    path = ""
    for key in keys:
        path = join(path, key)
    assert split(path) == keys


@pytest.mark.parametrize("bad", ["a", "a/b", "/~", "/~2", "/a~b", "/a/~/b"])
def test_what_is_no_pointer_is_refused(bad: str) -> None:
    with pytest.raises(EffectError, match="not a JSON pointer"):
        lookup({}, bad)


def test_lookup() -> None:
    assert lookup(shop(), "") == shop()
    assert lookup(shop(), "/queue/2/id") == "q3"
    assert lookup(shop(), "/orders/o1/tracking") is None
    assert lookup(shop(), "/orders/o1/weight") is MISSING
    assert lookup({"a": "text"}, "/a/0") is MISSING


def test_overlay_merges_objects_and_replaces_the_rest() -> None:
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 1}
    patch = {"a": {"y": [3], "z": {}}, "c": {"n": None}}
    before = copy.deepcopy(base)
    assert overlay(base, patch) == {"a": {"x": 1, "y": [3], "z": {}}, "b": 1, "c": {"n": None}}
    assert base == before
    assert overlay(base, None) is base
    assert overlay(None, patch) == patch
    assert overlay(base, {}) == base


def test_a_null_in_a_patch_replaces() -> None:
    assert overlay({"o": {"tracking": "T1", "n": 1}}, {"o": {"tracking": None}}) == {
        "o": {"tracking": None, "n": 1}
    }
    assert overlay({"o": {"n": 1}}, {"o": None}) == {"o": None}


@given(VALUES, VALUES)
@settings(max_examples=60)
def test_equal_is_an_equivalence_that_tells_types_apart(left: Any, right: Any) -> None:
    assert equal(left, copy.deepcopy(left))
    assert equal(left, right) == equal(right, left)
    if equal(left, right):
        assert json_type(left) == json_type(right)


def test_scalars_and_types() -> None:
    value = {"a": [1, {"b": "x"}], "c": None, "d": False}
    assert list(scalars(value)) == [1, "x", False]
    assert [json_type(v) for v in (True, 1, 1.0, "", [], {}, None)] == [
        *("boolean", "number", "number", "string", "array", "object", "null")
    ]


def test_an_excerpt_keeps_lists_whole_and_leaves_out_what_is_not_there() -> None:
    state = shop()
    assert excerpt(state, []) == {}
    assert excerpt(state, ["/queue/1/id"]) == {"queue": state["queue"]}
    assert excerpt(state, ["/carts/c1", "/orders/o9"]) == {"orders": {}}
    assert excerpt(state, ["/orders/o1/total", "/orders/o1"]) == {
        "orders": {"o1": state["orders"]["o1"]}
    }
    assert excerpt({"a/b": {"~": 1}}, ["/a~1b/~0"]) == {"a/b": {"~": 1}}


def test_an_excerpt_never_changes_the_state() -> None:
    state = shop()
    excerpt(state, ["/orders/o1/status", "/orders", "/orders/o2/items/0", "/users/u1"])
    assert state == shop()


@pytest.mark.parametrize("key", ["a", "a" * 300, "a~/b" * 100])
def test_keys_of_long_pointers_too(key: str) -> None:
    path = join(join("", key), key)
    assert keys_of(path) == (key, key) == tuple(split(path))
    assert lookup({key: {key: 1}}, path) == below({key: {key: 1}}, (key, key)) == 1


@pytest.mark.parametrize("path", [["a"], 5, None, "a", "/~2", "/" + "a" * 300 + "~"])
def test_no_pointer_is_an_error_each_time(path: Any) -> None:
    for _ in range(2):
        with pytest.raises(EffectError):
            keys_of(path)


def test_keys_lead_through_objects_and_lists() -> None:
    state = {"a": [{"b": 1}, 2], "c": None}
    assert below(state, ()) is state
    assert below(state, ("a", "0", "b")) == 1
    assert below(state, ("c",)) is None
    for keys in (("a", "2"), ("a", "x"), ("c", "d"), ("a", "1", "b"), ("z",)):
        assert below(state, keys) is MISSING
