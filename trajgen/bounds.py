"""Bounds of JSON schemas that come from data, before anything is compiled from them.

A grammar compiler that is given a hostile schema stalls, or takes its engine with it: the
tools of a domain keep to all bounds. A validator is sturdier, and rows of other people's
corpora may use references: there only what takes without end is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trajgen.json_text import canonical
from trajgen.pointers import MISSING, EffectError, lookup
from trajgen.records import Json

MAX_CHARS = 100_000  # of one tool's parameters
MAX_ALL_CHARS = 400_000  # of all tools of a domain: one grammar is made of them
MAX_DEPTH = 24
MAX_PROPERTIES = 200  # of one object
MAX_CHOICES = 1000  # of an enum
MAX_SCHEMAS = 100  # in anyOf, oneOf, allOf
MAX_REPEATS = 1000  # in minItems, maxProperties and the like
MAX_GUIDED = 32  # characters: xgrammar takes about a second for each longer bound of a text
MAX_EXPANSION = 20_000  # schemas, all references laid in
_REFUSED = ("pattern", "patternProperties", "$ref", "$dynamicRef", "$recursiveRef")
_REPEATS = frozenset(f"{end}{what}" for end in ("min", "max") for what in ("Items", "Properties"))
_LENGTHS = ("minLength", "maxLength")
_NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_VALUES = ("enum", "const", "default", "examples", "required")


def out_of_bounds(schema: Json) -> str:
    """Why no grammar may be made of `schema`, or ""."""
    if depth(schema) > MAX_DEPTH:
        return f"parameters nest deeper than {MAX_DEPTH}"
    try:
        size = len(canonical(schema).encode("utf-8"))
    except UnicodeEncodeError:
        return "parameters are no valid JSON schema (half a surrogate pair)"
    if size > MAX_CHARS:
        return f"parameters take {size} characters; at most {MAX_CHARS}"
    inner = list(_schemas(schema))
    if refused := sorted({key for one in inner for key in one} & set(_REFUSED)):
        return f"{', '.join(refused)} not accepted (can stall grammar compilers)"
    return next((problem for one in inner for problem in _too_many(one)), "")


def guide(schema: Json) -> Json:
    """`schema` as a grammar is made of it: long bounds of texts are left out. Whatever is then
    written is held to `schema` itself."""
    if isinstance(schema, list):
        return [guide(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {}
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, dict):
            made[key] = {name: guide(item) for name, item in value.items()}
        elif key in _VALUES:
            made[key] = value
        elif not (key in _LENGTHS and isinstance(value, int | float) and value > MAX_GUIDED):
            made[key] = guide(value)
    return made


def depth(value: Json) -> int:
    """How deep a JSON value nests; a plain one is 1 deep."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        item, at = stack.pop()
        deepest = max(deepest, at)
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        stack.extend((child, at + 1) for child in inner)
    return deepest


def circles(schema: Json) -> int | None:
    """How many references of `schema` lead back into what they stand in; None when a reference
    leads nowhere, or all of them laid in make more than MAX_EXPANSION schemas.

    A value that nests d deep costs a validator up to that number to the power of d.
    """
    try:
        return _References(schema).circles
    except (EffectError, OverflowError, RecursionError):
        return None


class _References:
    """A walk through a schema and what its references name."""

    def __init__(self, schema: Json) -> None:
        self.root, self.seen, self.circles = schema, 0, 0
        self._walk(schema, ("",))

    def _walk(self, node: Json, inside: tuple[str, ...]) -> None:
        self.seen += 1
        if self.seen > MAX_EXPANSION:
            raise OverflowError("too many schemas")
        for key, item in node.items() if isinstance(node, dict) else enumerate(node):
            if isinstance(item, dict | list) and key not in ("$defs", "definitions"):
                self._walk(item, inside)
        named = node.get("$ref") if isinstance(node, dict) else None
        if isinstance(named, str):
            self._follow(named, inside)

    def _follow(self, named: str, inside: tuple[str, ...]) -> None:
        pointer = named.removeprefix("#")
        if pointer in inside:
            self.circles += 1
            return
        target = lookup(self.root, pointer) if named.startswith("#") else MISSING
        if target is MISSING:
            raise EffectError(named, "leads nowhere in the schema")
        if isinstance(target, dict | list):
            self._walk(target, (*inside, pointer))


def _schemas(schema: Json) -> Iterator[dict[str, Json]]:
    """Every object of keywords in a schema: names of properties are no keywords."""
    if isinstance(schema, list):
        for item in schema:
            yield from _schemas(item)
    elif isinstance(schema, dict):
        yield schema
        for key, value in schema.items():
            if key in _NAMED and isinstance(value, dict):
                yield from _schemas(list(value.values()))
            elif key not in _VALUES:
                yield from _schemas(value)


def _too_many(schema: dict[str, Json]) -> Iterable[str]:
    for key, value in schema.items():
        if key in _REPEATS and isinstance(value, int | float) and value > MAX_REPEATS:
            yield f"{key} is {value:g}; at most {MAX_REPEATS}, or leave it out"
        elif key == "enum" and isinstance(value, list) and len(value) > MAX_CHOICES:
            yield f"an enum of {len(value)} values; at most {MAX_CHOICES}"
        elif key == "properties" and isinstance(value, dict) and len(value) > MAX_PROPERTIES:
            yield f"an object of {len(value)} properties; at most {MAX_PROPERTIES}"
        elif (
            key in ("anyOf", "oneOf", "allOf")
            and isinstance(value, list)
            and len(value) > MAX_SCHEMAS
        ):
            yield f"{len(value)} schemas in {key}; at most {MAX_SCHEMAS}"
