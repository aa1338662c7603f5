"""A sketch cut into bands, each with a key: two sketches with an equal band share that key.

Crash rule: keys depend on the sums alone.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

_MIX = 0x9E3779B97F4A7C15


class Bands:
    """`buckets` sums, cut into so many bands of nearly the same width."""

    def __init__(self, buckets: int, bands: int) -> None:
        import numpy as np

        self.np = np
        self._starts = np.array([band * buckets // bands for band in range(bands)])
        self._factors = np.array([_factor(n) for n in range(buckets)], np.uint64)

    def keys(self, sums: Any, rows: Any) -> tuple[Any, Any]:
        """The 32-bit keys of all bands that are not empty, and whose of `rows` each is.

        `sums`: (rows, buckets) bytes.
        """
        np = self.np
        mixed = np.add.reduceat(sums * self._factors, self._starts, axis=1)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(_MIX)
        filled = np.logical_or.reduceat(sums != 0, self._starts, axis=1)
        return (mixed >> np.uint64(32))[filled], rows.take(np.nonzero(filled)[0])


def _factor(bucket: int) -> int:
    """An odd number, of no simple relation to those of other buckets."""
    return int.from_bytes(blake2b(bytes([bucket]), digest_size=8).digest()) | 1
