"""LoRA adapters on disk: is it one, and of which rank.

Crash rule: reading changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from trajgen.errors import InputError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM makes room for


def rank(folder: Path) -> int:
    """The rank of the adapter in `folder`. Raises InputError when there is none."""
    file = folder / "adapter_config.json"
    try:
        return int(json.loads(file.read_text("utf-8"))["r"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"no LoRA adapter can be read ({error})",
            str(file),
            "`adapter` names a folder that `trajgen train` or PEFT has written, or a hub id.",
        ) from error


def room(ranks: Iterable[int]) -> int:
    """The least rank that vLLM can be given for adapters of these. Raises InputError."""
    largest = max(ranks)
    fitting = [known for known in RANKS if known >= largest]
    if not fitting:
        raise InputError(f"an adapter has rank {largest}; vLLM serves up to {RANKS[-1]}", "roles")
    return fitting[0]
