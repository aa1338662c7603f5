"""Many sketches with a label each, and which of them is nearly the same as another.

A conversation of common length is cut into 9 bands: of two that differ in 8 sums, as after two
changed words, at least one band is the same, so no such copy is missed. A long one may differ
in more, so it is cut into 16 smaller bands: up to 15 different sums leave one the same, and
what differs in more is found nearly always.

In memory is the lowest bit of each sum, which most of what is no copy differs in: 18 bytes a
sketch. The sums themselves and the rows that share a band are in files.

Crash rule: the files have no name and go with their process. What is a copy depends on the
sketches that came before and on their order alone.
"""

from __future__ import annotations

import math
from array import array
from binascii import a2b_base64
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from trajgen.rows_by_key import RowsByKey
from trajgen.scratch import ScratchFile
from trajgen.sketches.bands import Bands
from trajgen.sketches.sketch import BUCKETS

TWO_WORDS = 8  # pairs that two changed words take away and bring
AT_MOST = 0.13  # of a short conversation two words may be too much to call it a copy
APART = 1.15  # near copies' sizes differ by no larger factor: half of AT_MOST off their sum
SHORT_BANDS, LONG_BANDS = TWO_WORDS + 1, 16
RECENT = 1024  # conversations compared one by one before they are sorted in
AT_ONCE = 32  # sketches that are compared with all recent ones at a time
NONE = 1 << 32  # above every row
_SIZE_BYTES = 2
_FORM_BYTES = _SIZE_BYTES + BUCKETS


@dataclass(frozen=True, slots=True)
class _Forms:
    """Sketches, an array of each thing about them."""

    sizes: Any  # pairs
    sums: Any  # (sketches, BUCKETS) bytes
    bits: Any  # (sketches, 2) words: the lowest bit of each sum


