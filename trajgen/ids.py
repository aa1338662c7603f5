"""Content ids and per-task random streams; nothing else makes ids.

The same content gives the same id on every machine and in every process: Python's
`hash()`, uuids, clocks and bare indexes are never ids.
"""

from __future__ import annotations

import hashlib
import random
from typing import Any

from trajgen.json_text import canonical


def digest(value: Any) -> str:
    """sha256 of the canonical JSON of `value`, 64 hex digits."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def content_id(kind: str, value: Any) -> str:
    """A short readable id such as `task-3f9c…`: the kind and 80 bits of the digest."""
    return f"{kind}-{digest([kind, value])[:20]}"


def stream(*keys: str | int) -> random.Random:
    """An independent random stream for these keys, equal wherever it is made."""
    return random.Random(int(digest(list(keys))[:32], 16))


def sampling_seed(task_id: str, *keys: str | int) -> int:
    """A 31-bit sampling seed of one model call of a task; engines accept no wider ones."""
    return int(digest([task_id, *keys])[:8], 16) & 0x7FFFFFFF
