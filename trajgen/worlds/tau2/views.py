"""The collections of a tau2 database over JSON, as tau2's own tools use them.

A tool works on models made from the state for this one call; which of them it may have
changed is known, so the difference is exact and costs what was touched, not the database.
"""

from __future__ import annotations

import json
from collections.abc import ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from dataclasses import dataclass, field
from typing import Any, Protocol

from trajgen.diff import difference
from trajgen.pointers import EffectError, equal, join, json_type
from trajgen.records import Json


@dataclass(frozen=True, slots=True)
class Part:
    """One collection: its entities' form as a pydantic TypeAdapter, and, where tau2 keeps a
    list, the field whose value is an entity's key here ("" for an object)."""

    name: str
    form: Any
    key: str = ""

    def entities(self, collection: Any) -> dict[str, Json]:
        """tau2's collection as JSON, by key."""
        if self.key:
            return {getattr(model, self.key): self.dump(model) for model in collection}
        return {key: self.dump(model) for key, model in collection.items()}

    def dump(self, model: Any) -> Json:
        """An entity as tau2 itself writes JSON: times as `str` has them."""
        return json.loads(json.dumps(self.form.dump_python(model), default=str))

    def check(self, entities: Json, known: Mapping[str, Json]) -> None:
        """Raises EffectError for an entity, other than the `known` ones, that tau2 could not
        hold as it is."""
        path = join("", self.name)
        if not isinstance(entities, dict):
            raise EffectError(path, f"expected entities by key, found {json_type(entities)}")
        for key, entity in entities.items() if entities is not known else ():
            if known.get(key) is not entity:
                self._check(key, entity, join(path, key))

    def _check(self, key: str, entity: Json, path: str) -> None:
        try:
            held = self.dump(self.form.validate_python(entity))
        except ValueError as error:
            why = " ".join(str(error).split("\n")[1:3])
            raise EffectError(path, f"the environment cannot hold this: {why}") from error
        if not equal(held, entity):
            lost = next((effect["path"] for effect in difference(entity, held, path)), path)
            raise EffectError(lost, "the environment would not keep this")
        if self.key and held[self.key] != key:
            raise EffectError(path, f"has {self.key} {held[self.key]!r}")

    def view(self, entities: dict[str, Json], shared: dict[str, tuple[Json, Any]]) -> View:
        """What a tool works on. `shared` keeps models that tools only look through."""
        if self.key:
            return Row(self, entities)
        return Shelf(self, entities, shared)


class View(Protocol):
    """A collection in tau2's form, for one call."""

    @property
    def collection(self) -> Any:
        """As the database holds it."""

    def effects(self) -> Iterator[dict[str, Json]]:
        """What the call changed."""


class Row:
    """A list of few entities, all made for the call."""

    def __init__(self, part: Part, entities: dict[str, Json]) -> None:
        self.part, self.entities = part, entities
        self.collection = [part.form.validate_python(entity) for entity in entities.values()]

    def effects(self) -> Iterator[dict[str, Json]]:
        now = self.part.entities(self.collection)
        return difference(self.entities, now, join("", self.part.name))


@dataclass
class Shelf(MutableMapping[str, Any]):
    """An object of many entities: one is made when it is taken by its key. Looking through
    all of them takes none: tau2's tools change only what they name."""

    part: Part
    entities: dict[str, Json]
    shared: dict[str, tuple[Json, Any]]
    taken: dict[str, Any] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    @property
    def collection(self) -> Shelf:
        return self

    def effects(self) -> Iterator[dict[str, Json]]:
        touched = sorted({*self.taken, *self.gone})
        before = {key: self.entities[key] for key in touched if key in self.entities}
        after = {key: self.part.dump(self.taken[key]) for key in touched if key in self.taken}
        return difference(before, after, join("", self.part.name))

    def __getitem__(self, key: str) -> Any:
        if key not in self.taken:
            if key not in self:
                raise KeyError(key)
            self.taken[key] = self.part.form.validate_python(self.entities[key])
        return self.taken[key]

    def __setitem__(self, key: str, model: Any) -> None:
        self.taken[key] = model
        self.gone.discard(key)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self.taken.pop(key, None)
        self.gone.add(key)

    def __contains__(self, key: object) -> bool:
        return key in self.taken or (key in self.entities and key not in self.gone)

    def __iter__(self) -> Iterator[str]:
        yield from (key for key in self.entities if key not in self.gone)
        yield from (key for key in self.taken if key not in self.entities)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def items(self) -> ItemsView[str, Any]:
        return {key: self._seen(key) for key in self}.items()

    def values(self) -> ValuesView[Any]:
        return dict(self.items()).values()

    def _seen(self, key: str) -> Any:
        if key in self.taken:
            return self.taken[key]
        entity = self.entities[key]
        known, model = self.shared.get(key, (None, None))
        if known is not entity:
            model = self.part.form.validate_python(entity)
            self.shared[key] = entity, model
        return model
