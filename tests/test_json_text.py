"""JSON text: to the letter what `json` writes, whoever writes it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trajgen.json_text import canonical, compact, sent

TEXT = st.text(st.characters(codec=None))  # half surrogate pairs too
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**63 - 2, 2**64 + 2)
    | st.floats()
    | st.sampled_from([1e-4, 1e-5, 5e-324, 1e15, 1e16, -0.0, 1.7976931348623157e308, 1e-7])
    | TEXT
)
VALUES = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXT | st.integers() | st.booleans(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


class Numbered(IntEnum):
    ONE = 1


class Named(str):
    __slots__ = ()


@dataclass
class Point:
    x: int


def written(value: Any, *, sort: bool) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort)
    except TypeError:
        return "TypeError"


def tried(write: Any, value: Any) -> str:
    try:
        return str(write(value))
    except TypeError:
        return "TypeError"


@given(VALUES)
@settings(max_examples=500, deadline=None)
@example(float("nan"))
@example([1e-7, "so-called e-5"])
@example({"small": 0.00001, "text": "1e-5"})
@example("\x00\x1f\x7f\u2028\u2029\ufeff\U0001f600\ud800")
def test_it_is_what_json_writes(value: Any) -> None:
    assert tried(compact, value) == written(value, sort=False)
    assert tried(canonical, value) == written(value, sort=True)


@pytest.mark.parametrize(
    "value",
    [
        Numbered.ONE,
        {Named("b"): Named("x"), "a": 1},
        Point(1),
        date(2026, 1, 1),
        {"a"},
        b"bytes",
        {None: 1, 2.5: 2},
        [[[]]] * 3,
    ],
    ids=repr,
)
def test_other_types_are_taken_as_json_takes_them(value: Any) -> None:
    assert tried(compact, value) == written(value, sort=False)


def test_deep_nesting_is_taken_as_json_takes_it() -> None:
    value: Any = 1
    for _ in range(600):
        value = [value]
    assert compact(value) == "[" * 600 + "1" + "]" * 600


def test_keys_are_sorted_by_code_point() -> None:
    keys = ["\U00010000", "\uffff", "é", "z", "", "a"]
    assert list(json.loads(canonical(dict.fromkeys(keys, 1)))) == sorted(keys)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_what_is_sent_is_utf8_of_the_same_value(value: Any) -> None:
    try:
        data = sent(value)
    except TypeError:
        return
    assert data.decode("utf-8")
    assert json.dumps(_without_nan(data)) == json.dumps(_without_nan(json.dumps(value)))


def _without_nan(data: str | bytes) -> Any:
    """Its value with null for what JSON has no number for."""
    return json.loads(data, parse_constant=lambda name: None)


def test_what_json_has_no_number_for_is_sent_as_null() -> None:
    assert sent([math.nan, math.inf, -math.inf, 1.5]) == b"[null,null,null,1.5]"
