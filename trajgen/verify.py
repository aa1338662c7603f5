"""Whether the files of a run are what was committed: reads everything, changes nothing.

Works on a finished run against its manifest, and on an unfinished one against the shards'
footers and the plan. A running run may be verified; files that it writes are not counted.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from trajgen.durable import TEMPORARY, sha256_of
from trajgen.errors import CommitError, InputError, MachineError
from trajgen.firsts import distinct, mark
from trajgen.objects import Place
from trajgen.plan_file import Slot, plan_path, plan_slots, plan_tasks
from trajgen.run_record import (
    EXPLORE,
    FIDELITY,
    REPORT,
    REVIEWS,
    existing_run,
    n_shards,
    quarantined,
    read_manifest,
    refuse_links,
    shard_rows,
    totals,
)
from trajgen.sealed import sealed_sha256
from trajgen.shards import (
    ShardInfo,
    ShardResult,
    dead_path,
    describe,
    read_info,
    read_rows,
    rejects_path,
    shard_numbers,
    shard_path,
)

Problem = dict[str, str]
_COUNTED = ("id", "reasons", "outcome", "seed_license", "n_tokens", "n_target_tokens")
_OWN = (
    *("run.json", "manifest.json", "plan.parquet", "quarantine.jsonl", "README.md"),
    *(FIDELITY, EXPLORE, REPORT, REVIEWS),
)


def verify(folder: Place) -> list[Problem]:
    """Every problem as `{"file", "what"}`, `file` relative to the run folder; [] when sound.

    Raises InputError when `folder` holds no run.
    """
    refuse_links(folder)
    try:
        run = existing_run(folder)
    except InputError:
        if (folder / "run.json").exists():
            return [_problem("run.json", "is damaged")]
        raise
    problems = [*_plan(folder, run), *_quarantine(folder), *_reviews(folder)]
    if any(problem["file"] == "plan.parquet" for problem in problems):
        return [*problems, *_seals(folder)]
    infos: dict[int, ShardInfo] = {}
    for slot in plan_slots(folder, shard_rows(run)):
        if shard_path(folder, slot.number).exists():
            info, found = shard_problems(folder, slot.number, slot, run["digest"])
            problems += found or (deep_problems(folder, slot, info) if info else [])
            if info:
                infos[slot.number] = info.counts()
    for path in strays(folder, infos, n_shards(run)):
        problems.append(_problem(_name(folder, path), "is no file of this run"))
    return [*problems, *_manifest(folder, run, infos)]


def shard_problems(
    folder: Place, number: int, slot: Slot | None, run: str
) -> tuple[ShardInfo | None, list[Problem]]:
    """A shard's info with its sha256, and what its bytes, footer and side files get wrong.

    `slot` is its place in the plan, `run` the run's digest. Parses no rows.
    """
    path = shard_path(folder, number)
    name, sha256 = _name(folder, path), sealed_sha256(path)
    if sha256 is None:
        return None, [_problem(name, "is damaged or cut off")]
    info = read_info(path)
    if info is None:
        return None, [_problem(name, "has no counts in its footer")]
    problems = []
    planned = slot and (slot.number, slot.first, len(slot.ids), slot.digest)
    if planned != (info.number, info.first, info.tasks, info.ids):
        problems.append(_problem(name, "holds other tasks than the plan has for this shard"))
    if info.run != run:
        problems.append(_problem(name, "was made by another run"))
    for side, committed in (
        (rejects_path(folder, number), info.rejects_sha256),
        (dead_path(folder, number), info.dead_sha256),
    ):
        problems += _other_bytes(folder, side, committed, f"committed with {name}")
    return replace(info, sha256=sha256), problems


def deep_problems(folder: Place, slot: Slot, info: ShardInfo) -> list[Problem]:
    """What the rows of a shard get wrong: schema, ids, order, sums."""
    number, name = slot.number, _name(folder, shard_path(folder, slot.number))
    try:
        kept = list(read_rows(shard_path(folder, number), _COUNTED))
        rejected = list(read_rows(rejects_path(folder, number), _COUNTED))
        dead = [json.loads(line) for line in dead_path(folder, number).read_bytes().splitlines()]
        result = ShardResult(number, slot.first, len(slot.ids), kept, rejected, dead)
        counted = describe(result, info.fingerprints, info.run, _sides(info), info.sketches)
    except (MachineError, CommitError, OSError, ValueError, KeyError, TypeError) as error:
        return [_problem(name, f"its rows cannot be counted ({error})")]
    if counted != info:
        return [_problem(name, "its rows are not those that its footer counts")]
    return [_problem(name, what) for what in misplaced(result, slot)]


def misplaced(result: ShardResult, slot: Slot | None) -> list[str]:
    """How a shard's ids differ from the plan's: each exactly once, each list in plan order."""
    if slot is None or result.first != slot.first or set(result.ids()) != set(slot.ids):
        return ["its ids are not the plan's"]
    place = {id_: index for index, id_ in enumerate(slot.ids)}
    for rows in (result.kept, result.rejected, result.dead):
        order = [place[row["id"]] for row in rows]
        if order != sorted(order):
            return ["its rows are not in plan order"]
    return []


def _plan(folder: Place, run: dict[str, Any]) -> Iterator[Problem]:
    if sealed_sha256(plan_path(folder)) is None:
        yield _problem("plan.parquet", "is missing, damaged or cut off")
        return
    ids = array("Q")
    index = -1
    for index, task in enumerate(plan_tasks(folder)):
        ids.append(mark(task.id))
        if task.index != index:
            yield _problem("plan.parquet", f"task {task.id} is out of order")
            return
    if index + 1 != run["planned"]:
        yield _problem("plan.parquet", f"holds {index + 1} tasks instead of {run['planned']}")
    if distinct(ids) != len(ids):
        yield _problem("plan.parquet", "holds a task twice")


def _quarantine(folder: Place) -> Iterator[Problem]:
    try:
        for line in (folder / "quarantine.jsonl").read_bytes().splitlines():
            json.loads(line)
    except FileNotFoundError:
        yield _problem("quarantine.jsonl", "is missing")
    except ValueError as error:
        yield _problem("quarantine.jsonl", f"is damaged ({error})")


def _reviews(folder: Place) -> Iterator[Problem]:
    if (folder / REVIEWS).exists() and sealed_sha256(folder / REVIEWS) is None:
        yield _problem(REVIEWS, "is damaged or cut off")


def _seals(folder: Place) -> Iterator[Problem]:
    for number in shard_numbers(folder):
        if sealed_sha256(shard_path(folder, number)) is None:
            yield _problem(_name(folder, shard_path(folder, number)), "is damaged or cut off")


def strays(folder: Place, sound: Collection[int], shards: int) -> Iterator[Place]:
    """Files that are none of this run, whose plan has `shards` shards, `sound` ones committed.
    Side files of a shard that is still owed are its own."""
    complete = (folder / "manifest.json").exists()
    numbers = sound if complete else range(shards)
    known = {folder / name for name in _OWN} | {shard_path(folder, n) for n in range(shards)}
    known |= {path(folder, n) for n in numbers for path in (rejects_path, dead_path)}
    for place in (folder, folder / "shards", folder / "rejects", folder / "dead"):
        found: Iterator[Place] = place.glob("*")
        for path in sorted(found, key=str):
            if path not in known and path.is_file() and not _is_underway(path, complete):
                yield path


def _is_underway(path: Place, complete: bool) -> bool:
    return path.name.startswith(TEMPORARY) and not complete


def _manifest(folder: Place, run: dict[str, Any], infos: dict[int, ShardInfo]) -> Iterator[Problem]:
    if not (folder / "manifest.json").exists():
        return
    manifest = read_manifest(folder)
    if manifest is None:
        yield _problem("manifest.json", "is damaged")
        return
    if any(manifest[key] != run[key] for key in ("name", "run_id", "digest")):
        yield _problem("manifest.json", "is that of another run")
    for name, entry in manifest["files"].items():
        yield from _other_bytes(folder, folder / name, entry["sha256"], "in the manifest")
    for number in infos:
        name = _name(folder, shard_path(folder, number))
        if name not in manifest["files"]:
            yield _problem(name, "is not in the manifest")
    for number in set(range(max(infos, default=-1))) - infos.keys():
        yield _problem(_name(folder, shard_path(folder, number)), "is missing")
    ordered = [infos[number] for number in sorted(infos)]
    if manifest["totals"] != totals(ordered, run["planned"], quarantined(folder)):
        yield _problem("manifest.json", "its totals are not the sums of the shards")


def _other_bytes(folder: Place, path: Place, sha256: str, where: str) -> Iterator[Problem]:
    try:
        if sha256_of(path) != sha256:
            yield _problem(_name(folder, path), f"is not the file {where}: its sha256 differs")
    except OSError as error:
        yield _problem(_name(folder, path), f"cannot be read: {error.strerror}")


def _sides(info: ShardInfo) -> tuple[str, str]:
    return info.rejects_sha256, info.dead_sha256


def _name(folder: Place, path: Place) -> str:
    return path.name if path.parent == folder else f"{path.parent.name}/{path.name}"


def _problem(file: str, what: str) -> Problem:
    return {"file": file, "what": what}
