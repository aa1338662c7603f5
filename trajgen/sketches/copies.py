"""Many sketches with a label each, and which of them is nearly the same as another.

A conversation of common length is cut into 9 bands: of two that differ in 8 sums, as after two
changed words, at least one band is the same, so no such copy is missed. A long one may differ
in more, so it is cut into 16 smaller bands: up to 15 different sums leave one the same, and
what differs in more is found nearly always.

In memory are links between equal bands and the lowest bit of each sum, which most of what is no
copy differs in; the sums themselves are in a file. That is about 130 bytes a sketch.

Crash rule: the file has no name and goes with its process. What is a copy depends on the
sketches that came before and on their order alone.
"""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from array import array
from binascii import a2b_base64
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from trajgen.durable import disk_errors
from trajgen.sketches.bands import Bands
from trajgen.sketches.sketch import BUCKETS

TWO_WORDS = 8  # pairs that two changed words take away and bring
AT_MOST = 0.13  # of a short conversation two words may be too much to call it a copy
APART = 1.15  # near copies' sizes differ by no larger factor: half of AT_MOST off their sum
SHORT_BANDS, LONG_BANDS = TWO_WORDS + 1, 16
RECENT = 1024  # conversations compared one by one before they are sorted in
_SIZE_BYTES = 2
_FORM_BYTES = _SIZE_BYTES + BUCKETS


class Copies:
    """Sketches with a label each; finds the first one that is nearly the same.

    Nearly the same: a share of at least `at_least` of all pairs in common, or all but two
    words. Raises CommitError when the disk for temporary files fails.
    """

    def __init__(self, at_least: float) -> None:
        import numpy as np

        self.np, self.at_least = np, at_least
        self._sizes, self._labels = array("H"), array("i")
        self._bits = array("Q")  # the lowest bit of each sum, two words a sketch
        self._recent: list[bytes] = []  # sums that are not sorted in yet
        self._sorted = _Sums()
        self._short = Bands(BUCKETS, SHORT_BANDS, self._sorted.read)
        self._long = Bands(BUCKETS, LONG_BANDS, self._sorted.read)
        self._limit = TWO_WORDS * at_least / (1 - at_least) if at_least < 1 else math.inf

    def add(self, sketches: Iterable[str], label: int) -> None:
        """Remember `sketches` under `label`; an empty one is left out."""
        left = iter(filter(None, sketches))
        while texts := list(islice(left, RECENT - len(self._recent))):
            parts = [a2b_base64(text) for text in texts]
            forms = self.np.frombuffer(b"".join(parts), self.np.uint8).reshape(-1, _FORM_BYTES)
            self._sizes.frombytes(forms[:, :_SIZE_BYTES].tobytes())
            self._bits.frombytes(self._lowest(forms[:, _SIZE_BYTES:]).tobytes())
            self._labels.extend([label] * len(parts))
            self._recent += [part[_SIZE_BYTES:] for part in parts]
            if len(self._recent) == RECENT:
                self._sort_in()

    def find(self, text: str) -> int | None:
        """The label of the first near copy that was added, or None."""
        if not text or not self._sizes:
            return None
        form = self.np.frombuffer(a2b_base64(text), self.np.uint8)
        size, mine = int(form[:_SIZE_BYTES].view("<u2")[0]), form[_SIZE_BYTES:]
        most = max(TWO_WORDS, (1 - self.at_least) / self.at_least * size)  # pairs, so buckets too
        low = self._lowest(mine.reshape(1, -1)).view(self.np.uint64)[0]
        for row, sums in self._candidates(size, mine, low, most):
            changed = int(self.np.count_nonzero(sums != mine))
            if changed <= most and self._near(changed, size, self._sizes[row]):
                return self._labels[row]
        return None

    def _candidates(self, size: int, mine: Any, low: Any, most: float) -> Iterator[tuple[int, Any]]:
        """Rows with their sums that share a band, and the recent ones; in order."""
        np, bits = self.np, self._bits
        bands = self._short if size <= self._limit else self._long
        rows = np.array(sorted(bands.sharing(mine)), np.int64)
        if len(rows):
            own = np.frombuffer(bits, np.uint64).reshape(-1, 2)[rows]  # a copy
            rows = rows[np.bitwise_count(own ^ low).sum(axis=1) <= most]
        for row in rows.tolist():
            if bands.share(mine, sums := self._sorted.read([row])[0]):
                yield row, sums
        known = len(self._sizes) - len(self._recent)
        recent = np.array(bits[2 * known :], np.uint64).reshape(-1, 2)
        off = np.bitwise_count(recent ^ low).sum(axis=1)
        for at in np.flatnonzero(off <= most).tolist():
            yield known + at, np.frombuffer(self._recent[at], np.uint8)

    def _near(self, buckets: int, size: int, other: int) -> bool:
        if buckets == BUCKETS:
            return False
        pairs = max(-BUCKETS * math.log(1 - buckets / BUCKETS), abs(size - other))
        union = (size + other + pairs) / 2
        two_words = buckets <= TWO_WORDS and pairs <= AT_MOST * union
        return two_words or pairs <= (1 - self.at_least) * union

    def _lowest(self, sums: Any) -> Any:
        """(rows, 16) bytes: the lowest bit of each sum."""
        return self.np.packbits(sums & 1, axis=1)

    def _sort_in(self) -> None:
        """Index the recent rows, each where rows of like size will look for it."""
        np, rows = self.np, len(self._recent)
        sums = np.frombuffer(b"".join(self._recent), np.uint8).reshape(-1, BUCKETS)
        numbers = np.arange(len(self._sizes) - rows, len(self._sizes))
        sizes = np.array(self._sizes[-rows:])
        self._sorted.append(sums)
        short, long = sizes <= self._limit * APART, sizes > self._limit / APART
        self._short.add(numbers[short], sums[short])
        self._long.add(numbers[long], sums[long])
        self._recent = []


class _Sums:
    """Sums of any number of sketches in a file without a name."""

    def __init__(self) -> None:
        self._file = -1

    def append(self, sums: Any) -> None:
        if self._file < 0:
            self._file = _nameless()
            weakref.finalize(self, os.close, self._file)
        data = memoryview(sums.tobytes())
        with disk_errors(_place()):
            while data:
                data = data[os.write(self._file, data) :]

    def read(self, rows: Any) -> Any:
        """(rows, BUCKETS) bytes of the sketches numbered `rows`, in rising order."""
        import numpy as np

        first, last = int(rows[0]), int(rows[-1])
        with disk_errors(_place()):
            data = os.pread(self._file, (last + 1 - first) * BUCKETS, first * BUCKETS)
        read = np.frombuffer(data, np.uint8).reshape(-1, BUCKETS)
        return read if len(rows) == len(read) else read[np.asarray(rows) - first]


def _nameless() -> int:
    with disk_errors(_place()):
        file, name = tempfile.mkstemp()
        os.unlink(name)
        return file


def _place() -> Path:
    return Path(tempfile.gettempdir(), "sketches")
