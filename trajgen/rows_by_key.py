"""Which rows came under a key, for tens of millions of rows in next to no memory.

Pairs of a key and a row are sorted into parts, each at least four times the next, so that there
are few; a new part is merged into those before it that are not. The large ones are in files,
and of these only every 512th pair is in memory.

Crash rule: nothing outlives the process. What is found depends on what was added alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Protocol

from trajgen.scratch import ScratchFile

RATIO = 4  # a part to the next one, at least
IN_MEMORY = 1 << 17  # pairs of the largest part that is in memory: 1 MB
BLOCK = 512  # pairs: 4 kB
WINDOW = 256 * BLOCK  # pairs that are read at a time
NEAR = 64  # blocks that are read although nobody asks for them, rather than to read twice
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


class _Array:
    def __init__(self, pairs: Any) -> None:
        self._pairs, self.firsts = pairs, pairs[::BLOCK]

    def __len__(self) -> int:
        return len(self._pairs)

    def blocks(self, start: int, end: int) -> Any:
        return self._pairs[start * BLOCK : end * BLOCK]


class _Filed:
    def __init__(self, pieces: Iterator[Any]) -> None:
        import numpy as np

        self._file, self._len, firsts = ScratchFile(), 0, list[Any]()
        for piece in pieces:
            firsts.append(piece[-self._len % BLOCK :: BLOCK].copy())
            self._file.append(piece.tobytes())
            self._len += len(piece)
        self.firsts = np.concatenate(firsts)

    def __len__(self) -> int:
        return self._len

    def blocks(self, start: int, end: int) -> Any:
        import numpy as np

        size = 8 * BLOCK
        return np.frombuffer(self._file.read(start * size, (end - start) * size), np.uint64)


def _merged(parts: Sequence[_Part], pairs: int) -> _Part:
    import numpy as np

    if len(parts) == 1:
        return parts[0]
    pieces = _pieces(parts)
    return _Array(np.concatenate(list(pieces))) if pairs <= IN_MEMORY else _Filed(pieces)


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

    last = first | np.uint64(_ROW)
    start = np.maximum(np.searchsorted(part.firsts, first) - 1, 0)
    end = np.searchsorted(part.firsts, last, side="right")  # of the blocks that may hold them
    asked = np.flatnonzero(start < end)
    start, end = start[asked], end[asked]
    for low, high in _spans(start, end):
        for at in range(int(start[low]), int(end[high - 1]), WINDOW // BLOCK):
            pairs = part.blocks(at, min(int(end[high - 1]), at + WINDOW // BLOCK))
            left = low + int(np.searchsorted(end[low:high], at, side="right"))
            right = low + int(np.searchsorted(start[low:high], at + WINDOW // BLOCK))
            among = asked[left:right]
            starts = np.searchsorted(pairs, first[among])
            counts = np.searchsorted(pairs, last[among], side="right") - starts
            for which, where in _each(starts, counts):
                yield among[which], pairs[where]


def _spans(start: Any, end: Any) -> Iterator[tuple[int, int]]:
    """Ranges of what is asked whose blocks lie so near that they are read in one go."""
    import numpy as np

    cuts = np.flatnonzero(start[1:] > end[:-1] + NEAR) + 1
    bounds = [0, *cuts.tolist(), len(start)] if len(start) else []
    yield from pairwise(bounds)


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
