"""The part of the state that a call touches, within what a prompt has room for.

What the call names comes first or, where it names nothing, what has the fields it asks for (a
flight from JFK to ATL). Then, for a call that may write, what those refer to (an order's
customer, an item's product), one step away. Of a large entity large objects are left out, but
for what in them is named. A database is never shown whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.pointers import MISSING, excerpt, join, lookup, scalars
from trajgen.records import Call, Json
from trajgen.remembered import Remembered
from trajgen.shapes import is_id
from trajgen.worlds.around import Around, is_collection

STATE_CHARS = 6000  # of state shown with one call
REFERRED_CHARS = 3000  # of it, for what is only referred to
AROUND_CHARS = 2000  # of an outline, for what stands around
LARGE = 2000  # an entity of more is shown in parts
SMALL = 300
FEW_FIELDS = 12  # a small object at the top has no more
OVERHEAD = 200  # of the pointer to an entity
FOUND = 20  # entities shown because of their fields
COMMON = 500  # a value that more entities have finds none
ENTRIES = 500  # a state with more is large, without its text being made


class Fields:
    """Which entities of a large state have which values: (field, value) -> pointers."""

    def __init__(self, state: Json) -> None:
        self._paths: dict[tuple[str, Json], dict[str, None]] = {}
        for name, entities in state.items() if isinstance(state, dict) else ():
            for key, entity in entities.items() if isinstance(entities, dict) else ():
                path = join(join("", name), key)
                for known in _fields(entity, depth=2):
                    self._paths.setdefault(known, {})[path] = None

    def find(self, call: Call) -> list[str]:
        """The entities with most of the values that the call's arguments ask for, under the
        same names; of several collections the one that the tool is named after. [] when
        they are many."""
        counts: Counter[str] = Counter()
        for known in set(_fields(call.arguments, depth=2)):
            if len(paths := self._paths.get(known, {})) <= COMMON:
                counts.update(list(paths))
        most = max(counts.values(), default=0)
        found = sorted(path for path, count in counts.items() if count == most)
        own = [path for path in found if path.split("/")[1].rstrip("s") in call.tool]
        found = own or found
        return found if len(found) <= FOUND else []


def shown_state(
    ledger: Ledger, call: Call, fields: Fields | None = None, reads: bool = False
) -> Json:
    """What of the ledger's state to show with `call`; None without a state, all of it when it
    is small and the call names nothing. `fields` are those of the
    domain's state; a call that only `reads` is not shown what is referred to."""
    state = ledger.state
    if not state:
        return None
    paths = shown_paths(ledger, call, fields, reads)
    return state if paths == [""] else excerpt(state, paths)


def shown_paths(
    ledger: Ledger, call: Call, fields: Fields | None = None, reads: bool = False
) -> list[str]:
    """Pointers to what `shown_state` shows; [""] for all of it."""
    state = ledger.state
    named = ledger.relevant(call.arguments)
    if not named and _entries(state) <= ENTRIES and _length(state) < STATE_CHARS:
        return [""]
    if not named and fields is not None:
        named = [p for p in fields.find(call) if lookup(state, p) is not MISSING]
    kept = _within_room(state, named, call.arguments, STATE_CHARS)
    if not reads:
        room = STATE_CHARS - sum(_size(state, part) for part in kept)
        namers = [call.arguments, *(lookup(state, path) for path in named)]
        kept += _within_room(state, _referred(ledger, named), namers, min(room, REFERRED_CHARS))
    return kept


def outlined_state(ledger: Ledger, call: Call) -> Json:
    """The least of the state that decides `call`: what it names, with the entities inside that
    by their ids alone, the small records at the top (where the player is, what they hold) and
    what stands around; None without a state."""
    if not (state := ledger.state):
        return None
    records = [path for path in small_parts(state) if not is_collection(lookup(state, path))]
    around = Around.of(ledger, records)
    named = around.named(call)
    paths = [*records, *_within_room(state, named, call.arguments, STATE_CHARS)]
    paths += _within_room(state, around.beside(call, named), call.arguments, AROUND_CHARS)
    return folded(excerpt(state, paths), paths)


def folded(state: Json, whole: Iterable[str]) -> Json:
    """`state` with the entities of its collections by their ids alone, but for those at the
    pointers `whole` and what leads there."""
    open_ = {part for path in whole for part in _down_to(path)}
    return _folded(state, "", open_)


def small_parts(state: Json) -> list[str]:
    """Pointers to the small objects at the top of a state, such as a player."""
    parts = state.items() if isinstance(state, dict) else ()
    return [
        join("", key)
        for key, value in parts
        if isinstance(value, dict) and len(value) <= FEW_FIELDS and len(canonical(value)) <= SMALL
    ]


def _folded(value: Json, path: str, open_: set[str]) -> Json:
    if not isinstance(value, dict):
        return value
    collection = all(isinstance(item, dict) for item in value.values())
    return {
        key: {} if collection and at not in open_ else _folded(item, at, open_)
        for key, item in value.items()
        for at in [join(path, key)]
    }


def _down_to(path: str) -> list[str]:
    """`path` and all above it."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(2, len(parts) + 1)]


def _within_room(state: Json, paths: Iterable[str], namers: Json, room: int) -> list[str]:
    kept: list[str] = []
    for path in paths:
        for part in _parts(state, path, namers):
            if (size := _size(state, part)) <= room:
                kept.append(part)
                room -= size
    return kept


def _size(state: Json, path: str) -> int:
    return len(canonical(excerpt(state, [path])))


def _fields(value: Json, depth: int) -> Iterator[tuple[str, Json]]:
    """(name, value) of the texts and numbers in an object, `depth` levels deep."""
    for key, item in value.items() if isinstance(value, dict) else ():
        if isinstance(item, str | int | float) and not isinstance(item, bool):
            yield key, item
        elif depth > 1:
            yield from _fields(item, depth - 1)


def _referred(ledger: Ledger, named: list[str]) -> Iterator[str]:
    """The entities that those at `named` speak of, by value or as the key of a list."""
    known = dict.fromkeys(named)
    for path in named:
        for found in ledger.relevant(list(_names(lookup(ledger.state, path)))):
            if not any(_within(found, other) or _within(other, found) for other in known):
                known[found] = None
                yield found


def _names(value: Json) -> Iterator[str]:
    """Words that may be ids: texts, and keys that are no plain fields."""
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, dict):
        yield from filter(is_id, value)
    inner = value.values() if isinstance(value, dict) else value
    for item in inner if isinstance(value, dict | list) else ():
        yield from _names(item)


def _parts(state: Json, path: str, namers: Json) -> list[str]:
    """`path` itself; of a large entity all but its large objects, and what `namers` name in
    those."""
    entity = lookup(state, path)
    if not isinstance(entity, dict) or (size := len(canonical(entity))) <= LARGE:
        return [path]
    inside = Ledger(entity, 0).relevant(list(dict.fromkeys(scalars(namers))))
    if not inside and size < STATE_CHARS - OVERHEAD:
        return [path]
    small = [k for k, v in entity.items() if not isinstance(v, dict) or len(canonical(v)) <= SMALL]
    return [*(join(path, key) for key in small), *(f"{path}{pointer}" for pointer in inside)]


def _chars(state: Json) -> int:
    return len(canonical(state))


_length = Remembered(_chars, 64)  # a state stays the same over many calls


def _within(path: str, other: str) -> bool:
    return f"{path}/".startswith(f"{other}/")


def _entries(state: Json) -> int:
    return sum(len(v) for v in state.values() if isinstance(v, dict | list))
