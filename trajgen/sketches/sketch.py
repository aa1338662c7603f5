"""A small sketch of each conversation, from which near copies are told.

A conversation is the bag of its word pairs, in what user and agent say and in the calls,
ids and numbers included; each call counts once more as a whole, since another argument is
another act. Observations are left out: conversations about one state share them. The pairs
fall into 128 buckets, and a sketch is the sum of the hashes in each: two changed words take
4 pairs away and bring 4, so at most 8 sums differ, however long the conversation is.

Crash rule: sketches depend on the messages alone. They are kept in the shards' footers.
"""

from __future__ import annotations

import re
import zlib
from binascii import b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from trajgen.filters.reading import turns
from trajgen.json_text import canonical

BUCKETS = 128
CALL_WEIGHT = 4  # pairs that a whole call counts as
_WORD = re.compile(r"[^\W_]++(?:[-_'./#:@][^\W_]++)*+|[#$€£]")
_PLAIN_WORD = re.compile(r"[a-z0-9]++(?:[-_'./#:@][a-z0-9]++)*+|[#$]")  # the same, of folded ASCII
_MIX = 0x9E3779B97F4A7C15


def sketch(messages: Sequence[Any]) -> str:
    """The sketch of a conversation, 176 characters of base64."""
    import numpy as np

    words, calls = words_of(messages)
    marks = np.fromiter(map(_word_mark, words), np.uint64, len(words))
    pairs = np.concatenate([marks[:-1] * np.uint64(_MIX) + marks[1:], _weighted(calls)])
    pairs = (pairs ^ (pairs >> np.uint64(32))) * np.uint64(_MIX)
    where, what = pairs >> np.uint64(57), (pairs >> np.uint64(16)) & np.uint64(0xFF)
    sums = np.bincount(where.astype(np.int64), what.astype(np.float64), BUCKETS)
    kept = sums.astype(np.int64).astype(np.uint8)  # their lowest bytes
    data = min(len(pairs), 0xFFFF).to_bytes(2, "little") + kept.tobytes()
    return b2a_base64(data, newline=False).decode("ascii")


def words_of(messages: Sequence[Any]) -> tuple[list[str], list[str]]:
    """All words in order, with a mark where a text ends; the calls as texts."""
    words: list[str] = [""]
    calls: list[str] = []
    for role, text, made in turns(messages):
        texts = [text] if role in ("user", "assistant") else []
        for raw in made:
            calls.append(canonical(raw.get("function") if isinstance(raw, dict) else raw))
            texts.append(calls[-1])
        for text in filter(None, texts):
            word = _PLAIN_WORD if text.isascii() else _WORD
            words += word.findall(text.casefold())
            words.append("")
    return words, calls


def _weighted(calls: list[str]) -> Any:
    """CALL_WEIGHT marks for each call."""
    import numpy as np

    marks = [_mark(call) + (n << 40) for call in calls for n in range(CALL_WEIGHT)]
    return np.array(marks, np.uint64)


def _mark(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


_word_mark = lru_cache(16384)(_mark)  # most words of a conversation were in others
