"""Near copies: a small sketch of each conversation, and an index of many.

A conversation is the bag of its word pairs, in what user and agent say and in the calls,
ids and numbers included; each call counts once more as a whole, since another argument is
another act. Observations are left out: conversations about one state share them. The pairs
fall into 128 buckets, and a sketch is the sum of the hashes in each: two changed words take
4 pairs away and bring 4, so at most 8 sums differ, however long the conversation is.

The index cuts a sketch into 16 bands. Of two conversations with up to 15 different sums at
least one band is the same, so no such copy is missed; others are found nearly always.

Crash rule: sketches depend on the messages alone. They are kept in the shards' footers.
"""

from __future__ import annotations

import base64
import math
import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from trajgen.filters.structure import raw_calls, role_of, text_of
from trajgen.ids import canonical

BUCKETS, BANDS = 128, 16
TWO_WORDS = 8  # pairs that two changed words take away and bring
AT_MOST = 0.13  # of a short conversation two words may be too much to call it a copy
CALL_WEIGHT = 4  # pairs that a whole call counts as
RECENT = 1024  # conversations compared one by one before they are sorted in
_WORD = re.compile(r"[^\W_]+(?:[-_'./#:@][^\W_]+)*|[#$€£]")
_FORM = struct.Struct(f"<H{BUCKETS}B")
_MIX = 0x9E3779B97F4A7C15


def sketch(messages: Sequence[Any]) -> str:
    """The sketch of a conversation, 176 characters of base64."""
    import numpy as np

    words, calls = words_of(messages)
    marks = np.array([_mark(word) for word in words], np.uint64)
    pairs = np.concatenate([marks[:-1] * np.uint64(_MIX) + marks[1:], _weighted(calls)])
    pairs = (pairs ^ (pairs >> np.uint64(32))) * np.uint64(_MIX)
    where, what = pairs >> np.uint64(57), (pairs >> np.uint64(16)) & np.uint64(0xFF)
    sums = np.bincount(where.astype(np.int64), what.astype(np.float64), BUCKETS)
    kept = (sums.astype(np.int64) & 0xFF).tolist()
    data = _FORM.pack(min(len(pairs), 0xFFFF), *kept)
    return base64.b64encode(data).decode("ascii")


class Copies:
    """Sketches with a label each; finds the first one that is nearly the same.

    Nearly the same: a share of at least `at_least` of all pairs in common, or all but two
    words. Takes about 500 bytes a sketch.
    """

    def __init__(self, at_least: float) -> None:
        import numpy as np

        self.np, self.at_least = np, at_least
        self._sums = np.zeros((64, BUCKETS), np.uint8)
        self._sizes = np.zeros(64, np.uint16)
        self._labels = np.zeros(64, np.int32)
        self._n = self._sorted = 0
        self._blocks: list[tuple[Any, Any]] = []  # keys in order, and the row of each

    def add(self, sketches: Iterable[str], label: int) -> None:
        """Remember `sketches` under `label`; an empty one is left out."""
        for text in filter(None, sketches):
            size, *sums = _FORM.unpack(base64.b64decode(text))
            if self._n == len(self._sizes):
                self._grow()
            self._sums[self._n], self._sizes[self._n] = sums, size
            self._labels[self._n] = label
            self._n += 1
            if self._n - self._sorted >= RECENT:
                self._sort_in()

    def find(self, text: str) -> int | None:
        """The label of the first near copy that was added, or None."""
        if not text or not self._n:
            return None
        size, *sums = _FORM.unpack(base64.b64decode(text))
        mine = self.np.array([sums], self.np.uint8)
        rows = self._candidates(mine)
        changed = (self._sums[rows] != mine).sum(axis=1)
        most = max(TWO_WORDS, (1 - self.at_least) / self.at_least * size)  # pairs, so buckets too
        for at in self.np.flatnonzero(changed <= most).tolist():
            row = int(rows[at])
            if self._near(int(changed[at]), size, int(self._sizes[row])):
                return int(self._labels[row])
        return None

    def _near(self, buckets: int, size: int, other: int) -> bool:
        if buckets == BUCKETS:
            return False
        pairs = max(-BUCKETS * math.log(1 - buckets / BUCKETS), abs(size - other))
        union = (size + other + pairs) / 2
        two_words = buckets <= TWO_WORDS and pairs <= AT_MOST * union
        return two_words or pairs <= (1 - self.at_least) * union

    def _candidates(self, mine: Any) -> Any:
        """Rows that share a band, and the recent ones; in order."""
        np = self.np
        found = [np.arange(self._sorted, self._n)]
        keys = self._keys(mine)[0]
        for known, rows in self._blocks:
            left, right = np.searchsorted(known, keys), np.searchsorted(known, keys, "right")
            found += [rows[a:b] for a, b in zip(left, right, strict=True) if a < b]
        return np.unique(np.concatenate(found))

    def _keys(self, sums: Any) -> Any:
        """A key for each band of each row; the band's place is a part of it."""
        np = self.np
        bands = np.ascontiguousarray(sums).view(np.uint64)
        return bands * np.uint64(_MIX) + np.arange(BANDS, dtype=np.uint64)

    def _sort_in(self) -> None:
        """Index the recent rows; blocks of like size are merged, so that few are searched."""
        np, fresh = self.np, slice(self._sorted, self._n)
        keys = self._keys(self._sums[fresh])
        filled = keys != np.arange(BANDS, dtype=np.uint64)  # an empty band tells nothing
        rows = np.repeat(np.arange(self._sorted, self._n, dtype=np.uint32), filled.sum(axis=1))
        block = self._in_order(keys[filled], rows)
        while self._blocks and len(self._blocks[-1][0]) <= 2 * len(block[0]):
            last = self._blocks.pop()
            block = self._in_order(*map(np.concatenate, zip(last, block, strict=True)))
        self._blocks.append(block)
        self._sorted = self._n

    def _in_order(self, keys: Any, rows: Any) -> tuple[Any, Any]:
        order = self.np.argsort(keys, kind="stable")
        return keys[order], rows[order]

    def _grow(self) -> None:
        np, more = self.np, max(64, self._n // 2)
        self._sums = np.concatenate([self._sums, np.zeros((more, BUCKETS), np.uint8)])
        self._sizes = np.concatenate([self._sizes, np.zeros(more, np.uint16)])
        self._labels = np.concatenate([self._labels, np.zeros(more, np.int32)])


def words_of(messages: Sequence[Any]) -> tuple[list[str], list[str]]:
    """All words in order, with a mark where a text ends; the calls as texts."""
    words: list[str] = [""]
    calls: list[str] = []
    for message in messages:
        texts = [text_of(message)] if role_of(message) in ("user", "assistant") else []
        for raw in raw_calls(message):
            calls.append(canonical(raw.get("function") if isinstance(raw, dict) else raw))
            texts.append(calls[-1])
        for text in filter(None, texts):
            words += [*_WORD.findall(text.casefold()), ""]
    return words, calls


def _weighted(calls: list[str]) -> Any:
    """CALL_WEIGHT marks for each call."""
    import numpy as np

    marks = np.repeat(np.array([_mark(call) for call in calls], np.uint64), CALL_WEIGHT)
    return marks + np.tile(np.arange(CALL_WEIGHT, dtype=np.uint64) << np.uint64(40), len(calls))


def _mark(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))
