"""Conditions on a state: what a goal is made of.

A condition is `{"path": pointer, <test>: operand}` with one of the tests of CONDITIONS.
"""

from __future__ import annotations

from collections.abc import Mapping

from trajgen.pointers import MISSING, EffectError, equal, is_number, lookup, split
from trajgen.records import Json

CONDITIONS = ("equals", "not_equals", "exists", "contains", "at_least", "at_most")


def is_condition(value: Json) -> bool:
    """Whether `value` is one condition of a goal, as `holds` takes it."""
    path = value.get("path") if isinstance(value, dict) else None
    if not isinstance(path, str) or len(tests := set(value) - {"path"}) != 1:
        return False
    try:
        split(path)
    except EffectError:
        return False
    return tests <= set(CONDITIONS)


def holds(state: Json, condition: Mapping[str, Json]) -> bool:
    """Whether `state` fulfils one condition of a goal.

    A condition is `{"path": pointer, <test>: operand}` with one test of: equals,
    not_equals, exists (operand true or false), contains, at_least, at_most. An operand of
    the wrong type does not hold. Raises EffectError when `path` is no pointer.
    """
    test, operand = next((k, v) for k, v in condition.items() if k != "path")
    return passes(lookup(state, condition["path"]), test, operand)


def passes(value: Json, test: str, operand: Json) -> bool:
    """Whether `value`, or MISSING, passes a test of CONDITIONS. What is not there equals
    nothing, and neither contains anything nor is at least or at most anything."""
    if test == "exists":
        return (value is not MISSING) is operand
    if value is MISSING or operand is MISSING:
        return test == "not_equals"
    if test in ("equals", "not_equals"):
        return equal(value, operand) == (test == "equals")
    if test == "contains":
        return _contains(value, operand)
    if not (is_number(value) and is_number(operand)):
        return False
    return bool(value >= operand if test == "at_least" else value <= operand)


def _contains(value: Json, operand: Json) -> bool:
    if isinstance(value, list):
        return any(equal(item, operand) for item in value)
    return isinstance(value, str | dict) and isinstance(operand, str) and operand in value
