"""What stands around a call, where entities name each other: a door, the two rooms it joins.

An entity is an object in a collection at the top of the state (/rooms/hall), a link an object
inside one that names entities (/rooms/hall/exits/east: {"to": "yard", "door": "gate"}).
Entities that the small records name are here: the room that the player is in.

A call that names entities is shown what these name and what names them. One that names a
link goes where it leads: it is shown what the link names. One without arguments is shown
where it is made, and what the tool is named after.

Crash rule: pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from trajgen.ledger import Ledger
from trajgen.pointers import join, lookup, scalars, split
from trajgen.records import Call, Json

ENTITY = 2  # keys of a pointer to one


@dataclass(frozen=True, slots=True)
class Around:
    """A state, and the entities that are here."""

    ledger: Ledger
    here: tuple[str, ...]

    @classmethod
    def of(cls, ledger: Ledger, records: Iterable[str]) -> Around:
        """What stands around in a state with records at these pointers."""
        values = [lookup(ledger.state, path) for path in records]
        return cls(ledger, tuple(_named_in(ledger.state, values)))

    def named(self, call: Call) -> list[str]:
        """What `call` names: of links those that begin here or, where none does, all that
        begins here."""
        if _is_bare(call):
            return self._holding(call.tool) or list(self.here)
        found = self.ledger.relevant(call.arguments)
        links = [path for path in found if self._is_link(path)]
        others = [p for p in found if p not in links and not self._is_link(_above(p))]
        mine = [path for path in links if _entity(path) in self.here]
        return [*others, *((mine or self.here) if links else ())]

    def beside(self, call: Call, named: Sequence[str]) -> list[str]:
        """What to show beside the `named`, nearest first."""
        found: list[str] = []
        for path in named:
            if _is_bare(call):
                found += self._scene(path)
            elif self._is_link(path):
                found += [part for name in self._names(path) for part in self._scene(name)]
            elif path in self.here:
                found += self._links(path)
            else:
                found += [*self._ways(path), *self._near(path)]
        return [path for path in dict.fromkeys(found) if path not in named]

    def _scene(self, path: str) -> Iterator[str]:
        """An entity with its links, what these name but for more of its like, what is there,
        and what that holds."""
        yield path
        for way in self._links(path):
            yield way
            yield from (name for name in self._names(way) if _above(name) != _above(path))
        for thing in self._holding(split(path)[-1]):
            yield thing
            yield from self._holding(split(thing)[-1])

    def _near(self, path: str) -> Iterator[str]:
        """What an entity names, and what names it; places like those here go by their names."""
        homes = {_above(place) for place in self.here}
        near = [*self._names(path), *self._holding(split(path)[-1])]
        return (other for other in near if _above(other) not in homes)

    def _ways(self, path: str) -> Iterator[str]:
        """The links here that name an entity."""
        ways = (way for place in self.here for way in self._links(place))
        return (way for way in ways if path in self._names(way))

    def _holding(self, value: str) -> list[str]:
        """The entities with a field that is `value`."""
        return [
            join(join("", name), key)
            for name, entities in _parts(self.ledger.state)
            if is_collection(entities)
            for key, entity in entities.items()
            if value in (field for field in entity.values() if isinstance(field, str))
        ]

    def _links(self, path: str) -> list[str]:
        entity = lookup(self.ledger.state, path)
        inner = [
            join(join(path, name), key)
            for name, part in entity.items()
            if isinstance(part, dict)
            for key in part
        ]
        return [way for way in inner if self._is_link(way)]

    def _is_link(self, path: str) -> bool:
        return len(split(path)) > ENTITY and bool(self._names(path))

    def _names(self, path: str) -> list[str]:
        """The entities that the object at `path` names."""
        value = lookup(self.ledger.state, path)
        return _named_in(self.ledger.state, value) if isinstance(value, dict) else []


def _named_in(state: Json, value: Json) -> list[str]:
    """The entities that a text in `value` names."""
    names = dict.fromkeys(text for text in scalars(value) if isinstance(text, str))
    return [
        join(join("", part), name)
        for part, entities in _parts(state)
        if isinstance(entities, dict)
        for name in names
        if isinstance(entities.get(name), dict)
    ]


def _parts(state: Json) -> Iterable[tuple[str, Json]]:
    return state.items() if isinstance(state, dict) else ()


def _is_bare(call: Call) -> bool:
    """Whether a call has no arguments."""
    return not scalars(call.arguments)


def is_collection(value: Json) -> bool:
    """Whether `value` holds entities; what is empty does not."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(item, dict) for item in value.values())
    )


def _entity(path: str) -> str:
    return "/".join(path.split("/")[: ENTITY + 1])


def _above(path: str) -> str:
    return path.rpartition("/")[0]
