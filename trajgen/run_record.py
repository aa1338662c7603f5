"""run.json and manifest.json: what a run is, and what a finished run holds.

Both carry the sha256 of their own content. run.json comes first of all files and claims
the folder; manifest.json comes last, and its presence says that the run is complete.

Crash rule: each is there whole or not at all, and neither is ever changed in place.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trajgen.config import UNDECISIVE
from trajgen.config.engine import PLACEMENT
from trajgen.durable import TEMPORARY, sha256_of
from trajgen.errors import CommitError, InputError
from trajgen.ids import digest
from trajgen.lease import CLOCK, LEASE
from trajgen.objects import Place, sizes_in
from trajgen.pipeline_file import expand
from trajgen.records import SCHEMA_VERSION
from trajgen.shards import ShardInfo, dead_path, is_shard_file, rejects_path, shard_path

FIDELITY = "fidelity.json"  # the figures that a run required of its world model
EXPLORE = "explore.json"  # the counts of collected transitions
REVIEWS = "reviews.parquet"  # what people say of rows; changes after the run, so in no manifest
REPORT = "report.html"  # made from the rest, so in no manifest
_STATIC = ("run.json", "README.md", "plan.parquet", "quarantine.jsonl")
_PARTS = ("shards", "rejects", "dead", "logs")
_SHOWN = 80
_LEFT_OVER = ("driver.lock", LEASE, CLOCK)  # in logs/, of a driver that died before run.json


def record_bytes(data: Mapping[str, Any]) -> bytes:
    """`data` as readable JSON with the sha256 of its content; one text for one content."""
    record = {**data, "sha256": digest(dict(data))}
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def read_record(path: Place) -> dict[str, Any] | None:
    """What `record_bytes` wrote, or None when the file is missing or damaged."""
    try:
        data = json.loads(path.read_bytes())
        sha256 = data.pop("sha256")
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return data if sha256 == digest(data) else None


def read_manifest(folder: Place) -> dict[str, Any] | None:
    """What the manifest of a run holds, or None when it is missing, damaged or names anything
    but files of a run: somebody else may have written it, and its names become paths."""
    record = read_record(folder / "manifest.json")
    return record if record is not None and _is_manifest(record) else None


def read_run(folder: Place) -> dict[str, Any] | None:
    """The run of a folder, or None when a run may begin there.

    Raises InputError when the folder holds something else, run.json is damaged, or a part of
    the run is a link to elsewhere.
    """
    path = folder / "run.json"
    refuse_links(folder)
    if path.exists():
        run = read_record(path)
        if run is None or not _is_run(run):
            raise InputError(
                "is damaged", str(path), "Put back a copy of it, or name another folder with --out."
            )
        return run
    if not _is_ours(folder):
        raise InputError(
            "holds files but no run.json, so it is no run of ours",
            str(folder),
            "Name another folder with --out; nothing in this one was touched.",
        )
    return None


def refuse_links(folder: Place) -> None:
    """Raise InputError when anything of a run folder is a link, a device or a pipe: what is
    written to it would land elsewhere, what is read might never end."""
    if not isinstance(folder, Path):
        return  # objects are none of these
    for part in (folder, *(folder / name for name in _PARTS)):
        if not part.is_dir():
            continue
        with os.scandir(part) as entries:
            for entry in entries:
                own = entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
                if not own and os.path.lexists(entry.path):  # else it was removed just now
                    raise InputError(
                        "is no plain file or folder; a run holds its own files",
                        entry.path,
                        "Put the data itself there. The run folder as a whole may be a link.",
                    )


def existing_run(folder: Place) -> dict[str, Any]:
    """The run of a folder. Raises InputError when there is none."""
    run = read_run(folder)
    if run is None:
        raise InputError("there is no run in this folder", str(folder))
    return run


def refuse_other(folder: Place, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise InputError with what differs, unless both are the same run by their digests."""
    if old["digest"] == new["digest"]:
        return
    raise InputError(
        "this folder holds another run:\n  " + "\n  ".join(differences(old, new)),
        str(folder),
        "Go back to those settings to resume it, or name another folder with --out.",
    )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line for each setting or digest that decides rows and differs, `key: old -> new`."""
    before, after = dict(_flat("", _decisive(old))), dict(_flat("", _decisive(new)))
    lines = [
        f"{key}: {_shown(before, key)} -> {_shown(after, key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) or (key in before) != (key in after)
    ]
    return lines or [
        f"digest: {old['digest']} -> {new['digest']} (a ${{VAR}} may have another value)"
    ]


def shard_rows(run: Mapping[str, Any]) -> int:
    """Tasks a shard."""
    return int(run["pipeline"]["shards"]["rows"])


def n_shards(run: Mapping[str, Any]) -> int:
    """Shards of the whole plan."""
    return -(-int(run["planned"]) // shard_rows(run))


def refuse_unequal(sums: Mapping[str, Any], tasks: int) -> None:
    """Raise CommitError unless each of the plan's first `tasks` tasks has one end."""
    ends = {name: sums[name] for name in ("kept", "rejected", "dead")}
    if sums["done"] != tasks or sum(ends.values()) != tasks:
        told = " + ".join(f"{count} {name}" for name, count in ends.items())
        raise CommitError(f"the sums do not hold: {told} of {tasks} tasks", "manifest.json")


def seed_sources(run: Mapping[str, Any]) -> tuple[str, ...]:
    """Where the seeds of a run are, variables laid in. Raises InputError for one not set here."""
    return tuple(expand(list(run["pipeline"].get("seeds", ())), "run.json"))


