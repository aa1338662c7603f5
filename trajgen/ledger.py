"""The state of one rollout as JSON under code's control.

Changes come as typed effects (effects.py), addressed by JSON pointer, and are applied all
or none. Old states stay valid, and share with new ones what did not change.

The state's hash is the sum, modulo 2**128, of one hash per node (Bellare and Micciancio's
AdHash), so it is updated from the changed nodes alone, and equal states have equal hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from trajgen.effects import SMALL_COLLECTION, changes, copied, is_large, placed
from trajgen.json_text import canonical
from trajgen.pointers import MISSING, EffectError, excerpt, join, keys_of, lookup, scalars
from trajgen.records import Json
from trajgen.remembered import Remembered

MAX_DEPTH = 128
_HASHES = 2**128


class Ledger:
    """A state, what was touched of it, and its hash; one per rollout."""

    def __init__(self, state: Json = None, initial_hash: int | None = None) -> None:
        self.initial = {} if state is None else state
        self.state = self.initial
        self._hash = node_hash("", self.initial) if initial_hash is None else initial_hash
        self._touched: dict[str, None] = {}
        self._found: dict[tuple[str, ...], list[str]] = {}  # in the state `_found_in`
        self._found_in = self.state

    @property
    def hash(self) -> str:
        """The state's hash, 32 hex digits."""
        return f"{self._hash:032x}"

    def get(self, path: str) -> Json:
        """The value at `path`, or MISSING."""
        return lookup(self.state, path)

    def apply(self, effects: Sequence[Mapping[str, Json]]) -> bool:
        """Apply all `effects` in order, or none; True when the state changed. Raises
        EffectError for the first one that does not fit."""
        state, total = self.state, self._hash
        touched: list[str] = []
        for effect in effects:
            for path, new in changes(state, effect):
                touched.append(path)
                where, old, value = placed(state, path, new)
                total += _sums(where, value) - _sums(where, old)
                state = copied(state, keys_of(where), value)
        total %= _HASHES
        changed = total != self._hash
        self.state, self._hash = state, total
        self.touch(touched)
        return changed

    def fork(self) -> Ledger:
        """A ledger that goes on from here on its own; costs nothing, the state is shared."""
        made = Ledger(self.state, self._hash)
        if self._found_in is self.state:
            made._found = self._found
        return made

    def touch(self, paths: Iterable[str]) -> None:
        """Remember that these parts of the state mattered to the trajectory."""
        self._touched.update(dict.fromkeys(paths))

    def relevant(self, arguments: Json) -> list[str]:
        """Pointers to the entities that the scalars in `arguments` name, collection by
        collection. A large collection is itself none: a row does not hold a database."""
        names = dict.fromkeys(str(v) for v in scalars(arguments) if not isinstance(v, bool))
        if self._found_in is not self.state:
            self._found_in, self._found = self.state, {}
        if (known := self._found.get(key := tuple(names))) is None:
            known = self._found[key] = _named(self.state, names)
        return known.copy()

    def touched_initial(self) -> Json:
        """The touched part of the state as it was before the first step."""
        return excerpt(self.initial, self._touched)

    def touched_final(self) -> Json:
        """The touched part of the state as it is now."""
        return excerpt(self.state, self._touched)


def node_hash(path: str, value: Json) -> int:
    """The sum of the hashes of `value` and all nodes below it, at `path`. Raises EffectError
    below MAX_DEPTH, so that no state is deeper than code can walk."""
    return _sums(path, value) % _HASHES


def _sums(path: str, value: Json) -> int:
    return 0 if value is MISSING else _sum(path, value, path.count("/"))


def _sum(path: str, value: Json, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise EffectError(path[:80], f"nests deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        total = _leaf(path, "{}")
        for key, item in value.items():
            total += _sum(join(path, key), item, depth + 1)
        return total
    if isinstance(value, list):
        total = _leaf(path, "[]")
        for index, item in enumerate(value):
            total += _sum(f"{path}/{index}", item, depth + 1)
        return total
    return _leaf(path, canonical(value))


def _leaf(path: str, text: str) -> int:
    data = f"{path}\0{text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=16).digest())


def _named(state: Json, names: Mapping[str, None]) -> list[str]:
    """Pointers, from `state` on, to the entities that are named so; what one holds is its own."""
    if not isinstance(state, dict):
        return []
    found = [name for name in names if name in state and not is_large(state[name])]
    pointers = [join("", name) for name in found]
    if len(state) > SMALL_COLLECTION:
        return pointers
    for key, value in state.items():
        if isinstance(value, dict) and _may_hold(value, names) and key not in found:
            parent = join("", key)
            pointers += [parent + pointer for pointer in _named(value, names)]
    return pointers


def _may_hold(state: dict[str, Json], names: Mapping[str, None]) -> bool:
    """False where a search of `state` cannot come upon one of `names`. Large collections are
    looked up, not remembered: each write to one makes another."""
    if len(state) > SMALL_COLLECTION:
        return True
    keys = _keys(state)
    return keys is None or not keys.isdisjoint(names)


def _all_keys(state: dict[str, Json]) -> frozenset[str] | None:
    """The keys in `state` and below; None where a large collection is among that."""
    found = set(state)
    for value in state.values():
        if isinstance(value, dict):
            below = None if len(value) > SMALL_COLLECTION else _keys(value)
            if below is None:
                return None
            found |= below
    return frozenset(found)


_keys = Remembered(_all_keys, 2048)  # states share what did not change
