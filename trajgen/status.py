"""How far a run is and what it took, read while a driver works or after it.

Crash rule: nothing here decides what is done; logs/usage.jsonl is replaced whole, and what
a session used after its last commit is not counted.
"""

from __future__ import annotations

import json
from typing import Any

from trajgen.durable import place_bytes
from trajgen.json_text import canonical
from trajgen.objects import Place, side_by_side
from trajgen.run_record import existing_run, quarantined, read_manifest, totals
from trajgen.shards import read_info, shard_numbers, shard_path

_TOKENS = ("prompt", "cached", "generated")
_SUMS = ("planned", "done", "kept", "rejected", "dead", "quarantined", "reasons", "outcomes")


def status(folder: Place) -> dict[str, Any]:
    """Progress and yield of a run, finished or not, as the JSON of `trajgen status`.

    Reads footers only and takes no lock. Raises InputError when `folder` holds no run.
    """
    run = existing_run(folder)
    manifest = read_manifest(folder)
    if manifest is not None:
        sums = manifest["totals"]
    else:
        paths = [shard_path(folder, number) for number in shard_numbers(folder)]
        found = side_by_side(folder, read_info, paths)
        sums = totals((info for info in found if info), run["planned"], quarantined(folder))
    sessions = read_usage(folder)
    return {
        "name": run["name"],
        "run_id": run["run_id"],
        "complete": manifest is not None,
        **{name: sums[name] for name in _SUMS},
        "tokens": {name: sum(session[name] for session in sessions) for name in _TOKENS},
        "seconds": round(sum(session["seconds"] for session in sessions), 3),
    }


def read_usage(folder: Place) -> list[dict[str, Any]]:
    """One entry a session: session, seconds, prompt, cached, generated; bad lines skipped."""
    try:
        lines = _usage_path(folder).read_bytes().splitlines()
    except OSError:
        return []
    return [entry for line in lines if (entry := _usage(line)) is not None]


def next_session(folder: Place) -> int:
    """The number of the next session that notes what it used, from 1."""
    return max((entry["session"] for entry in read_usage(folder)), default=0) + 1


def write_usage(folder: Place, entry: dict[str, Any]) -> None:
    """Put in the line of `entry`'s session. Raises CommitError when the disk fails."""
    others = [e for e in read_usage(folder) if e["session"] != entry["session"]]
    text = "".join(f"{canonical(line)}\n" for line in [*others, entry])
    place_bytes(_usage_path(folder), text.encode())


def _usage_path(folder: Place) -> Place:
    return folder / "logs" / "usage.jsonl"


def _usage(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(entry, dict) and {"session", "seconds", *_TOKENS} <= entry.keys()
    return entry if whole else None
