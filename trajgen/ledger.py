"""The state of one rollout as JSON under code's control.

Changes come as typed effects, addressed by JSON pointer (RFC 6901), and are applied all
or none. Old states stay valid: an update copies only the path it changes, so a database
of megabytes is shared by every rollout that starts from it.

    set        {"path", "value"}  replace what is there by a value of the same JSON type
    add        {"path", "value"}  a new key of an object
    remove     {"path"}           a key or list item that is there
    increment  {"path", "value"}  add to a number
    append     {"path", "value"}  one more item of a list
    move       {"path", "value"}  value is the pointer to move to; "/list/-" is its end

The state's hash is the sum, modulo 2**128, of one hash per node (Bellare and Micciancio's
AdHash), so it is updated from the changed nodes alone, and equal states have equal hashes.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from trajgen.ids import canonical
from trajgen.records import Json

OPS = ("set", "add", "remove", "increment", "append", "move")
MISSING: Any = object()
SMALL_COLLECTION = 64  # one this small is searched for nested entities; a larger one is none
MAX_DEPTH = 128
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_BAD_ESCAPE = re.compile(r"~(?![01])")


class EffectError(ValueError):
    """An effect that does not fit the state: `path` is where, the text says why."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path or '/'}: {why}")
        self.path = path


class Ledger:
    """A state, what was touched of it, and its hash; one per rollout."""

    def __init__(self, state: Json = None, initial_hash: int | None = None) -> None:
        self.initial = {} if state is None else state
        self.state = self.initial
        self._hash = node_hash("", self.initial) if initial_hash is None else initial_hash
        self._touched: dict[str, None] = {}

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
            for path, new in _changes(state, effect):
                state, total = _replace(state, path, new, total)
                touched.append(path)
        changed = total != self._hash
        self.state, self._hash = state, total
        self.touch(touched)
        return changed

    def fork(self) -> Ledger:
        """A ledger that goes on from here on its own; costs nothing, the state is shared."""
        return Ledger(self.state, self._hash)

    def touch(self, paths: Iterable[str]) -> None:
        """Remember that these parts of the state mattered to the trajectory."""
        self._touched.update(dict.fromkeys(paths))

    def relevant(self, arguments: Json) -> list[str]:
        """Pointers to the entities that the scalars in `arguments` name, collection by
        collection. A large collection is itself none: a row does not hold a database."""
        names = dict.fromkeys(str(v) for v in scalars(arguments) if not isinstance(v, bool))
        return list(_named(self.state, "", names))

    def touched_initial(self) -> Json:
        """The touched part of the state as it was before the first step."""
        return excerpt(self.initial, self._touched)

    def touched_final(self) -> Json:
        """The touched part of the state as it is now."""
        return excerpt(self.state, self._touched)


def split(path: str) -> list[str]:
    """The keys of a JSON pointer. Raises EffectError when it is none."""
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise EffectError(str(path), "not a JSON pointer (it must begin with '/')")
    if _BAD_ESCAPE.search(path):
        raise EffectError(path, "not a JSON pointer ('~' in a key is written ~0, '/' is ~1)")
    return [key.replace("~1", "/").replace("~0", "~") for key in path.split("/")[1:]]


def join(parent: str, key: str | int) -> str:
    """The pointer of `key` below `parent`."""
    return f"{parent}/{str(key).replace('~', '~0').replace('/', '~1')}"


def lookup(state: Json, path: str) -> Json:
    """The value at `path`, or MISSING."""
    for key in split(path):
        state = _child(state, key)
        if state is MISSING:
            return MISSING
    return state


def overlay(base: Json, patch: Json) -> Json:
    """`base` with `patch`, if there is one, laid over it: objects merge key by key, anything
    else replaces; so does a null inside the patch."""
    if not (isinstance(base, dict) and isinstance(patch, dict)):
        return base if patch is None else patch
    return base | {k: v if v is None else overlay(base.get(k), v) for k, v in patch.items()}


CONDITIONS = ("equals", "not_equals", "exists", "contains", "at_least", "at_most")


def is_condition(value: Json) -> bool:
    """Whether `value` is one condition of a goal, as `holds` takes it."""
    path = value.get("path") if isinstance(value, dict) else None
    if not isinstance(path, str) or len(tests := set(value) - {"path"}) != 1:
        return False
    try:
        split(path)
    except EffectError:
        return False
    return tests <= set(CONDITIONS)


