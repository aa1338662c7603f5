"""The part of the state that a call touches, within what a prompt has room for.

What the call names comes first, then what that refers to (an order's customer, an item's
product), one step away. Of an entity that is too large its plain fields are shown and
whatever in it is named. A database is never shown whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trajgen.ids import canonical
from trajgen.ledger import Ledger
from trajgen.pointers import excerpt, join, lookup, scalars
from trajgen.records import Json
from trajgen.shapes import is_id

STATE_CHARS = 6000  # of state shown with one call
ENTRIES = 500  # a state with more is large, without its text being made


def shown_state(ledger: Ledger, arguments: Json) -> Json:
    """What of the ledger's state to show with a call of these `arguments`; None without a
    state, all of it when it is small and the call names nothing."""
    state = ledger.state
    if not state:
        return None
    named = ledger.relevant(arguments)
    if not named and _entries(state) <= ENTRIES and len(canonical(state)) < STATE_CHARS:
        return state
    kept: list[str] = []
    room = STATE_CHARS - 2
    for paths in (named, _referred(ledger, named)):
        for path in paths:
            for part in _parts(state, path, [arguments, *(lookup(state, p) for p in named)]):
                size = len(canonical(excerpt(state, [part])))
                if size <= room:
                    kept.append(part)
                    room -= size
    return excerpt(state, kept)


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


def _parts(state: Json, path: str, namers: Iterable[Json]) -> list[str]:
    """`path` itself or, when it would fill the prompt alone, its plain fields and what
    `namers` name in it."""
    entity = lookup(state, path)
    if not isinstance(entity, dict) or len(canonical(entity)) <= STATE_CHARS // 2:
        return [path]
    fields = [join(path, k) for k, v in entity.items() if not isinstance(v, dict | list)]
    inside = Ledger(entity, 0).relevant(list(dict.fromkeys(scalars(list(namers)))))
    return [*fields, *(f"{path}{pointer}" for pointer in inside)]


def _within(path: str, other: str) -> bool:
    return f"{path}/".startswith(f"{other}/")


def _entries(state: Json) -> int:
    return sum(len(v) for v in state.values() if isinstance(v, dict | list))
