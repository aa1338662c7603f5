"""What people say of a run's rows: keep, drop or flag, with a note, in `reviews.parquet`.

A trajectory has one judgement, the last one given, with who gave it and when. Shards are
never changed by it; `export --where "review != 'drop'"` reads it.

Crash rule: the file is replaced whole, under a lock that another notebook waits for. Killed
anywhere, a judgement is there once or not at all.
"""

from __future__ import annotations

import fcntl
import getpass
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import pyarrow as pa

from trajgen.durable import disk_errors, place
from trajgen.errors import Conflict, InputError, MachineError, RunLocked
from trajgen.object_store import Version
from trajgen.objects import ObjectPath, Place, Source
from trajgen.run_record import REVIEWS
from trajgen.sealed import VERSION, check_parquet, open_parquet, write_parquet

Review = Literal["keep", "drop", "flag"]
WORDS: tuple[Review, ...] = get_args(Review)
_TYPES: dict[str, pa.DataType] = {name: pa.string() for name in ("id", "review", "note", "by")}
SCHEMA = pa.schema({**_TYPES, "at": pa.timestamp("us", "UTC")}, metadata=VERSION)
COLUMNS = tuple(SCHEMA.names)
Change = Callable[[dict[str, "Judgement"]], object]
LONGEST_NOTE = 10_000  # characters
PATIENCE_S = 10.0  # how long another writer is waited for


@dataclass(frozen=True, slots=True)
class Judgement:
    """One person's word on one trajectory; `at` is in UTC."""

    id: str
    review: Review
    note: str
    by: str
    at: datetime


def reviews_path(folder: Place) -> Place:
    """Where a run keeps its judgements; the file is there once somebody judged."""
    return folder / REVIEWS


def read_reviews(folder: Place) -> dict[str, Judgement]:
    """Every judgement by the trajectory's id. Raises MachineError when the file is damaged."""
    path = reviews_path(folder)
    return _read(path, path) if path.exists() else {}


def judge(
    folder: Place, id: str, review: Review | None, note: str = "", by: str | None = None
) -> Judgement | None:
    """Put down what is said of trajectory `id`, in place of what was said before; its judgement.

    `by` is the login name when not given; None as `review` takes the judgement back. Raises
    InputError for a word that is none of WORDS, CommitError when the disk fails, RunLocked
    when another writer does not end.
    """
    if review is None:
        _change(folder, lambda known: known.pop(id, None))
        return None
    if review not in WORDS:
        raise InputError(f"{review!r} is no judgement", fix=f"Known: {', '.join(WORDS)}")
    if len(note) > LONGEST_NOTE:
        raise InputError(f"a note of {len(note):,} characters", fix=f"At most {LONGEST_NOTE:,}.")
    made = Judgement(id, review, _storable(note), _storable(by or reviewer()), datetime.now(UTC))
    _change(folder, lambda known: known.update({id: made}))
    return made


def reviewer() -> str:
    """Who is at work here: the login name, or `unknown` where there is none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _change(folder: Place, change: Change) -> None:
    if isinstance(folder, ObjectPath):
        _change_object(folder / REVIEWS, change)
        return
    with _alone(folder):
        known = read_reviews(folder)
        change(known)
        table = _table(known)
        place(
            reviews_path(folder),
            lambda file: write_parquet(file, SCHEMA, [table], {}),
            check_parquet(SCHEMA, table.num_rows),
        )


def _change_object(path: ObjectPath, change: Change) -> None:
    """In a store no lock is needed: who was overtaken reads again."""
    until = time.monotonic() + PATIENCE_S
    while True:
        known, version = _seen(path)
        change(known)
        made = io.BytesIO()
        write_parquet(made, SCHEMA, [_table(known)], {})
        try:
            path.put(made.getvalue(), version)
        except Conflict as error:
            if time.monotonic() > until:
                raise _busy(path) from error
        else:
            return


def _seen(path: ObjectPath) -> tuple[dict[str, Judgement], Version | None]:
    try:
        data, meta = path.read()
    except FileNotFoundError:
        return {}, None
    return _read(io.BytesIO(data), path), meta.version


def _read(source: Source, path: Place) -> dict[str, Judgement]:
    try:
        with open_parquet(source, SCHEMA) as file:
            rows = file.read().to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    return {row["id"]: Judgement(**row) for row in rows}


def _table(known: Mapping[str, Judgement]) -> pa.Table:
    """In the order of ids, so that equal judgements give equal bytes."""
    rows = [asdict(known[id]) for id in sorted(known)]
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    return pa.table(columns, schema=SCHEMA)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of the judgements; the kernel gives it back when its holder dies."""
    path = folder / "logs" / "reviews.lock"
    with disk_errors(path):
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise _busy(folder) from error
            time.sleep(0.01)
        else:
            return


def _busy(where: Place) -> RunLocked:
    return RunLocked(
        f"somebody else has been writing {REVIEWS} for {PATIENCE_S:.0f} s",
        str(where),
        "Nothing was put down. End the other notebook's kernel and judge again.",
    )


def _storable(text: str) -> str:
    """`text` without half surrogate pairs, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def _damaged(path: Place, why: str) -> MachineError:
    return MachineError(
        f"cannot be read ({why})",
        str(path),
        "Put back a copy of it, or move it away to begin anew.",
    )
