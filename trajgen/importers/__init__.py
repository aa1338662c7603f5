"""Someone else's data -> a domain and its seeds; one file a format.

`name:argument` picks the importer, as in `tau2:airline`. What cannot become a seed is
named with its reason, never skipped: `records read = seeds + refused`.

Crash rule: an import keeps nothing; `write_seeds` writes into an empty folder only, and
names `trajectories.jsonl` last, so a folder without it is an import that did not end.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml

from trajgen.durable import TEMPORARY
from trajgen.errors import InputError, MachineError
from trajgen.loading import load_object
from trajgen.records import Domain, Json, Seed


@dataclass(frozen=True)
class Imported:
    """What an importer found; each of `refused` is {"file", "line", "reason"}.

    `line` is the record's number in its file, from 1.
    """

    domain: Domain
    seeds: tuple[Seed, ...]
    refused: tuple[dict[str, Json], ...] = ()


class Importer(Protocol):
    """Turns a source's argument into a domain and its seeds."""

    def __call__(self, argument: str) -> Imported:
        """Read everything `argument` names. Raises InputError when it names nothing."""


IMPORTERS: dict[str, str] = {
    "tau2": "trajgen.importers.tau2:import_tau2",
    "bfcl": "trajgen.importers.bfcl:import_bfcl",
    "textworld": "trajgen.importers.textworld:import_textworld",
    "scienceworld": "trajgen.importers.scienceworld:import_scienceworld",
    "household": "trajgen.importers.household:import_household",
    "openai": "trajgen.importers.corpus.domain:import_openai",
    "sharegpt": "trajgen.importers.corpus.domain:import_sharegpt",
    "hermes": "trajgen.importers.corpus.domain:import_hermes",
    "react": "trajgen.importers.corpus.domain:import_react",
    "atif": "trajgen.importers.corpus.domain:import_atif",
    "hf": "trajgen.importers.corpus.domain:import_any",
}


def is_source(text: str) -> bool:
    """Whether `text` names an import source (`tau2:airline`) and not a folder."""
    return text.partition(":")[0] in IMPORTERS and ":" in text


def import_source(source: str) -> Imported:
    """What the importer of `name:argument` finds.

    Raises InputError for an unknown name, naming the known ones, and as the importer does.
    """
    name, colon, argument = source.partition(":")
    if name not in IMPORTERS or not colon:
        raise InputError(f"unknown import source {source!r}", fix=_meant(source))
    importer: Importer = load_object(IMPORTERS[name])
    return importer(argument)


def _meant(source: str) -> str:
    """What may have been meant by a source that has no known name."""
    name, colon, argument = source.partition(":")
    known = ", ".join(f"{known}:…" for known in IMPORTERS)
    if not colon:
        return f"For a file or folder whose format is recognised: hf:{source}. Known: {known}"
    near = difflib.get_close_matches(name, IMPORTERS, 1)
    guess = f"Did you mean {near[0]}:{argument}? " if near else ""
    return f"{guess}Known: {known}"


def refuse_filled(folder: Path) -> None:
    """Raises InputError when `folder` is there and not empty: an import overwrites nothing."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            "is there already and not empty",
            str(folder),
            "Name a new folder, or remove this one first; an import overwrites nothing.",
        )


def write_domain(imported: Imported, folder: Path) -> None:
    """Write a domain folder that the seed loader reads back.

    Raises as `write_seeds` does.
    """
    write_seeds(imported.domain, [*imported.refused, *imported.seeds], folder)


def write_seeds(
    domain: Domain, found: Iterable[Seed | dict[str, Json]], folder: Path
) -> tuple[int, int]:
    """Write a domain folder from seeds and refusals, taken one by one; how many of each.

    What was refused goes to `quarantine.jsonl`. Raises InputError when `folder` is there and
    not empty, MachineError when it cannot be written.
    """
    refuse_filled(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_domain(domain, folder)
        return _write_lines(found, folder)
    except OSError as error:
        raise MachineError(
            f"cannot be written ({error})", str(folder), "Free the disk or name another folder."
        ) from error


def _write_domain(domain: Domain, folder: Path) -> None:
    head = yaml.safe_dump(_head(domain), sort_keys=False, allow_unicode=True, width=100)
    (folder / "domain.yaml").write_text(head, "utf-8")
    (folder / "policy.md").write_text(domain.policy, "utf-8")
    (folder / "tools.json").write_text(_json(list(domain.tools), indent=2), "utf-8")
    if domain.state is not None:
        (folder / "state.json").write_text(_json(domain.state), "utf-8")


def _write_lines(found: Iterable[Seed | dict[str, Json]], folder: Path) -> tuple[int, int]:
    counts, last = [0, 0], folder / "trajectories.jsonl"
    unfinished = folder / f"{TEMPORARY}{last.name}"
    with ExitStack() as stack:
        files = [stack.enter_context(unfinished.open("wb"))]
        for item in found:
            refused = not isinstance(item, Seed)
            if refused and len(files) == 1:
                files.append(stack.enter_context((folder / "quarantine.jsonl").open("wb")))
            files[refused].write(_line(item))
            counts[refused] += 1
        files[0].flush()
        os.fsync(files[0].fileno())
    os.replace(unfinished, last)
    return counts[0], counts[1]


def _head(domain: Domain) -> dict[str, Json]:
    return {
        "name": domain.name,
        "description": domain.description,
        "license": domain.license,
        "language": domain.language,
        "tools": {
            tool: {"kind": kind, **_plain(domain.semantics.get(tool, {}))}
            for tool, kind in domain.kinds.items()
        },
        "failure_prefixes": list(domain.failure_prefixes),
    }


def _line(item: Seed | dict[str, Json]) -> bytes:
    row = _row(item) if isinstance(item, Seed) else item
    try:
        return f"{_json(row)}\n".encode()
    except UnicodeEncodeError:  # a lone half of a surrogate pair, kept as its escape
        return f"{json.dumps(row)}\n".encode()


def _row(seed: Seed) -> dict[str, Json]:
    row: dict[str, Json] = {"id": seed.id, "messages": list(seed.messages)}
    if seed.state is not None:
        row["state"] = seed.state
    if seed.goal:
        row["goal"] = list(seed.goal)
    if seed.meta:
        row["meta"] = _plain(seed.meta)
    return row


def _plain(value: Json) -> Json:
    """Mappings and tuples of a record as the dicts and lists JSON has."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _json(value: Json, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
