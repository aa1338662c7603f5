"""Shards as a `datasets.Dataset`, the only file that imports datasets.

Crash rule: reads only; the cache is a temporary folder that is removed when Python ends.
"""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from trajgen import telemetry
from trajgen.scratch import scratch

if TYPE_CHECKING:
    from datasets import Dataset

    from trajgen.objects import Place


def load(files: Sequence[Place], rows: int) -> Dataset:
    """The rows of `files` in order; `messages`, `tools` and `steps` as lists of JSON values."""
    telemetry.off()
    from datasets import Dataset, Features, load_dataset

    if not rows:
        from trajgen.shards import SCHEMA

        features = Features.from_arrow_schema(SCHEMA.remove_metadata())
        return Dataset.from_dict({name: [] for name in SCHEMA.names}, features=features)
    kept = ExitStack()
    cache = kept.enter_context(scratch())
    atexit.register(kept.close)
    loaded: Dataset = load_dataset(
        "parquet", data_files=_linked(files, cache), split="train", cache_dir=str(cache)
    )
    return loaded


def _linked(files: Sequence[Place], cache: Path) -> list[str]:
    """Links to the files: `datasets` reads names as patterns, and a run's path may hold a `*`.
    Of objects, copies."""
    links = [cache / f"{number:06d}.parquet" for number in range(len(files))]
    for link, file in zip(links, files, strict=True):
        if isinstance(file, Path):
            link.symlink_to(file.resolve())
        else:
            link.write_bytes(file.read_bytes())
    return [str(link) for link in links]