class Copies:
    """Sketches with a label each; finds the first one that is nearly the same.

    Nearly the same: a share of at least `at_least` of all pairs in common, or all but two
    words. Raises CommitError when the disk for temporary files fails.
    """

    def __init__(self, at_least: float) -> None:
        import numpy as np

        self.np, self.at_least = np, at_least
        self._labels, self._from = array("i"), array("I")  # a label and the row it begins at
        self._sizes = array("H")
        self._bits = array("Q")  # the lowest bit of each sum, two words a sketch
        self._recent = np.zeros((RECENT, BUCKETS), np.uint8)  # sums that are not sorted in yet
        self._sums: ScratchFile | None = None  # of those that are
        self._sorted = 0
        self._short, self._long = Bands(BUCKETS, SHORT_BANDS), Bands(BUCKETS, LONG_BANDS)
        self._by_short, self._by_long = RowsByKey(), RowsByKey()
        self._limit = TWO_WORDS * at_least / (1 - at_least) if at_least < 1 else math.inf
        pairs = [-BUCKETS * math.log(1 - n / BUCKETS) for n in range(BUCKETS)]
        self._pairs = np.array([*pairs, 0.0])  # that so many different sums stand for

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, sketches: Iterable[str], label: int) -> None:
        """Remember `sketches` under `label`; an empty one is left out."""
        left = iter(filter(None, sketches))
        while texts := list(islice(left, RECENT - (recent := len(self) - self._sorted))):
            forms = _forms(texts)
            if not self._labels or self._labels[-1] != label:
                self._labels.append(label)
                self._from.append(len(self))
            self._sizes.frombytes(forms.sizes.tobytes())
            self._bits.frombytes(forms.bits.tobytes())
            self._recent[recent : recent + len(texts)] = forms.sums
            if recent + len(texts) == RECENT:
                self._sort_in()

    def find(self, text: str) -> int | None:
        """The label of the first near copy that was added, or None."""
        return self.find_all([text])[0]

    def find_all(self, texts: Sequence[str]) -> list[int | None]:
        """`find` for each of many, which is faster than one by one."""
        found: list[int | None] = [None] * len(texts)
        places = _filled(texts) if len(self) else []
        for start in range(0, len(places), RECENT):
            some = places[start : start + RECENT]
            firsts = self._first_rows(_forms([texts[place] for place in some]))
            for place, row in zip(some, firsts.tolist(), strict=True):
                if row != NONE:
                    found[place] = self._labels[bisect(self._from, row) - 1]
        return found

    def repeats(self, texts: Sequence[str]) -> list[int | None]:
        """For each sketch the place of the first of `texts` that it is nearly the same as, comes
        after, and that is no such copy itself; or None."""
        np, places = self.np, _filled(texts)
        found: list[int | None] = [None] * len(texts)
        forms, new = _forms([texts[place] for place in places]), list[int]()
        for start in range(0, len(places), AT_ONCE):
            some = np.arange(start, min(start + AT_ONCE, len(places)))
            of: dict[int, int] = {}
            for before in (np.array(new, np.int64), some):
                for one, other in zip(*self._alike(forms, some, forms, before), strict=True):
                    if other < one and other not in of:
                        of.setdefault(int(one), int(other))
            new += [one for one in some.tolist() if one not in of]
            for one, other in of.items():
                found[places[one]] = places[other]
        return found

    def _first_rows(self, asked: _Forms) -> Any:
        """The first row that each one is nearly the same as, or NONE."""
        np = self.np
        first, long = np.full(len(asked.sizes), NONE), asked.sizes > self._limit
        for bands, index, such in (
            (self._short, self._by_short, ~long),
            (self._long, self._by_long, long),
        ):
            places = np.flatnonzero(such)
            keys, whose = bands.keys(asked.sums.take(places, axis=0), places)
            for at, rows in index.find(keys):
                ones = whose.take(at)
                near = self._near_sorted(asked, ones, rows, first)
                np.minimum.at(first, ones[near], rows[near])
        recent, left = self._recent_forms(), np.flatnonzero(first == NONE)
        for start in range(0, len(left), AT_ONCE):
            some, all_ = left[start : start + AT_ONCE], np.arange(len(recent.sizes))
            ones, others = self._alike(asked, some, recent, all_)
            np.minimum.at(first, ones, others + self._sorted)
        return first

    def _near_sorted(self, asked: _Forms, ones: Any, rows: Any, first: Any) -> Any:
        """The places of near copies among pairs of an asked one and a row that is sorted in, but
        for rows that come after the `first` that is known."""
        np = self.np
        bits = np.frombuffer(self._bits, np.uint64).reshape(-1, 2).take(rows, axis=0)
        maybe = _off(bits, asked.bits.take(ones, axis=0)) <= self._most(asked.sizes.take(ones))
        places = np.flatnonzero(maybe & (rows < first.take(ones)))
        if not len(places) or self._sums is None:
            return places
        data = self._sums.read((row * BUCKETS, BUCKETS) for row in rows[places].tolist())
        sums = np.frombuffer(data, np.uint8).reshape(-1, BUCKETS)
        sizes = np.frombuffer(self._sizes, np.uint16).take(rows[places])
        return places[self._near(asked, ones[places], sums, sizes)]

    def _alike(self, asked: _Forms, ones: Any, known: _Forms, others: Any) -> tuple[Any, Any]:
        """The pairs of `ones` and `others` that are near copies, in order."""
        np = self.np
        off = _off(asked.bits.take(ones, axis=0)[:, None], known.bits.take(others, axis=0))
        at, to = np.nonzero(off <= self._most(asked.sizes.take(ones))[:, None])
        ones, others = ones[at], others[to]
        sums, sizes = known.sums.take(others, axis=0), known.sizes.take(others)
        near = self._near(asked, ones, sums, sizes)
        return ones[near], others[near]

    def _near(self, asked: _Forms, ones: Any, sums: Any, sizes: Any) -> Any:
        """Whether each pair, of an asked one and a sketch of such sums and size, is nearly the
        same."""
        np = self.np
        changed = np.count_nonzero(asked.sums.take(ones, axis=0) != sums, axis=1)
        size, other = asked.sizes.take(ones).astype(np.int64), sizes.astype(np.int64)
        pairs = np.maximum(self._pairs.take(changed), abs(size - other))
        union = (size + other + pairs) / 2
        two_words = (changed <= TWO_WORDS) & (pairs <= AT_MOST * union)
        few = (changed < BUCKETS) & (changed <= self._most(size))
        return few & (two_words | (pairs <= (1 - self.at_least) * union))

    def _most(self, sizes: Any) -> Any:
        """How many sums of a near copy may differ: no more than pairs do."""
        return self.np.maximum(TWO_WORDS, (1 - self.at_least) / self.at_least * sizes)

    def _recent_forms(self) -> _Forms:
        np, count = self.np, len(self) - self._sorted
        bits = np.array(self._bits[2 * self._sorted :], np.uint64).reshape(-1, 2)
        return _Forms(np.array(self._sizes[self._sorted :]), self._recent[:count], bits)

    def _sort_in(self) -> None:
        """Index the recent rows, each where rows of like size will look for it."""
        np = self.np
        self._sums = self._sums or ScratchFile()
        self._sums.append(self._recent.tobytes())
        rows, sizes = np.arange(self._sorted, len(self)), np.array(self._sizes[self._sorted :])
        for bands, index, such in (
            (self._short, self._by_short, sizes <= self._limit * APART),
            (self._long, self._by_long, sizes > self._limit / APART),
        ):
            index.add(*bands.keys(self._recent[such], rows[such]))
        self._sorted = len(self)


def _filled(texts: Sequence[str]) -> list[int]:
    """The places of those that are not empty."""
    return [place for place, text in enumerate(texts) if text]


def _forms(texts: Sequence[str]) -> _Forms:
    import numpy as np

    data = np.frombuffer(b"".join(map(a2b_base64, texts)), np.uint8).reshape(-1, _FORM_BYTES)
    sizes = np.ascontiguousarray(data[:, :_SIZE_BYTES]).view("<u2")[:, 0]
    sums = np.ascontiguousarray(data[:, _SIZE_BYTES:])
    return _Forms(sizes, sums, np.packbits(sums & 1, axis=1).view(np.uint64))


def _off(bits: Any, others: Any) -> Any:
    """In how many bits pairs of words differ, 128 at most."""
    import numpy as np

    counts = np.bitwise_count(bits ^ others)
    return counts[..., 0] + counts[..., 1]
