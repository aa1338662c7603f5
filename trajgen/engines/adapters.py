"""LoRA adapters: where one is, and of which rank.

Crash rule: reading changes nothing; one on the hub is fetched to the hub client's own cache.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from trajgen import telemetry
from trajgen.errors import InputError
from trajgen.loading import user_path
from trajgen.weights import refuse_pickles

_FETCHED = ["*.json", "*.safetensors"]
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM makes room for


def folder_of(name: str) -> str:
    """The folder of adapter `name`: a folder, or an id on the hub. Raises InputError when it
    is neither, or holds no safetensors."""
    folder = user_path(name)
    if folder.is_absolute() or folder.exists():
        return _readable(folder)
    telemetry.off()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError as HubError
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return _readable(Path(snapshot_download(name, allow_patterns=_FETCHED)))
    except (HFValidationError, LocalEntryNotFoundError, HubError, OSError) as error:
        raise InputError(
            f"no such adapter ({str(error).splitlines()[0][:200]})",
            name,
            "`adapter` names a folder that `trajgen train` or PEFT has written, or a hub id.",
        ) from error


def _readable(folder: Path) -> str:
    if folder.is_dir():  # else `rank` says what is missing
        refuse_pickles(folder)
    return str(folder)


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
