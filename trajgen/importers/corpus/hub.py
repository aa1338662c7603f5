"""Rows of a data set of the Hugging Face hub, streamed, or of one that `datasets` saved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trajgen import telemetry
from trajgen.errors import InputError, MachineError
from trajgen.records import Json


def is_saved(folder: Path) -> bool:
    """Whether `datasets` saved this folder with `save_to_disk`."""
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def saved(folder: Path) -> Iterator[tuple[int, dict[str, Json], bool]]:
    """(number from 1, row, whether its columns are typed) of all splits of a saved data set."""
    telemetry.off()
    from datasets import DatasetDict, load_from_disk

    try:
        found = load_from_disk(str(folder))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({str(error)[:200]})", str(folder)) from error
    splits = list(found.values()) if isinstance(found, DatasetDict) else [found]
    rows = ((row, typed) for split in splits for typed in [_is_typed(split)] for row in split)
    for number, (row, typed) in enumerate(rows, 1):
        yield number, row, typed


def remote(name: str) -> Iterator[tuple[int, dict[str, Json], bool]]:
    """The same of `name`, `name:split` or `name:config:split` on the hub, as a stream.

    Raises InputError for a data set, config or split that is not there, MachineError when the
    hub cannot be reached.
    """
    split = _opened(name)
    typed = _is_typed(split)
    try:
        for number, row in enumerate(split, 1):
            yield number, row, typed
    except OSError as error:
        raise _silent(name, error) from error


def _opened(name: str) -> Any:
    telemetry.off()
    from datasets import IterableDatasetDict, load_dataset
    from datasets.exceptions import DatasetNotFoundError

    path, *rest = name.split(":")
    if len(rest) > 2 or not all([path, *rest]):
        raise InputError("name it as NAME, NAME:SPLIT or NAME:CONFIG:SPLIT", f"hf:{name}")
    config, split = rest[0] if len(rest) == 2 else None, rest[-1] if rest else None
    try:
        found = load_dataset(path, config, split=split, streaming=True)
    except (DatasetNotFoundError, ValueError) as error:
        fix = "Name a file or folder that is there, or NAME:SPLIT or NAME:CONFIG:SPLIT of the hub."
        raise InputError(f"no such data set ({str(error)[:300]})", f"hf:{name}", fix) from error
    except OSError as error:
        raise _silent(name, error) from error
    if not isinstance(found, IterableDatasetDict):
        return found
    if len(found) > 1:
        raise InputError(
            f"has the splits {', '.join(found)}", f"hf:{name}", f"Name one, as hf:{path}:train."
        )
    return next(iter(found.values()))


def _silent(name: str, error: OSError) -> MachineError:
    what = f"the hub gives no answer ({str(error)[:200]})"
    return MachineError(what, f"hf:{name}", "Try again, or name a file or folder that is here.")


def _is_typed(split: Any) -> bool:
    """Whether messages are structs, in which what is absent is null; JSON keeps its nulls."""
    features = split.features or {}
    column = features.get("messages", features.get("conversations"))
    return "Json(" not in repr(column)
