"""Calls drawn from what stands in the present state, near things first.

Near is what the small parts of the state name (the agent stands at cabinet_1), what the last
calls named, and what those entities hold. Some values are those that another tool was given
by a seed, each tool as likely: so the few places where something can be heated are gone to.
Now and then one argument is a value of another kind, one from another seed, or an id that
nothing has.

Crash rule: pure; the choice is drawn from the stream that is handed in.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trajgen.explore.standing import Argument, Arguments, Place, learn, standing
from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.pointers import lookup, scalars
from trajgen.records import Domain, Json, Seed

NEAR = 0.65  # of the values, where anything near stands at their places
GIVEN = 0.3  # of the values: one that some tool was given, where it stands there now
TRIES = 3  # for such a one
OWN = 0.8  # of the places: those of the tool itself, not of the argument in any tool
STRANGE = 0.15  # of the calls have one argument that hardly fits
OPTIONAL = 0.3  # of an argument that no seed gives
SMALL = 800  # characters of a part of the state that is near as a whole
RECENT = 3  # calls whose entities are near
FALLBACK = "unknown"

Made = tuple[str, dict[str, Json]]


@dataclass(slots=True)
class Draws:
    """Draws calls for one domain; `arguments` is what its seeds show."""

    domain: Domain
    arguments: Arguments
    by_name: Mapping[str, Sequence[Argument]] = field(default_factory=dict)

    @classmethod
    def of(cls, domain: Domain, seeds: Sequence[Seed]) -> Draws:
        """The draws that the seeds of a domain teach."""
        arguments = learn(domain, seeds)
        by_name: dict[str, list[Argument]] = {}
        for (_, name), argument in sorted(arguments.items(), key=lambda item: item[0]):
            by_name.setdefault(name, []).append(argument)
        return cls(domain, arguments, by_name)

    def at(self, ledger: Ledger, recent: Sequence[Json], chance: random.Random) -> Moment:
        """What may be drawn in the ledger's present state; `recent` are the arguments of the
        last calls."""
        return Moment(self, ledger.state, near(ledger, recent[-RECENT:]), chance)


@dataclass(slots=True)
class Moment:
    """A state, what is near in it, and the places already looked at."""

    draws: Draws
    state: Json
    near: frozenset[str]
    chance: random.Random
    _standing: dict[Place, tuple[list[str], list[str]]] = field(default_factory=dict)

    def calls(self, each: int) -> Iterator[Made]:
        """Calls of every tool, tools in a drawn order, `each` rounds of them."""
        tools = [tool["function"] for tool in self.draws.domain.tools]
        for _ in range(each):
            for tool in self.chance.sample(tools, len(tools)):
                yield tool["name"], self._arguments(tool)

    def _arguments(self, tool: Mapping[str, Json]) -> dict[str, Json]:
        schema = tool.get("parameters", {})
        properties, required = schema.get("properties", {}), schema.get("required", ())
        names = [name for name in properties if self._given(tool["name"], name, required)]
        made = {name: self._value(tool["name"], name, properties[name]) for name in names}
        if names and self.chance.random() < STRANGE:
            odd = self.chance.choice(names)
            made[odd] = self._strange(made[odd], odd, properties[odd])
        return made

    def _given(self, tool: str, name: str, required: Sequence[str]) -> bool:
        if name in required:
            return True
        known = self.draws.arguments.get((tool, name))
        return self.chance.random() < (known.given if known else OPTIONAL)

    def _value(self, tool: str, name: str, schema: Mapping[str, Json]) -> Json:
        if schema.get("enum"):
            return self.chance.choice(schema["enum"])
        others = self.draws.by_name.get(name, ())
        own = self.draws.arguments.get((tool, name))
        if others and (own is None or self.chance.random() >= OWN):
            own = self.chance.choice(others)
        if own is None:
            return self._blank(schema)
        if own.listed:
            return self._list(own)
        text = self._given_elsewhere(own, others) or self._text(own)
        if text is None:
            return self.chance.choice(own.seen)
        return int(text) if own.number and text.lstrip("-").isdecimal() else text

    def _list(self, argument: Argument) -> list[Json]:
        """As long as one that was seen, of what stands at its places now."""
        seen: list[Json] = self.chance.choice(argument.seen)
        texts = [self._text(argument) for _ in seen]
        fits = all(isinstance(item, str) for item in seen) and None not in texts
        return list(dict.fromkeys(texts)) if fits else seen

    def _given_elsewhere(self, own: Argument, others: Sequence[Argument]) -> str | None:
        """What a seed gave some tool as this argument, if it stands at a place of `own` now."""
        if self.chance.random() >= GIVEN:
            return None
        for _ in range(TRIES):
            value = self.chance.choice(self.chance.choice(others).seen)
            if any(value in self._at(place)[0] for place in own.places):
                return str(value)
        return None

    def _text(self, argument: Argument) -> str | None:
        """Something that stands at one of the argument's places now; None when nothing does."""
        for place in self.chance.sample(argument.places, len(argument.places)):
            everything, close = self._at(place)
            if close and self.chance.random() < NEAR:
                return self.chance.choice(close)
            if everything:
                return self.chance.choice(everything)
        return None

    def _at(self, place: Place) -> tuple[list[str], list[str]]:
        if place not in self._standing:
            found = standing(self.state, place, self.chance)
            self._standing[place] = found, [text for text in found if text in self.near]
        return self._standing[place]

    def _strange(self, value: Json, name: str, schema: Mapping[str, Json]) -> Json:
        """A text in place of `value` that belongs elsewhere, or nowhere; else `value`."""
        if schema.get("enum") or not isinstance(value, str):
            return value
        how = self.chance.randrange(3)
        if how == 0:
            names = sorted(self.draws.by_name)
            other = self.chance.choice(self.draws.by_name[self.chance.choice(names)])
            return self._text(other) or value
        seen = [v for a in self.draws.by_name.get(name, ()) for v in a.seen if isinstance(v, str)]
        if how == 1 and seen:
            return self.chance.choice(seen)
        return self._no_such(value)

    def _no_such(self, value: str) -> str:
        """`value` with one character changed: a digit for another, or a letter lost."""
        digits = [at for at, sign in enumerate(value) if sign.isdigit()]
        if digits and self.chance.random() < 0.7:
            at = self.chance.choice(digits)
            return f"{value[:at]}{self.chance.randrange(10)}{value[at + 1 :]}"
        at = self.chance.randrange(len(value)) if value else 0
        return f"{value[:at]}{value[at + 1 :]}" or FALLBACK

    def _blank(self, schema: Mapping[str, Json]) -> Json:
        """A value of an argument that no seed gives, by its type."""
        kind = schema.get("type")
        if kind in ("integer", "number"):
            return self.chance.randrange(10)
        if kind == "boolean":
            return self.chance.random() < 0.5
        if kind in ("array", "object"):
            return [] if kind == "array" else {}
        return self.chance.choice(sorted(self.near)) if self.near else FALLBACK


def near(ledger: Ledger, recent: Sequence[Json]) -> frozenset[str]:
    """The names in the small parts of the state and in `recent`, and in the entities that
    these name."""
    state = ledger.state if isinstance(ledger.state, dict) else {}
    small = [part for part in state.values() if _is_small(part)]
    names = set(_names([*small, *recent]))
    for path in ledger.relevant(sorted(names)):
        entity = lookup(ledger.state, path)
        if _is_small(entity):
            names.update(_names(entity))
    return frozenset(names)


def _is_small(value: Json) -> bool:
    return isinstance(value, dict) and len(value) <= SMALL and len(canonical(value)) <= SMALL


def _names(value: Json) -> Iterator[str]:
    """Every key and scalar in `value`, as text."""
    yield from (str(item) for item in scalars(value) if not isinstance(item, bool))
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield from item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
