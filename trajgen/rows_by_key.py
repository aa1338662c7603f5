"""Which rows came under a key, for tens of millions of rows in next to no memory.

Pairs of a key and a row are sorted into parts, each at least four times the next, so that there
are few; a new part is merged into those before it that are not. The large ones are in files,
and of these only every 512th pair and a few bits for each are in memory.

Crash rule: nothing outlives the process. What is found depends on what was added alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from trajgen.scratch import ScratchFile

RATIO = 4  # a part to the next one, at least
IN_MEMORY = 1 << 17  # pairs of the largest part that is in memory: 1 MB
BLOCK = 512  # pairs: 4 kB
WINDOW = 256 * BLOCK  # pairs that are read at a time
BITS = 4  # to 8 for each pair in a file: 1 in 5 to 8 of other keys is looked for in vain
MOST = 1 << 16  # pairs that are found at a time
_ROW = 0xFFFFFFFF


class RowsByKey:
    """Rows, numbers below 2**32, by 32-bit keys; a key may have many, and a row."""

    def __init__(self) -> None:
        self._new: list[Any] = []
        self._parts: list[_Part] = []

    def add(self, keys: Any, rows: Any) -> None:
        """Remember each of `rows` under the key in its place."""
        import numpy as np

        if len(keys):
            self._new.append(keys.astype(np.uint64) << np.uint64(32) | rows.astype(np.uint64))
        if sum(map(len, self._new)) >= IN_MEMORY:
            self._sort_in()

    def find(self, keys: Any) -> Iterator[tuple[Any, Any]]:
        """(places in `keys`, rows) that belong together, some at a time, every one once."""
        import numpy as np

        self._sort_in()
        order = np.argsort(keys, kind="stable")
        first = keys[order].astype(np.uint64) << np.uint64(32)
        for part in self._parts:
            for asked, pairs in _found(part, first):
                yield order[asked], (pairs & np.uint64(_ROW)).astype(np.int64)

    def _sort_in(self) -> None:
        import numpy as np

        if not self._new:
            return
        new = _Array(np.sort(np.concatenate(self._new)))
        pairs, kept = len(new), len(self._parts)
        while kept and len(self._parts[kept - 1]) < RATIO * pairs:
            kept -= 1
            pairs += len(self._parts[kept])
        self._parts[kept:] = [_merged([*self._parts[kept:], new], pairs)]
        self._new = []


class _Part(Protocol):
    """Sorted pairs, the key in the upper half, in blocks whose first pairs are `firsts`."""

    firsts: Any

    def __len__(self) -> int: ...

    def blocks(self, start: int, end: int) -> Any:
        """The pairs of the blocks from `start` up to `end`."""

    def may_hold(self, pairs: Any) -> Any:
        """Whether each key may be here."""

    def around(self, first: Any, last: Any) -> Iterator[tuple[int, int, Any]]:
        """All pairs between each `first` and its `last`, and more, in pieces that are in order:
        for which of them, from one up to another, a piece is, and the piece."""


class _Array:
    """A small part, in memory."""

    def __init__(self, pairs: Any) -> None:
        self._pairs, self.firsts = pairs, pairs[::BLOCK]

    def __len__(self) -> int:
        return len(self._pairs)

    def blocks(self, start: int, end: int) -> Any:
        return self._pairs[start * BLOCK : end * BLOCK]

    def may_hold(self, pairs: Any) -> Any:
        import numpy as np

        return np.ones(len(pairs), np.bool_)

    def around(self, first: Any, last: Any) -> Iterator[tuple[int, int, Any]]:
        yield 0, len(first), self._pairs


class _Filed:
    """A large part, in a file. In memory is which beginnings its keys have, a bit for each that
    is possible."""

    def __init__(self, pieces: Iterator[Any], pairs: int) -> None:
        import numpy as np

        self._file, self._len, firsts = ScratchFile(), 0, list[Any]()
        self._shift = np.uint64(64 - (BITS * pairs).bit_length())
        self._bits = np.zeros((1 << 64 - int(self._shift)) // 8, np.uint8)
        for piece in pieces:
            firsts.append(piece[-self._len % BLOCK :: BLOCK].copy())
            self._file.append(piece.tobytes())
            np.bitwise_or.at(self._bits, *self._place(piece))
            self._len += len(piece)
        self.firsts = np.concatenate(firsts)

    def __len__(self) -> int:
        return self._len

    def _place(self, pairs: Any) -> tuple[Any, Any]:
        """The byte and the bit of each key."""
        import numpy as np

        bits = (pairs >> self._shift).astype(np.int64)
        return bits >> 3, np.left_shift(1, bits & 7).astype(np.uint8)

    def blocks(self, start: int, end: int) -> Any:
        return self._read([(start, end)])

    def may_hold(self, pairs: Any) -> Any:
        byte, bit = self._place(pairs)
        return self._bits.take(byte) & bit != 0

    def around(self, first: Any, last: Any) -> Iterator[tuple[int, int, Any]]:
        import numpy as np

        start = np.maximum(np.searchsorted(self.firsts, first) - 1, 0)
        end = np.searchsorted(self.firsts, last, side="right")
        for runs in _windows(start, end):
            left = int(np.searchsorted(end, runs[0][0], side="right"))
            right = int(np.searchsorted(start, runs[-1][1]))
            yield left, right, self._read(runs)

    def _read(self, runs: Sequence[tuple[int, int]]) -> Any:
        import numpy as np

        size = 8 * BLOCK
        data = self._file.read((start * size, (end - start) * size) for start, end in runs)
        return np.frombuffer(data, np.uint64)


def _windows(start: Any, end: Any) -> Iterator[list[tuple[int, int]]]:
    """The blocks of ranges that are in order, each block once, as runs of neighbours: about as
    many at a time as are to be read."""
    import numpy as np

    most = WINDOW // BLOCK
    cuts = np.flatnonzero(start[1:] > end[:-1]) + 1
    window, size = list[tuple[int, int]](), 0
    for low, high in zip(start[[0, *cuts]].tolist(), end[[*(cuts - 1), -1]].tolist(), strict=True):
        for at in range(low, high, most):
            window.append((at, min(at + most, high)))
            size += window[-1][1] - at
            if size >= most:
                yield window
                window, size = [], 0
    if window:
        yield window


def _merged(parts: Sequence[_Part], pairs: int) -> _Part:
    import numpy as np

    if len(parts) == 1:
        return parts[0]
    pieces = _pieces(parts)
    return _Array(np.concatenate(list(pieces))) if pairs <= IN_MEMORY else _Filed(pieces, pairs)


def _pieces(parts: Sequence[_Part]) -> Iterator[Any]:
    """All pairs of `parts` in order, about a window at a time."""
    import numpy as np

    largest = max(parts, key=len)
    ends = largest.firsts[WINDOW // BLOCK :: WINDOW // BLOCK]
    rest = [np.zeros(0, np.uint64) for _ in parts]
    read = [0] * len(parts)
    for end in [*ends, None]:
        piece = []
        for n, part in enumerate(parts):
            # Every block that begins before the end holds pairs that belong to this piece.
            upto = len(part.firsts) if end is None else int(np.searchsorted(part.firsts, end))
            held = np.concatenate([rest[n], part.blocks(read[n], upto)])
            cut = len(held) if end is None else int(np.searchsorted(held, end))
            read[n], rest[n] = upto, held[cut:]
            piece.append(held[:cut])
        yield np.sort(np.concatenate(piece))


def _found(part: _Part, first: Any) -> Iterator[tuple[Any, Any]]:
    """(places in `first`, pairs of that key); `first` has the keys in the upper half, in order."""
    import numpy as np

    asked = np.flatnonzero(part.may_hold(first))
    if not len(asked):
        return
    first = first[asked]
    last = first | np.uint64(_ROW)
    for left, right, pairs in part.around(first, last):
        starts = np.searchsorted(pairs, first[left:right])
        counts = np.searchsorted(pairs, last[left:right], side="right") - starts
        for which, where in _each(starts, counts):
            yield asked[left + which], pairs[where]


def _each(starts: Any, counts: Any) -> Iterator[tuple[Any, Any]]:
    """(which one, place) for every place of ranges of so many, not too many at a time."""
    import numpy as np

    ends = np.cumsum(counts)
    which = 0
    while which < len(counts):
        before = int(ends[which] - counts[which])
        upto = max(which + 1, int(np.searchsorted(ends, before + MOST, side="right")))
        some, total = counts[which:upto], int(ends[upto - 1]) - before
        if total:
            steps = np.arange(total) - np.repeat(ends[which:upto] - some - before, some)
            owner = np.repeat(np.arange(which, upto), some)
            yield owner, np.repeat(starts[which:upto], some) + steps
        which = upto