def holds(state: Json, condition: Mapping[str, Json]) -> bool:
    """Whether `state` fulfils one condition of a goal.

    A condition is `{"path": pointer, <test>: operand}` with one test of: equals,
    not_equals, exists (operand true or false), contains, at_least, at_most. An operand of
    the wrong type does not hold. Raises EffectError when `path` is no pointer.
    """
    value = lookup(state, condition["path"])
    test, operand = next((k, v) for k, v in condition.items() if k != "path")
    if test == "exists":
        return (value is not MISSING) is operand
    if value is MISSING:
        return test == "not_equals"
    if test in ("equals", "not_equals"):
        return equal(value, operand) == (test == "equals")
    if test == "contains":
        return _contains(value, operand)
    if not (_is_number(value) and _is_number(operand)):
        return False
    return bool(value >= operand if test == "at_least" else value <= operand)


def equal(left: Json, right: Json) -> bool:
    """Whether two JSON values are the same: 10 is 10.0, true is not 1."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(v, right[k]) for k, v in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return json_type(left) == json_type(right) and bool(left == right)


def scalars(value: Json) -> Iterator[Json]:
    """Every string, number and boolean inside `value`, keys left out."""
    if isinstance(value, dict):
        for item in value.values():
            yield from scalars(item)
    elif isinstance(value, list):
        for item in value:
            yield from scalars(item)
    elif value is not None:
        yield value


def json_type(value: Json) -> str:
    """The JSON type's name; a boolean is not a number."""
    if isinstance(value, bool):
        return "boolean"
    names = {dict: "object", list: "array", str: "string", int: "number", float: "number"}
    return names.get(type(value), "null")


def excerpt(state: Json, paths: Iterable[str]) -> Json:
    """`state` reduced to `paths`; a list on the way is kept whole, a missing path left out."""
    result: dict[str, Json] = {}
    for path in sorted(paths, key=lambda p: p.count("/")):
        _keep(state, result, split(path))
    return result