def quarantined(folder: Place) -> int:
    """Refused seed lines of a run."""
    try:
        with (folder / "quarantine.jsonl").open("rb") as file:
            return sum(1 for _ in file)
    except FileNotFoundError:
        return 0


def totals(infos: Iterable[ShardInfo], planned: int, refused: int) -> dict[str, Any]:
    """The sums of committed shards. `reasons` counts rejected rows by code; `outcomes`,
    `licenses` and tokens are those of kept rows; `yield` is kept / done."""
    sums: Counter[str] = Counter()
    tables: dict[str, Counter[str]] = {n: Counter() for n in ("reasons", "outcomes", "licenses")}
    for info in infos:
        sums["shards"] += 1
        for name in ("tasks", "kept", "rejected", "dead", "n_tokens", "n_target_tokens"):
            sums[name] += getattr(info, name)
        for name, table in tables.items():
            table.update(getattr(info, name))
    return {
        "planned": planned,
        "shards": sums["shards"],
        "done": sums["tasks"],
        **{name: sums[name] for name in ("kept", "rejected", "dead")},
        "quarantined": refused,
        "yield": round(sums["kept"] / sums["tasks"], 6) if sums["tasks"] else 0.0,
        **{name: dict(sorted(table.items())) for name, table in tables.items()},
        "n_tokens": sums["n_tokens"],
        "n_target_tokens": sums["n_target_tokens"],
    }


def manifest(
    folder: Place, run: Mapping[str, Any], infos: Sequence[ShardInfo], sums: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of manifest.json; the sha256 of shard files are those of their commits.
    Raises CommitError when one of the files is gone."""
    top, *parts = map(sizes_in, (folder, *(folder / name for name in _PARTS)))
    sizes = dict(zip(_PARTS, parts, strict=True))
    files = {
        "run.json": _entry(folder, "run.json", top),
        "README.md": _entry(folder, "README.md", top),
        "plan.parquet": _entry(folder, "plan.parquet", top, run["planned"]),
        "quarantine.jsonl": _entry(folder, "quarantine.jsonl", top, sums["quarantined"]),
    }
    files |= {name: _entry(folder, name, top) for name in (FIDELITY, EXPLORE) if name in top}
    for info in infos:
        for path, rows, sha256 in (
            (shard_path(folder, info.number), info.kept, info.sha256),
            (rejects_path(folder, info.number), info.rejected, info.rejects_sha256),
            (dead_path(folder, info.number), info.dead, info.dead_sha256),
        ):
            files[f"{path.parent.name}/{path.name}"] = {
                "sha256": sha256,
                "bytes": _size(path, sizes[path.parent.name]),
                "rows": rows,
            }
    return {
        "complete": True,
        **{key: run[key] for key in ("name", "run_id", "digest")},
        "schema_version": SCHEMA_VERSION,
        "totals": dict(sums),
        "files": files,
    }


def _entry(
    folder: Place, name: str, sizes: Mapping[str, int], rows: int | None = None
) -> dict[str, Any]:
    entry = {"sha256": sha256_of(folder / name), "bytes": _size(folder / name, sizes)}
    return entry if rows is None else {**entry, "rows": rows}


def _size(path: Place, sizes: Mapping[str, int]) -> int:
    if path.name not in sizes:
        raise CommitError("is gone", str(path))
    return sizes[path.name]


def _is_run(record: Mapping[str, Any]) -> bool:
    """Whether a record has what is read of every run."""
    texts = all(isinstance(record.get(key), str) for key in ("name", "run_id", "digest"))
    planned, pipeline = record.get("planned"), record.get("pipeline")
    parts = pipeline.get("shards") if isinstance(pipeline, dict) else None
    rows = parts.get("rows") if isinstance(parts, dict) else None
    return texts and isinstance(planned, int) and isinstance(rows, int) and rows > 0


def _is_manifest(record: Mapping[str, Any]) -> bool:
    texts = all(isinstance(record.get(key), str) for key in ("name", "run_id", "digest"))
    sums, files = record.get("totals"), record.get("files")
    if not texts or not isinstance(sums, dict) or not isinstance(files, dict):
        return False
    summed = all(type(sums.get(key)) is type(zero) for key, zero in totals((), 0, 0).items())
    named = files.keys() >= set(_STATIC) and all(map(_is_file_of_a_run, files))
    entries = files.values()
    hashed = all(isinstance(e, dict) and isinstance(e.get("sha256"), str) for e in entries)
    return summed and named and hashed


def _is_file_of_a_run(name: str) -> bool:
    return name in (*_STATIC, FIDELITY, EXPLORE) or is_shard_file(name)


def _is_ours(folder: Place) -> bool:
    """Whether a folder without run.json is only what a run leaves that died at once."""
    if isinstance(folder, Path) and not folder.is_dir():
        return not folder.exists()
    for path in folder.iterdir():
        if path.name == "logs" and path.is_dir():
            if any(log.name not in _LEFT_OVER for log in path.iterdir()):
                return False
        elif not path.name.startswith(TEMPORARY):
            return False
    return True


def _decisive(run: Mapping[str, Any]) -> dict[str, Any]:
    pipeline = {k: v for k, v in run.get("pipeline", {}).items() if k not in UNDECISIVE}
    engines = pipeline.pop("engines", {})
    for name, engine in engines.items():
        pipeline[f"engines.{name}"] = {k: v for k, v in engine.items() if k not in PLACEMENT}
    return {**pipeline, "digests": run.get("digests", {})}


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), item)
    else:
        yield prefix, value


def _shown(values: Mapping[str, Any], key: str) -> str:
    text = json.dumps(values[key], ensure_ascii=False) if key in values else "not set"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
