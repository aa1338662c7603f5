"""Which number a text came with first, for millions of texts in eight bytes each.

A text is known by 64 bits of its hash: among a million, two that differ are taken for one in
one of 37 million runs. Which texts share half of them is in files.

Crash rule: nothing outlives the process.
"""

from __future__ import annotations

from array import array
from bisect import bisect
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

from trajgen.rows_by_key import RowsByKey


class Firsts:
    """Texts with the number that each came with first."""

    def __init__(self) -> None:
        self._marks = array("Q")
        self._numbers, self._from = array("i"), array("I")  # a number and the row it begins at
        self._by_mark = RowsByKey()

    def add(self, texts: Iterable[str], number: int) -> None:
        """Remember that `texts` came with `number`, below 2**31."""
        import numpy as np

        row = len(self._marks)
        self._marks.extend(map(mark, texts))
        if len(self._marks) > row:
            self._numbers.append(number)
            self._from.append(row)
            new = np.array(self._marks[row:], np.uint64)
            self._by_mark.add(new >> np.uint64(32), np.arange(row, len(self._marks)))

    def find(self, texts: Sequence[str]) -> list[int | None]:
        """For each text the number that it came with first, or None where it is new."""
        import numpy as np

        asked = np.fromiter(map(mark, texts), np.uint64, len(texts))
        first = np.full(len(texts), len(self._marks))
        for at, rows in self._by_mark.find(asked >> np.uint64(32)):
            same = np.frombuffer(self._marks, np.uint64).take(rows) == asked[at]
            np.minimum.at(first, at[same], rows[same])
        return [self._number(row) for row in first.tolist()]

    def _number(self, row: int) -> int | None:
        known = row < len(self._marks)
        return self._numbers[bisect(self._from, row) - 1] if known else None


def mark(text: str) -> int:
    """64 bits of the hash of `text`."""
    data = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(data)


def distinct(marks: array[int]) -> int:
    """How many different ones there are."""
    import numpy as np

    found: Any = np.sort(np.frombuffer(marks, np.uint64))
    return int(np.count_nonzero(found[1:] != found[:-1])) + bool(len(found))
