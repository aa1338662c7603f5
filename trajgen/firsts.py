"""Which number a text came with first, for millions of texts in about 20 to 40 bytes each.

A text is known by 64 bits of its hash: among a million, two that differ are taken for one in
one of 37 million runs.

Crash rule: nothing is kept but in memory.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b

FREE = 0  # in a place that is not taken
FULL = 0.7  # share of places taken, after which there are twice as many


class Firsts:
    """Texts with the number that each came with first, in a table with open addresses."""

    def __init__(self) -> None:
        self._n = 0
        self._keys, self._numbers = _places(256)

    def __len__(self) -> int:
        return self._n

    def first(self, text: str, number: int) -> int:
        """The number that `text` came with first; `number`, from 0 to 2**31, where it is new."""
        data = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        key = int.from_bytes(data) or FREE + 1
        keys, mask = self._keys, len(self._keys) - 1
        place = key & mask
        while (there := keys[place]) != key:
            if there == FREE:
                self._take(place, key, number)
                return number
            place = (place + 1) & mask
        return self._numbers[place]

    def _take(self, place: int, key: int, number: int) -> None:
        self._keys[place], self._numbers[place] = key, number
        self._n += 1
        if self._n > FULL * len(self._keys):
            self._grow()

    def _grow(self) -> None:
        keys, numbers = _places(2 * len(self._keys))
        mask = len(keys) - 1
        for key, number in zip(self._keys, self._numbers, strict=True):
            if key != FREE:
                place = key & mask
                while keys[place] != FREE:
                    place = (place + 1) & mask
                keys[place], numbers[place] = key, number
        self._keys, self._numbers = keys, numbers


def _places(count: int) -> tuple[array[int], array[int]]:
    """`count` free places, a power of two."""
    return array("Q", bytes(8 * count)), array("i", bytes(4 * count))
