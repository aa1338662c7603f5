"""Trajectories that exist already, row by row, each with the domain it is checked against.

A row that cannot be represented comes as a Problem, and nothing is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from trajgen.errors import InputError
from trajgen.importers import import_source, is_source
from trajgen.importers.openai import Problem, normalised, read
from trajgen.loading import find
from trajgen.records import Domain, Json, Trajectory

if TYPE_CHECKING:
    import pyarrow as pa

    from trajgen.seeds import SeedSet

Row: TypeAlias = tuple[str, Problem | tuple[Trajectory, Domain]]
OwnDomain: TypeAlias = Callable[[Trajectory], Domain]
_BATCH = 256  # rows of a Parquet file in memory at once


def rows(source: str, domain: Domain | None) -> Iterator[Row]:
    """Each row's id with its trajectory and domain, or with what is wrong with it.

    Without a `domain` a row has that of the source: of the domain folder, of the import, or
    of the run's seeds; else one of its own tools alone. Raises InputError when there is
    nothing to read, or when a run's seeds are gone.
    """
    kind, colon, rest = source.partition(":")
    if colon and kind == "openai":
        yield from _json_rows(find(rest), domain)
    elif is_source(source):
        yield from _imported(source, domain)
    else:
        path = find(source)
        lines = path / "trajectories.jsonl"
        if lines.is_file():
            yield from _json_rows(lines, domain or _of_folder(path))
        elif path.is_dir() or path.suffix == ".parquet":
            own = _given(domain) if domain else _of_run(path)
            for file in _parquet_files(path):
                yield from _parquet_rows(file, domain, own)
        else:
            yield from _json_rows(path, domain)


def _of_folder(folder: Path) -> Domain | None:
    from trajgen.domains import load_domain

    return load_domain(folder) if (folder / "domain.yaml").is_file() else None


def _given(domain: Domain) -> OwnDomain:
    return lambda _: domain


def _of_run(folder: Path) -> OwnDomain:
    """Which domain a row of our own is checked against: in a run's folder its seeds' one."""
    if not (folder / "run.json").is_file():
        return lambda row: Domain(name=row.domain, policy="", tools=row.tools)
    domains = run_seeds(folder).domains

    def of_seeds(row: Trajectory) -> Domain:
        if row.domain not in domains:
            raise _needs_domain(f"its seeds have no domain {row.domain!r} any more", folder)
        return domains[row.domain]

    return of_seeds


def run_seeds(folder: Path) -> SeedSet:
    """The seeds that a run was made from. Raises InputError when they are gone."""
    from trajgen.run_record import existing_run
    from trajgen.seeds import load_seeds

    sources = tuple(existing_run(folder)["pipeline"]["seeds"])
    try:
        return load_seeds(sources)
    except InputError as error:
        place = f"{error.where}: " if error.where else ""
        raise _needs_domain(
            f"the seeds of this run cannot be loaded any more ({place}{error.what})", folder
        ) from error


def _needs_domain(what: str, folder: Path) -> InputError:
    return InputError(what, str(folder), "Name the folder of its domain with --domain.")


def _imported(source: str, domain: Domain | None) -> Iterator[Row]:
    found = import_source(source)
    own = domain or found.domain
    for refused in found.refused:
        yield f"{refused['file']}:{refused['line']}", Problem(str(refused["reason"]))
    for seed in found.seeds:
        name = str(seed.meta.get("name", seed.id))
        made = Trajectory(name, own.name, seed.messages, own.tools, state_initial=seed.state)
        yield name, (made, own)


def _json_rows(path: Path, domain: Domain | None) -> Iterator[Row]:
    for number, row in read(path):
        place = f"{path.name}:{number}"
        yield _placed(row, place, domain)


def _placed(row: dict[str, Json] | Problem, place: str, domain: Domain | None) -> Row:
    """A row under its own id, or under its place in the file when it has none. Its own
    `state`, laid over the domain's, is where it began."""
    if isinstance(row, Problem):
        return place, row
    id_ = str(row["id"]) if isinstance(row.get("id"), str | int) else place
    tools = tuple(row.get("tools", ()))
    own = domain or Domain(name="", policy="", tools=tools)
    state = row["state"] if isinstance(row.get("state"), dict) else None
    messages = tuple(row["messages"])
    made = Trajectory(id_, own.name, messages, tools or own.tools, state_initial=state)
    return id_, (made, own)


def _parquet_files(path: Path) -> list[Path]:
    """The file itself, a run's kept shards, or all Parquet files of a folder, by name."""
    if path.is_file():
        return [path]
    folder = path / "shards" if (path / "shards").is_dir() else path
    files = sorted(file for file in folder.rglob("*.parquet") if not file.name.startswith("."))
    if not files:
        raise InputError("no trajectories.jsonl and no .parquet file here", str(path))
    return files


def _parquet_rows(path: Path, domain: Domain | None, own: OwnDomain) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            columns, ours = _columns(file.schema_arrow, path)
            for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield _column_row(row, f"{path.name}:{number}", domain, own if ours else None)
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
    row: dict[str, Any], place: str, domain: Domain | None, own: OwnDomain | None
) -> Row:
    if own is None:
        return _placed(normalised(row, from_columns=True), place, domain)
    try:
        trajectory = Trajectory.parse(row)
    except (KeyError, TypeError, ValueError) as error:
        return place, Problem(f"not a row of a shard ({str(error)[:120]})")
    return trajectory.id, (trajectory, own(trajectory))
