"""What is made of an object that never changes, made once and known by the object's identity.

Comparing or hashing a schema, a list of tools or a conversation costs as much as what is made
of it; they are handed on, never copied, so identity is enough.

Crash rule: nothing is kept but in memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from operator import is_
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """`make`, called once for each object among the last `most`, which are kept alive."""

    def __init__(self, make: Callable[[K], V], most: int) -> None:
        self._make, self._most = make, most
        self._known: OrderedDict[int, tuple[K, V]] = OrderedDict()

    def __call__(self, key: K) -> V:
        """What `make` gives for this very object: shared, so it is not to be changed."""
        kept = self._known.get(id(key))
        if kept is None or kept[0] is not key:
            kept = self._known[id(key)] = key, self._make(key)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return kept[1]


class Latest(Generic[V]):
    """`make`, not called again for the very objects of the last time, which are kept alive."""

    def __init__(self, make: Callable[..., V]) -> None:
        self._make = make
        self._last: tuple[tuple[Any, ...], V] | None = None

    def __call__(self, *given: Any) -> V:
        """What `make` gives: shared, so it is not to be changed."""
        last = self._last
        if last is not None and all(map(is_, given, last[0])):
            return last[1]
        made = self._make(*given)
        self._last = given, made
        return made
