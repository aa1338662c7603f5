"""A training run on disk, written by one process at a time.

    recipe.json  data.json         what is trained: the first thing written
    log.jsonl                      one line a step, to the last complete checkpoint and on
    checkpoints/step-N/            the weights after N steps; the newest can be gone on from
    figures/                       how well they do, where the recipe asks for it
    adapter/ or model/             the result: its name means that training is done

Crash rule: a folder that has its name is whole: it is written under a temporary name, synced
and then renamed. What was being written when a process died is removed when the next begins.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trajgen.durable import TEMPORARY, disk_errors, place_bytes, remove
from trajgen.errors import CommitError, InputError
from trajgen.json_text import canonical
from trajgen.lock import DriverLock

RESULTS = ("adapter", "model")
_RECORDS = ("recipe.json", "data.json")
_STEP = "step-"


class TrainFolder:
    """The folder at `path`; `record` says what is trained and has a `digest`."""

    def __init__(self, path: Path, record: Mapping[str, Any]) -> None:
        self.path, self.record = path, record
        old = _read(path / "recipe.json")
        if old is None:
            _refuse_filled(path)
        else:
            refuse_other(path, old, record)

    @property
    def result(self) -> Path | None:
        """The finished adapter or model; None while training is not done."""
        return next((self.path / n for n in RESULTS if (self.path / n).is_dir()), None)

    @contextmanager
    def owned(self, data: Mapping[str, Any]) -> Iterator[None]:
        """Hold the folder, claimed for the recipe and `data` (with a `digest`), cleaned of
        what a dead process left. Raises InputError for other data, RunLocked, CommitError."""
        lock = DriverLock(self.path / "logs" / "driver.lock")
        try:
            self._claim("recipe.json", self.record)
            self._claim("data.json", data)
            with disk_errors(self.checkpoints):
                self.checkpoints.mkdir(exist_ok=True)
                for left in [*self.path.glob(f"{TEMPORARY}*"), *self.checkpoints.iterdir()]:
                    if left.name.startswith(TEMPORARY):
                        remove(left)
            yield
        finally:
            lock.release()

    def data(self) -> dict[str, Any]:
        """What data.json holds; {} before there is any."""
        return _read(self.path / "data.json") or {}

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    def steps(self) -> list[int]:
        """The steps after which there is a complete checkpoint, rising."""
        names = (path.name.removeprefix(_STEP) for path in self.checkpoints.glob(f"{_STEP}*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint after `step`."""
        return self.checkpoints / f"{_STEP}{step}"

    def retire(self, state: Callable[[Path], list[Path]], keep: int | None) -> None:
        """Of checkpoints before the newest, drop the files that only going on needs, and all
        but the `keep` newest."""
        steps = self.steps()
        with disk_errors(self.checkpoints):
            for step in steps[:-1]:
                for file in state(self.checkpoint(step)):
                    file.unlink(missing_ok=True)
            for step in steps[: -keep if keep else 0]:
                doomed = self.checkpoints / f"{TEMPORARY}{_STEP}{step}"
                self.checkpoint(step).rename(doomed)
                remove(doomed)

    def log(self) -> list[dict[str, Any]]:
        """The lines of log.jsonl; a last one that was cut off is left out."""
        try:
            lines = (self.path / "log.jsonl").read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def rewind(self, step: int) -> None:
        """Take the log back to where `step` ended: what follows is done again."""
        kept = [entry for entry in self.log() if entry["step"] <= step]
        place_bytes(self.path / "log.jsonl", b"".join(map(_line, kept)))

    def note(self, entry: Mapping[str, Any]) -> None:
        """Add a line to log.jsonl."""
        path = self.path / "log.jsonl"
        with disk_errors(path), open(path, "ab") as file:
            file.write(_line(entry))

    def _claim(self, name: str, record: Mapping[str, Any]) -> None:
        old = _read(self.path / name)
        if old is None:
            place_bytes(self.path / name, _pretty(record))
        else:
            refuse_other(self.path, old, record)


def refuse_other(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise InputError with what differs, unless both records have one digest."""
    if old.get("digest") == new["digest"]:
        return
    before, after = dict(_flat("", old)), dict(_flat("", new))
    lines = [
        f"{key}: {before.get(key, 'not set')} -> {after.get(key, 'not set')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    raise InputError(
        "this folder holds another training run:\n  " + "\n  ".join(lines),
        str(folder),
        "Go back to those settings to go on with it, or name another folder with --out.",
    )


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else key, inner)
    else:
        yield prefix, canonical(value)


def _refuse_filled(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise InputError("this is a file; a training run is a folder", str(path))
    others = sorted(p.name for p in path.iterdir() if p.name != "logs") if path.is_dir() else []
    others = [name for name in others if not name.startswith(TEMPORARY)]
    if others:
        raise InputError(
            f"this folder holds other things ({', '.join(others[:3])})",
            str(path),
            "Name a new or empty folder with --out.",
        )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CommitError(f"cannot be read ({error})", str(path)) from error
    return data if isinstance(data, dict) else {}


def _pretty(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()


def _line(entry: Mapping[str, Any]) -> bytes:
    return (canonical(dict(entry)) + "\n").encode()
