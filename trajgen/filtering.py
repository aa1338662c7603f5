"""The filters over trajectories that exist already, somebody else's corpus too.

Rows are read one by one; a row that cannot be represented is told with its reason, like
one that breaks a filter. Nothing is skipped: rows read = kept + rejected.

Crash rule: kept.jsonl and rejects.jsonl are written under temporary names and renamed,
kept.jsonl last; a folder with it is complete.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from trajgen import filters
from trajgen.durable import TEMPORARY, disk_errors, sync_folder
from trajgen.errors import InputError
from trajgen.filters.corpus import fingerprint
from trajgen.importers import import_source, is_source
from trajgen.importers.openai import Problem, normalised, read
from trajgen.records import Domain, Json, Reason, Trajectory

if TYPE_CHECKING:
    import pyarrow as pa

Result = tuple[Trajectory | None, str, list[Reason]]
DEFAULT = ("default",)
_BATCH = 256  # rows of a Parquet file in memory at once


def filter_source(
    source: str, domain: Domain | None = None, names: Sequence[str] = DEFAULT
) -> Iterator[Result]:
    """(trajectory, id, reasons) for each row of `source`, in its order.

    `source`: an OpenAI-style JSONL file (`openai:` may stand before it), a domain folder, a
    Parquet file, a folder of Parquet files or a run, or an import source such as
    `tau2:retail`. Without a `domain` that of the source is used, else a row is checked by
    its own tools. The trajectory is None when the row cannot be represented. A copy of an
    earlier row gets `exact_duplicate`. Raises InputError when there is nothing to read.
    """
    filters.select(tuple(names))  # an unknown filter is an error before any row is read
    first_with: dict[bytes, str] = {}
    for id_, row in _rows(source, domain):
        if isinstance(row, Problem):
            yield None, id_, [Reason(row.code, row.at, str(row))]
            continue
        trajectory, own = row
        reasons = filters.check(trajectory, own, names)
        mark = bytes.fromhex(fingerprint(trajectory.messages))[:16]
        first = first_with.get(mark)
        if first is None:
            first_with[mark] = id_
        else:
            reasons.append(Reason("exact_duplicate", None, f"says and calls the same as {first}"))
        yield trajectory, id_, reasons


def filter_to(
    source: str,
    domain: Domain | None = None,
    out: Path | None = None,
    say: Callable[[str], None] | None = None,
    names: Sequence[str] = DEFAULT,
) -> dict[str, Json]:
    """Filter `source`, write the split below `out`, say one line of JSON a row; the totals.

    Totals: {"trajectories", "kept", "reasons": code -> rows}. Raises as `filter_source` and
    `write_split` do.
    """
    counts: Counter[str] = Counter()
    totals = {"trajectories": 0, "kept": 0}

    def told() -> Iterator[Result]:
        for result in filter_source(source, domain, names):
            reasons = result[2]
            totals["trajectories"] += 1
            totals["kept"] += not reasons
            counts.update({reason.code for reason in reasons})
            if say is not None:
                row = {"id": result[1], "reasons": [reason.json() for reason in reasons]}
                say(json.dumps(row))
            yield result

    if out is None:
        for _ in told():
            pass
    else:
        write_split(told(), out)
    return {**totals, "reasons": dict(sorted(counts.items(), key=lambda c: (-c[1], c[0])))}


def write_split(results: Iterable[Result], out: Path) -> tuple[int, int]:
    """Write kept.jsonl and rejects.jsonl (with reasons) into `out`; how many went where.

    Takes the results one by one. When it or they fail, nothing new is left in `out`.
    Raises CommitError when the disk fails.
    """
    names = ("rejects.jsonl", "kept.jsonl")
    with disk_errors(out / names[1]), ExitStack() as stack:
        out.mkdir(parents=True, exist_ok=True)
        temporary = [out / f"{TEMPORARY}{name}" for name in names]
        for path in temporary:
            stack.callback(path.unlink, missing_ok=True)
        files = [stack.enter_context(path.open("wb")) for path in temporary]
        counts = _split(results, *files)
        for file in files:
            file.flush()
            os.fsync(file.fileno())
            file.close()
        for path, name in zip(temporary, names, strict=True):
            os.replace(path, out / name)
        sync_folder(out)
    return counts


def _split(results: Iterable[Result], rejects: IO[bytes], kept: IO[bytes]) -> tuple[int, int]:
    n_kept = n_rejected = 0
    for trajectory, id_, reasons in results:
        row: dict[str, Json] = {"id": id_}
        if trajectory is not None:
            row["messages"] = list(trajectory.messages)
            row |= {"tools": list(trajectory.tools)} if trajectory.tools else {}
        if reasons:
            row["reasons"] = [reason.json() for reason in reasons]
            rejects.write(_line(row))
            n_rejected += 1
        else:
            kept.write(_line(row))
            n_kept += 1
    return n_kept, n_rejected


def _line(row: Json) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # a lone half of a surrogate pair, kept as its escape
        return json.dumps(row).encode() + b"\n"


def _rows(
    source: str, domain: Domain | None
) -> Iterator[tuple[str, Problem | tuple[Trajectory, Domain]]]:
    """Each row's id with its trajectory and the domain it is checked against."""
    kind, colon, rest = source.partition(":")
    if colon and kind == "openai":
        yield from _json_rows(_existing(rest), domain)
    elif is_source(source):
        yield from _imported(source, domain)
    else:
        path = _existing(source)
        lines = path / "trajectories.jsonl"
        if lines.is_file():
            yield from _json_rows(lines, domain or _own_domain(path))
        elif path.is_dir() or path.suffix == ".parquet":
            for file in _parquet_files(path):
                yield from _parquet_rows(file, domain)
        else:
            yield from _json_rows(path, domain)


