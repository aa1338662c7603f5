"""Calls that no tool takes: names, types, enums, keys, what is nested."""

from __future__ import annotations

import json
import random

from benchmarks.detection.editing import (
    Broken,
    Kind,
    answered,
    leaves,
    put,
    shuffled,
    step_of,
    with_call,
)
from trajgen.filters.reading import Exchange
from trajgen.records import Domain, Json, Trajectory

BAD = ("bad_arguments",)


def unknown_tool(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A tool that sounds right and is not there."""
    known = {tool["function"]["name"] for tool in domain.tools}
    for e in shuffled(answered(t), rng):
        first, _, rest = e.call.tool.partition("_")
        names = [f"fetch_{rest or first}", f"{e.call.tool}s", f"{e.call.tool}_v2", first.upper()]
        name = rng.choice([n for n in names if n not in known])
        return Broken(with_call(t, e, tool=name), step_of(e), ("unknown_tool",))
    return None


def missing_argument(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A required argument is left out."""
    for e in shuffled(answered(t), rng):
        required = [k for k in _schema(domain, e).get("required", ()) if k in e.call.arguments]
        if required:
            gone = rng.choice(required)
            rest = {k: v for k, v in e.call.arguments.items() if k != gone}
            return Broken(with_call(t, e, rest), step_of(e), BAD)
    return None


def wrong_type(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A number as text, text as a number or a list, true for 1."""
    for e in shuffled(answered(t), rng):
        properties = _schema(domain, e).get("properties", {})
        for key, value in shuffled(list(e.call.arguments.items()), rng):
            declared = properties.get(key, {}).get("type")
            if declared in ("integer", "number") and not isinstance(value, bool):
                new: Json = rng.choice([str(value), True, [value]])
            elif declared == "string" and isinstance(value, str):
                new = rng.choice([17, [value], {"value": value}, True])
            elif declared == "boolean":
                new = rng.choice([str(value).lower(), 1])
            else:
                continue
            return Broken(with_call(t, e, {**e.call.arguments, key: new}), step_of(e), BAD)
    return None


def not_in_enum(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """A value that an enum does not list."""
    for e in shuffled(answered(t), rng):
        for key, declared in shuffled(list(_schema(domain, e).get("properties", {}).items()), rng):
            value = e.call.arguments.get(key)
            if isinstance(declared, dict) and declared.get("enum") and isinstance(value, str):
                new = rng.choice([value.title(), f"{value}s", "other", value.replace("_", " ")])
                if new not in declared["enum"]:
                    arguments = {**e.call.arguments, key: new}
                    return Broken(with_call(t, e, arguments), step_of(e), BAD)
    return None


def unlisted_argument(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """One argument more than the tool has."""
    for e in shuffled(answered(t), rng):
        key = rng.choice(["verbose", "force", "user", "limit", "reason_code", "confirm"])
        if key not in _schema(domain, e).get("properties", {}):
            arguments = {**e.call.arguments, key: rng.choice([True, "yes", 1])}
            return Broken(with_call(t, e, arguments), step_of(e), BAD)
    return None


def nested_type(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """Inside an object or a list something is of another type, gone or unlisted."""
    for e in shuffled(answered(t), rng):
        inner = [(p, v) for p, v in leaves(e.call.arguments) if len(p) > 1]
        inner = [(p, v) for p, v in inner if _declared(domain, e, p)]
        if inner:
            path, value = rng.choice(inner)
            new = rng.choice([[value], {"value": value}, 5 if isinstance(value, str) else "five"])
            return Broken(with_call(t, e, put(e.call.arguments, path, new)), step_of(e), BAD)
    return None


def cut_arguments(t: Trajectory, rng: random.Random, domain: Domain) -> Broken | None:
    """The call's JSON stops in the middle, so it is left as text."""
    for e in shuffled(answered(t), rng):
        text = json.dumps(e.call.arguments)
        if len(text) > 10:
            cut = text[: rng.randint(3, len(text) - 1)]
            made = with_call(t, e, cut)
            return Broken(made, step_of(e), ("bad_arguments", "truncated", "unanswered_call"))
    return None


def _schema(domain: Domain, e: Exchange) -> dict[str, Json]:
    found = (domain.tool(e.call.tool) or {}).get("parameters")
    return found if isinstance(found, dict) else {}


def _declared(domain: Domain, e: Exchange, path: tuple) -> bool:
    """Whether the schema gives this place one simple type."""
    schema: Json = _schema(domain, e)
    for key in path:
        if not isinstance(schema, dict):
            return False
        schema = (
            schema.get("items") if isinstance(key, int) else schema.get("properties", {}).get(key)
        )
    return isinstance(schema, dict) and schema.get("type") in ("string", "number", "integer")


KINDS: dict[str, Kind] = {
    f.__name__: f
    for f in (
        unknown_tool,
        missing_argument,
        wrong_type,
        not_in_enum,
        unlisted_argument,
        nested_type,
        cut_arguments,
    )
}