def node_hash(path: str, value: Json) -> int:
    """The sum of the hashes of `value` and all nodes below it, at `path`. Raises EffectError
    below MAX_DEPTH, so that no state is deeper than code can walk."""
    if path.count("/") > MAX_DEPTH:
        raise EffectError(path[:80], f"nests deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        inner = sum(node_hash(join(path, k), v) for k, v in value.items())
        return (_leaf(path, "{}") + inner) % 2**128
    if isinstance(value, list):
        inner = sum(node_hash(join(path, i), v) for i, v in enumerate(value))
        return (_leaf(path, "[]") + inner) % 2**128
    return _leaf(path, canonical(value))


def _leaf(path: str, text: str) -> int:
    data = f"{path}\0{text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=16).digest())


def _is_number(value: Json) -> bool:
    return json_type(value) == "number"


def _is_large(value: Json) -> bool:
    return isinstance(value, dict | list) and len(value) > SMALL_COLLECTION


def _contains(value: Json, operand: Json) -> bool:
    if isinstance(value, list):
        return any(equal(item, operand) for item in value)
    return isinstance(value, str | dict) and isinstance(operand, str) and operand in value


def _child(value: Json, key: str) -> Json:
    if isinstance(value, dict):
        return value.get(key, MISSING)
    if isinstance(value, list) and _INDEX.fullmatch(key):
        return value[int(key)] if int(key) < len(value) else MISSING
    return MISSING


def _changes(state: Json, effect: Mapping[str, Json]) -> list[tuple[str, Json]]:
    """What an effect means for `state`: (path, new value) pairs; MISSING removes."""
    op, path, value = effect.get("op"), effect.get("path", ""), effect.get("value", MISSING)
    if op not in OPS:
        raise EffectError(str(path), f"unknown effect {op!r} (known: {', '.join(OPS)})")
    if not split(path):
        raise EffectError(path, f"cannot {op} the whole state; name a part of it")
    if value is MISSING and op != "remove":
        raise EffectError(path, f"{op} needs a value")
    old = lookup(state, path)
    if op != "add" and old is MISSING:
        raise EffectError(path, f"nothing is there to {op}")
    if op in ("set", "remove", "move") and _is_large(old):
        raise EffectError(path, f"cannot {op} all {len(old)} entries; name the one that is meant")
    if op == "set":
        _same_type(path, old, value)
    elif op == "add":
        _free(state, path)
    elif op == "remove":
        value = MISSING
    elif op == "increment":
        if not (_is_number(old) and _is_number(value)):
            raise EffectError(path, f"cannot add {json_type(value)} to {json_type(old)}")
        value = _sum(path, old, value)
    elif op == "append":
        return [(path, _appended(path, old, value))]
    else:
        return _moved(state, path, old, value)
    return [(path, value)]


def _sum(path: str, old: Json, value: Json) -> Json:
    try:
        if math.isfinite(total := old + value):
            return total
    except OverflowError:
        pass
    raise EffectError(path, "the sum is too large for a number")


def _same_type(path: str, old: Json, new: Json) -> None:
    types = {json_type(old), json_type(new)} - {"null"}
    if len(types) > 1:
        raise EffectError(path, f"holds {json_type(old)}, cannot become {json_type(new)}")


def _free(state: Json, path: str) -> None:
    parent = lookup(state, path.rpartition("/")[0])
    if not isinstance(parent, dict):
        raise EffectError(path, "its parent is no object of the state")
    if lookup(state, path) is not MISSING:
        raise EffectError(path, "is there already")


def _appended(path: str, old: Json, value: Json) -> list[Json]:
    if not isinstance(old, list):
        raise EffectError(path, f"holds {json_type(old)}, not a list to append to")
    if old:
        _same_type(path, old[-1], value)
    return [*old, value]


def _moved(state: Json, path: str, old: Json, target: Json) -> list[tuple[str, Json]]:
    split(target)
    if target == path or f"{target}/".startswith(f"{path}/"):
        raise EffectError(path, f"cannot move into itself ({target})")
    removal = (path, MISSING)
    parent = target.rpartition("/")[0]
    if target.endswith("/-"):
        if parent == path.rpartition("/")[0]:
            raise EffectError(path, "is in that list already")
        return [(parent, _appended(parent, lookup(state, parent), old)), removal]
    _free(state, target)
    return [(target, old), removal]


def _replace(state: Json, path: str, new: Json, total: int) -> tuple[Json, int]:
    """`state` with `new` at `path` (MISSING: without it), and the hash moved along."""
    parent_path, key = path.rpartition("/")[0], split(path)[-1]
    parent = lookup(state, parent_path)
    if isinstance(parent, list) and new is MISSING:  # the items behind it move up
        index = int(key)
        return _replace(state, parent_path, parent[:index] + parent[index + 1 :], total)
    old = _child(parent, key)
    if old is not MISSING:
        total -= node_hash(path, old)
    if new is not MISSING:
        total += node_hash(path, new)
    return _copied(state, split(path), new), total % 2**128


def _copied(state: Json, keys: list[str], new: Json) -> Json:
    """A copy of `state` along `keys` with `new` at the end; the rest is shared."""
    if not keys:
        return new
    key, rest = keys[0], keys[1:]
    if isinstance(state, list):
        index = int(key)
        return [*state[:index], _copied(state[index], rest, new), *state[index + 1 :]]
    if not rest and new is MISSING:
        return {k: v for k, v in state.items() if k != key}
    return {**state, key: _copied(state.get(key), rest, new)}


def _named(state: Json, path: str, names: Mapping[str, None]) -> Iterator[str]:
    if not isinstance(state, dict):
        return
    found = [name for name in names if name in state and not _is_large(state[name])]
    yield from (join(path, name) for name in found)
    if len(state) > SMALL_COLLECTION:
        return
    for key, value in state.items():
        if key not in found:
            yield from _named(value, join(path, key), names)


def _keep(state: Json, result: dict[str, Json], keys: list[str]) -> None:
    for depth, key in enumerate(keys):
        child = _child(state, key)
        if child is MISSING:
            return
        if not isinstance(child, dict) or depth == len(keys) - 1:
            result[key] = child
            return
        if key not in result:
            result[key] = {}
        elif result[key] is child:  # kept whole already
            return
        state, result = child, result[key]
