"""Conditions on a call and the state it meets, compiled once: what a declared tool requires.

    {path: /orders/{id}/status, equals: pending}     a place in the state
    {argument: quantity, at_least: 1}                an argument; left out, it is not there
    {any: [c, c]}  {not: c}  [c, c]                  one of them; none; all of them

The tests are those of a goal (goals.py). An operand may hold placeholders; one that names
what is not there is equal to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from trajgen.declared.placeholders import Fill, Malformed, View, nearest, pointer, value
from trajgen.goals import CONDITIONS, passes
from trajgen.pointers import MISSING, is_number
from trajgen.records import Json

Check: TypeAlias = Callable[[View], bool]
SUBJECTS = ("path", "argument", "any", "not")
MAX_NESTING = 8


def condition(data: Json, place: str, names: Sequence[str], depth: int = 0) -> Check:
    """The check of a condition, or of a list that must hold as a whole. Raises Malformed."""
    if depth > MAX_NESTING:
        raise Malformed(place, f"conditions nest deeper than {MAX_NESTING}")
    if isinstance(data, list):
        if not data:
            raise Malformed(place, "an empty list says nothing")
        checks = [condition(c, f"{place}.{i}", names, depth + 1) for i, c in enumerate(data)]
        return lambda view: all(check(view) for check in checks)
    if not isinstance(data, Mapping):
        raise Malformed(place, f"a condition is a mapping, found {data!r}")
    subject = _subject(data, place)
    if subject in ("any", "not"):
        return _combined(subject, data, place, names, depth)
    if subject == "path":
        where = pointer(data["path"], f"{place}.path", names)
        return _tested(lambda view: view.at(where(view)), data, place, names)
    argument = data["argument"]
    if argument not in names:
        advice = nearest(str(argument), names)
        raise Malformed(f"{place}.argument", f"{argument!r} is no argument of the tool; {advice}")
    return _tested(lambda view: view.arguments.get(argument, MISSING), data, place, names)


def refusal(data: Mapping[str, Json]) -> str:
    """What a condition without words of its own says when it fails, as a template."""
    test = next((key for key in CONDITIONS if key in data), "")
    operand = data.get(test)
    if not test or isinstance(operand, dict | list):
        return "this call does not apply here"
    subject = data.get("path", data.get("argument"))
    shown = operand if isinstance(operand, str) else str(operand).lower()
    return f"{subject}: {test.replace('_', ' ')} {shown} does not hold"


def _subject(data: Mapping[str, Json], place: str) -> str:
    for key in data:
        if key not in (*SUBJECTS, *CONDITIONS):
            advice = nearest(str(key), (*SUBJECTS, *CONDITIONS))
            raise Malformed(place, f"unknown key {key!r}; {advice}")
    found = [key for key in SUBJECTS if key in data]
    if len(found) != 1:
        raise Malformed(place, f"a condition has one of {', '.join(SUBJECTS)}; found {_all(found)}")
    return found[0]


def _combined(
    subject: str, data: Mapping[str, Json], place: str, names: Sequence[str], depth: int
) -> Check:
    if len(data) > 1:
        raise Malformed(place, f"{subject!r} stands alone, found {_all(list(data))}")
    inner, place = data[subject], f"{place}.{subject}"
    if subject == "not":
        check = condition(inner, place, names, depth + 1)
        return lambda view: not check(view)
    if not isinstance(inner, list) or not inner:
        raise Malformed(place, "is a list of conditions")
    checks = [condition(c, f"{place}.{i}", names, depth + 1) for i, c in enumerate(inner)]
    return lambda view: any(check(view) for check in checks)


def _tested(read: Fill, data: Mapping[str, Json], place: str, names: Sequence[str]) -> Check:
    tests = [key for key in data if key in CONDITIONS]
    if len(tests) != 1:
        known = ", ".join(CONDITIONS)
        raise Malformed(place, f"a condition has one test of {known}; found {_all(tests)}")
    test, operand = tests[0], data[tests[0]]
    _fitting(test, operand, f"{place}.{test}")
    if test == "exists":
        return lambda view: (read(view) is not MISSING) is operand
    wanted = value(operand, f"{place}.{test}", names)
    return lambda view: passes(read(view), test, wanted(view))


def _fitting(test: str, operand: Json, place: str) -> None:
    if test == "exists" and not isinstance(operand, bool):
        raise Malformed(place, f"is true or false, found {operand!r}")
    if test in ("at_least", "at_most") and not (isinstance(operand, str) or is_number(operand)):
        raise Malformed(place, f"is a number or a placeholder for one, found {operand!r}")


def _all(keys: Sequence[str]) -> str:
    return ", ".join(map(repr, keys)) or "none"
