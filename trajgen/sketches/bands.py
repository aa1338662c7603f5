"""Which of many sketches share a band with another one.

A sketch is cut into bands. For each band there is a table of buckets, and from each sketch a
link leads to the one that came into its bucket before it. So a sketch costs 8 bytes a band and
finding takes as many steps as there are sketches in its buckets, however many there are in all.

Crash rule: nothing is kept but in memory; what is in a bucket depends on nothing but the
sketches, so the same ones are found again after a crash.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Any

FIRST_SIZE = 256  # buckets of a new table
LOAD = 4  # sketches a bucket before the tables grow
PART = 8192  # sketches that are sorted in at a time when the tables grow
_MIX = 0x9E3779B97F4A7C15


class Bands:
    """Rows by the bands of their sums; `sums_of(rows)` gives the sums of rows in order."""

    def __init__(self, buckets: int, bands: int, sums_of: Callable[[Any], Any]) -> None:
        import numpy as np

        self.np, self.bands, self._sums_of = np, bands, sums_of
        self.starts = np.array([band * buckets // bands for band in range(bands)])
        factors = [(2 * n + 1) * _MIX**2 % 2**64 | 1 for n in range(1, buckets + 1)]
        self._factors = np.array(factors, np.uint64)
        self._rows = array("I")
        self._links = array("I")  # (rows, bands): one more than the place of the one before
        self._size = FIRST_SIZE
        self._heads = np.zeros((bands, self._size), np.uint32)  # one more than the last place

    def add(self, rows: Any, sums: Any) -> None:
        """Sort in `rows`, whose sums are (rows, buckets) bytes; later rows have higher numbers."""
        self._rows.frombytes(rows.astype(self.np.uint32).tobytes())
        self._links.frombytes(bytes(4 * self.bands * len(rows)))
        if len(self._rows) > LOAD * self._size:
            self._grow()
        else:
            self._sort_in(len(self._rows) - len(rows), sums)

    def sharing(self, sums: Any) -> set[int]:
        """The rows in a bucket with `sums`; one may be there by chance, with no band in common."""
        found: set[int] = set()
        where, filled = self._where(sums.reshape(1, -1))
        rows, links, bands = self._rows, self._links, self.bands
        for band, bucket, full in zip(range(bands), where[0].tolist(), filled[0], strict=True):
            place = int(self._heads[band, bucket]) if full else 0
            while place:
                found.add(rows[place - 1])
                place = links[(place - 1) * bands + band]
        return found

    def share(self, one: Any, other: Any) -> bool:
        """Whether two sketches have a band in common that is not empty."""
        np = self.np
        equal = np.logical_and.reduceat(one == other, self.starts)
        return bool((equal & np.logical_or.reduceat(one != 0, self.starts)).any())

    def _where(self, sums: Any) -> tuple[Any, Any]:
        """(rows, bands): the bucket of each band, and whether the band is not empty."""
        np = self.np
        keys = np.add.reduceat(sums * self._factors, self.starts, axis=1)
        keys = (keys ^ (keys >> np.uint64(29))) * np.uint64(_MIX)
        shift = np.uint64(64 - (self._size.bit_length() - 1))
        return keys >> shift, np.logical_or.reduceat(sums != 0, self.starts, axis=1)

    def _sort_in(self, first: int, sums: Any) -> None:
        """Link the sketches at the places from `first` on into their buckets, in order."""
        np = self.np
        where, filled = self._where(sums)
        links = np.frombuffer(self._links, np.uint32).reshape(-1, self.bands)
        for band in range(self.bands):
            places = np.flatnonzero(filled[:, band])
            buckets = where[places, band].astype(np.int64)
            order = np.argsort(buckets, kind="stable")
            buckets, places = buckets[order], places[order] + first
            before = self._heads[band, buckets]
            again = np.flatnonzero(buckets[1:] == buckets[:-1])
            before[again + 1] = places[again] + 1
            links[places, band] = before
            last = np.append(buckets[1:] != buckets[:-1], True)[: len(buckets)]
            self._heads[band, buckets[last]] = places[last] + 1

    def _grow(self) -> None:
        """Larger tables, into which all is sorted anew, a part at a time."""
        np = self.np
        while len(self._rows) > LOAD * self._size:
            self._size *= 2
        self._heads = np.zeros((self.bands, self._size), np.uint32)
        for first, rows in self._parts():
            self._sort_in(first, self._sums_of(rows))

    def _parts(self) -> Iterator[tuple[int, Any]]:
        for first in range(0, len(self._rows), PART):
            yield first, self.np.array(self._rows[first : first + PART])