def _own_domain(folder: Path) -> Domain | None:
    from trajgen.domains import load_domain

    return load_domain(folder) if (folder / "domain.yaml").is_file() else None


def _existing(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.exists():
        raise InputError(
            "no such file or folder", name, "Name a .jsonl or .parquet file, a domain or a run."
        )
    return path


def _imported(
    source: str, domain: Domain | None
) -> Iterator[tuple[str, Problem | tuple[Trajectory, Domain]]]:
    found = import_source(source)
    own = domain or found.domain
    for refused in found.refused:
        yield f"{refused['file']}:{refused['line']}", Problem(str(refused["reason"]))
    for seed in found.seeds:
        name = str(seed.meta.get("name", seed.id))
        yield name, (Trajectory(name, own.name, seed.messages, own.tools), own)


def _json_rows(
    path: Path, domain: Domain | None
) -> Iterator[tuple[str, Problem | tuple[Trajectory, Domain]]]:
    for number, row in read(path):
        place = f"{path.name}:{number}"
        yield _placed(row, place, domain)


def _placed(
    row: dict[str, Json] | Problem, place: str, domain: Domain | None
) -> tuple[str, Problem | tuple[Trajectory, Domain]]:
    """A row under its own id, or under its place in the file when it has none."""
    if isinstance(row, Problem):
        return place, row
    id_ = str(row["id"]) if isinstance(row.get("id"), str | int) else place
    tools = tuple(row.get("tools", ()))
    own = domain or Domain(name="", policy="", tools=tools)
    return id_, (Trajectory(id_, own.name, tuple(row["messages"]), tools or own.tools), own)


def _parquet_files(path: Path) -> list[Path]:
    """The file itself, a run's kept shards, or all Parquet files of a folder, by name."""
    if path.is_file():
        return [path]
    folder = path / "shards" if (path / "shards").is_dir() else path
    files = sorted(file for file in folder.rglob("*.parquet") if not file.name.startswith("."))
    if not files:
        raise InputError("no trajectories.jsonl and no .parquet file here", str(path))
    return files


def _parquet_rows(
    path: Path, domain: Domain | None
) -> Iterator[tuple[str, Problem | tuple[Trajectory, Domain]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            columns, ours = _columns(file.schema_arrow, path)
            for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield _column_row(row, f"{path.name}:{number}", domain, ours)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"cannot be read as Parquet ({str(error)[:200]})", str(path)) from error


def _columns(schema: pa.Schema, path: Path) -> tuple[list[str] | None, bool]:
    """Which columns to read (None: all), and whether the rows are our own.

    Extension types other than Arrow's JSON are refused: some run code when they are read.
    """
    import pyarrow as pa

    names = set(schema.names)
    if "messages" not in names:
        found = ", ".join(schema.names[:12])
        raise InputError(f"no column `messages` (found: {found})", str(path))
    for field in schema:
        for kind in _types(field.type):
            name = getattr(kind, "extension_name", None)
            if isinstance(kind, pa.BaseExtensionType) and name != "arrow.json":
                raise InputError(f"column {field.name!r} has the unknown type {kind}", str(path))
    if {"schema_version", "steps", "state_initial"} <= names:
        return None, True
    return [name for name in ("id", "messages", "tools") if name in names], False


def _types(kind: pa.DataType) -> Iterator[pa.DataType]:
    yield kind
    for index in range(kind.num_fields):
        yield from _types(kind.field(index).type)


def _column_row(
    row: dict[str, Any], place: str, domain: Domain | None, ours: bool
) -> tuple[str, Problem | tuple[Trajectory, Domain]]:
    if not ours:
        return _placed(normalised(row, from_columns=True), place, domain)
    try:
        trajectory = Trajectory.parse(row)
    except (KeyError, TypeError, ValueError) as error:
        return place, Problem(f"not a row of a shard ({str(error)[:120]})")
    own = domain or Domain(name=trajectory.domain, policy="", tools=trajectory.tools)
    return trajectory.id, (trajectory, own)
