"""The state that a domain or a row begins with, as a place to look entities up.

An entity is an object under a key of its own (`/orders/W1`) or in a list of objects with
ids; inside an entity only keyed objects are entities again (`/users/u1/cards/c1`).
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from functools import cached_property, lru_cache
from typing import NamedTuple

from trajgen.filters.spellings import is_when
from trajgen.pointers import join, overlay
from trajgen.records import Domain, Json, Trajectory

Record = dict[str, Json]

_ID_FIELD = re.compile(r"(?:^|.*[_-])(?:id|number|no|key)|.+(?:Id|ID|Number)")
_ID_END = re.compile(r"[_-]?(?:id|number|no|key)$", re.IGNORECASE)
_REMEMBERED = 16  # states kept ready


class Entity(NamedTuple):
    """An object of the state: its pointer, its collection's name, what it holds."""

    path: str
    kind: str
    record: Record


class Given:
    """The entities of one state by id; `kinds` counts them by collection."""

    def __init__(self, state: Json) -> None:
        self.entities: dict[str, list[Entity]] = {}
        self.kinds: Counter[str] = Counter()
        self._state = state if isinstance(state, dict) else {}
        for key, value in self._state.items():
            self._walk(value, join("", key), key.lower(), False)

    @cached_property
    def names(self) -> frozenset[str]:
        """All keys, strings and whole numbers, as `plain` gives them."""
        return frozenset(map(plain, strings_in(self._state)))

    def of(self, value: Json) -> list[Entity]:
        """The entities with this id."""
        return self.entities.get(str(value), []) if self.entities else []

    def holds(self, field: str, value: Json) -> bool:
        """Whether an entity of the kind that `field` names has the id `value`."""
        return any(_is_of(entity, field, value) for entity in self.of(value))

    def lacks(self, field: str, value: Json) -> bool:
        """Whether the state has a collection that `field` names, and `value` is nowhere."""
        stem = stem_of(field)
        if not stem or plain(value) in self.names:
            return False
        return any(n > 1 and _named(kind, stem) for kind, n in self.kinds.items())

    def _walk(self, value: Json, path: str, kind: str, inside: bool) -> None:
        if isinstance(value, list) and not inside:
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    self._add(_own_ids(item, kind), item, join(path, index), kind)
        elif isinstance(value, dict) and _is_collection(value):
            for key, item in value.items():
                self._add([key, *_own_ids(item, kind)], item, join(path, key), kind)
        elif isinstance(value, dict):
            for key, item in value.items():
                self._walk(item, join(path, key), key.lower(), inside)

    def _add(self, ids: list[str], record: Record, path: str, kind: str) -> None:
        entity = Entity(path, kind, record)
        self.kinds[kind] += bool(ids)
        for id_ in dict.fromkeys(ids):
            if not is_when(id_.casefold()):
                self.entities.setdefault(id_, []).append(entity)
        for key, item in record.items():
            if isinstance(item, dict):
                self._walk(item, join(path, key), key.lower(), True)


class World(NamedTuple):
    """What is known before the first call: the row's own state over the domain's."""

    own: Given
    domain: Given

    def __bool__(self) -> bool:
        return bool(self.own.entities or self.domain.entities)

    def of(self, value: Json) -> list[Entity]:
        """The entities with this id, the row's own laid over the domain's."""
        below, own = self.domain.of(value), self.own.of(value)
        if not (below and own):
            return below or own
        known = {entity.path: entity.record for entity in below}
        return [e._replace(record=overlay(known.get(e.path), e.record)) for e in own]

    def holds(self, field: str, value: Json) -> bool:
        """Whether an entity of the kind that `field` names has this id."""
        return self.own.holds(field, value) or self.domain.holds(field, value)

    def kinds(self) -> set[str]:
        """The names of all collections."""
        return {*self.own.kinds, *self.domain.kinds}

    def lacks(self, field: str, value: Json) -> bool:
        """Whether the domain's state is complete in this kind and has no such entity."""
        if not self.domain.kinds or plain(value) in self.own.names:
            return False
        return self.domain.lacks(field, value)


NOTHING = Given(None)
_kept: OrderedDict[int, tuple[Json, Given]] = OrderedDict()


def world_of(trajectory: Trajectory, domain: Domain) -> World:
    """The given state of a trajectory; a domain's is read once and kept by identity.

    A row with steps has its own excerpt, and began in a world of its own: a scenario may have
    changed what the domain's state says of the rest.
    """
    own = trajectory.state_initial
    if trajectory.steps and own is not None:
        return World(Given(own), NOTHING)
    return World(NOTHING if own is None or own is domain.state else Given(own), _of(domain.state))


def _of(state: Json) -> Given:
    if state is None:
        return NOTHING
    if id(state) not in _kept:
        _kept[id(state)] = state, Given(state)
        while len(_kept) > _REMEMBERED:
            _kept.popitem(last=False)
    return _kept[id(state)][1]


def is_id(field: str, value: Json) -> bool:
    """Whether `field` is named like an id and `value` can be one."""
    return type(value) in (str, int) and names_id(field)


@lru_cache(maxsize=4096)
def names_id(field: str) -> bool:
    """Whether a field of this name holds an id: `id`, `order_id`, `flight_number`."""
    return _ID_FIELD.fullmatch(field) is not None


@lru_cache(maxsize=4096)
def stem_of(field: str) -> str:
    """What kind of entity an id field names: `order` of `order_id`; "" of `id`."""
    return _ID_END.sub("", field).lower() if names_id(field) else ""


def plain(value: Json) -> str:
    """An id without case, `#` and spaces around."""
    return str(value).strip(" #").casefold()


def _is_of(entity: Entity, field: str, value: Json) -> bool:
    stem = stem_of(field)
    return _named(entity.kind, stem) or entity.record.get(field) == value


def _named(kind: str, stem: str) -> bool:
    return bool(stem) and kind.startswith(stem.rpartition("_")[2].rstrip("y"))


def _own_ids(record: Record, kind: str) -> list[str]:
    ids = [(k, v) for k, v in record.items() if is_id(k, v)]
    own = [str(v) for k, v in ids if k == "id" or _named(kind, stem_of(k))]
    return own or [str(v) for _, v in ids[:1]]


def _is_collection(value: dict[str, Json]) -> bool:
    items = list(value.values())
    if not items or not all(isinstance(item, dict) for item in items):
        return False
    if any(any(map(str.isdecimal, key)) for key in value):
        return True
    return len(items) > 1 and bool(set.intersection(*(set(item) for item in items[:8])))


def strings_in(record: Json) -> set[str]:
    """Keys, strings and whole numbers inside, as text."""
    found: set[str] = set()
    stack = [record]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            found.add(item)
        elif isinstance(item, dict):
            found.update(map(str, item))
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif type(item) is int:
            found.add(str(item))
    return found
