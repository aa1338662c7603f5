"""The bound: what a perfect scheduler makes of the same tasks in the same order."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def list_schedule(seconds: Sequence[float], places: int) -> float:
    """When the last task ends if each free place takes the next one at once."""
    free = [0.0] * places
    end = 0.0
    for length in seconds:
        done = heapq.heappop(free) + length
        heapq.heappush(free, done)
        end = max(end, done)
    return end


def least(seconds: Sequence[float], places: int) -> float:
    """What no scheduler goes below, whatever its order: all places full, or the longest task."""
    return max(sum(seconds) / places, max(seconds, default=0.0))
