"""Trajectories that exist already, row by row, each with the domain it is checked against.

A row that cannot be represented comes as a Problem, and nothing is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from trajgen.errors import InputError
from trajgen.importers import import_source, is_source
from trajgen.importers.corpus import columns, hub
from trajgen.importers.corpus.openai import normalised
from trajgen.importers.corpus.opening import is_corpus, open_corpus
from trajgen.importers.corpus.problem import Problem
from trajgen.importers.corpus.rows import Corpus, corpus_at, files_in
from trajgen.importers.corpus.rows import Row as Found
from trajgen.loading import find
from trajgen.origin import run_seeds
from trajgen.records import Domain, Trajectory

Row: TypeAlias = tuple[str, Problem | tuple[Trajectory, Domain]]
OwnDomain: TypeAlias = Callable[[Trajectory], Domain]


def rows(source: str, domain: Domain | None) -> Iterator[Row]:
    """Each row's id with its trajectory and domain, or with what is wrong with it.

    Without a `domain` a row has that of the source: of the domain folder, of the import, or
    of the run's seeds; else one of its own tools alone. Raises InputError when there is
    nothing to read, or when a run's seeds are gone.
    """
    if is_corpus(source):
        yield from _foreign(open_corpus(source), domain)
    elif is_source(source):
        yield from _imported(source, domain)
    else:
        path = find(source)
        lines = path / "trajectories.jsonl"
        if lines.is_file():
            yield from _foreign(corpus_at(lines, normalised), domain or _of_folder(path))
        else:
            yield from _of_files(path, domain)


def formats(source: str) -> dict[str, str]:
    """The format of each file of `source` that is neither named nor our own; "" for none."""
    if is_corpus(source):
        return open_corpus(source).recognised() if source.startswith("hf:") else {}
    path = None if is_source(source) else find(source)
    if path is None or (path / "trajectories.jsonl").is_file():
        return {}
    foreign = [f for f in _files(path) if f.suffix != ".parquet" or not _is_own(f)]
    return {name: kind for f in foreign for name, kind in corpus_at(f).recognised().items()}


def _of_files(path: Path, domain: Domain | None) -> Iterator[Row]:
    own = _given(domain) if domain else _of_run(path)
    for file in _files(path):
        if file.suffix == ".parquet" and _is_own(file):
            yield from _own_rows(file, own)
        else:
            yield from _foreign(corpus_at(file), domain)


def _of_folder(folder: Path) -> Domain | None:
    from trajgen.domains import load_domain

    return load_domain(folder) if (folder / "domain.yaml").is_file() else None


def _given(domain: Domain) -> OwnDomain:
    return lambda _: domain


def _of_run(folder: Path) -> OwnDomain:
    """Which domain a row of our own is checked against: in a run's folder its seeds' one."""
    if not (folder / "run.json").is_file():
        return lambda row: Domain(name=row.domain, policy="", tools=row.tools)
    try:
        domains = run_seeds(folder).domains
    except InputError as error:
        raise _needs_domain(error.what, folder) from error

    def of_seeds(row: Trajectory) -> Domain:
        if row.domain not in domains:
            raise _needs_domain(f"its seeds have no domain {row.domain!r} any more", folder)
        return domains[row.domain]

    return of_seeds


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


def _foreign(corpus: Corpus, domain: Domain | None) -> Iterator[Row]:
    for row in corpus.rows():
        yield _placed(row, domain or corpus.domain)


def _placed(row: Found, domain: Domain | None) -> Row:
    """A row under its own id, or under its place in the file when it has none. Its own
    `state`, laid over the domain's, is where it began."""
    value = row.value
    if isinstance(value, Problem):
        return row.place, value
    id_ = str(value["id"]) if isinstance(value.get("id"), str | int) else row.place
    tools = tuple(value.get("tools", ()))
    own = domain or Domain(name="", policy="", tools=tools)
    state = value["state"] if isinstance(value.get("state"), dict) else None
    messages = tuple(value["messages"])
    made = Trajectory(id_, own.name, messages, tools or own.tools, state_initial=state)
    return id_, (made, own)


def _files(path: Path) -> list[Path]:
    """The file itself, a run's kept shards, or all JSON and Parquet files of a folder."""
    if path.is_file() or hub.is_saved(path):
        return [path]
    if not (shards := path / "shards").is_dir():
        return files_in(path)
    return sorted(file for file in shards.glob("*.parquet") if not file.name.startswith("."))


def _is_own(file: Path) -> bool:
    """Whether these are our own shards. Raises InputError for what holds no conversations."""
    found = columns.names(file)
    if not found & columns.CONVERSATIONS:
        raise InputError(
            f"no column `messages` (found: {', '.join(sorted(found)[:12])})", str(file)
        )
    return found >= columns.OWN


def _own_rows(file: Path, own: OwnDomain) -> Iterator[Row]:
    for number, row in columns.read(file):
        try:
            trajectory = Trajectory.parse(row)
        except (KeyError, TypeError, ValueError) as error:
            yield f"{file.name}:{number}", Problem(f"not a row of a shard ({str(error)[:120]})")
            continue
        yield trajectory.id, (trajectory, own(trajectory))
