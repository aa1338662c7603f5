"""A run on disk or in an object store: one driver opens or resumes it, commits it shard by
shard, and finishes it once.

    run.json  plan.parquet  quarantine.jsonl     before the first shard
    rejects/  dead/  then  shards/               one commit a shard
    README.md  then  manifest.json               when the last shard is committed

Owed = plan minus committed; progress is what lies in the folder, nothing else.

Crash rule: run.json claims the folder first of all, and whatever is missing when the
folder is opened again is written then. A damaged shard is moved to corrupt/ and owed
again. A finished folder is not touched; damage to it makes it unfinished first.

Only logs/ depends on timing. Shards that were committed beyond the one at which the run
ended are moved to logs/surplus/: paid for, kept, and part of nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Any

from trajgen import shards
from trajgen.card import card
from trajgen.durable import disk_errors, make_ready, place, place_bytes, sha256_of
from trajgen.errors import CommitError
from trajgen.json_text import canonical
from trajgen.lease import Lease
from trajgen.lock import DriverLock
from trajgen.objects import ObjectPath, Place, side_by_side
from trajgen.plan_file import plan_path, plan_places, plan_slot, plan_tasks, write_plan
from trajgen.records import Task
from trajgen.run_record import (
    FIDELITY,
    manifest,
    n_shards,
    quarantined,
    read_manifest,
    read_record,
    read_run,
    record_bytes,
    refuse_other,
    refuse_unequal,
    shard_rows,
    totals,
)
from trajgen.sealed import sealed_sha256
from trajgen.set_aside import file_aside, shard_aside
from trajgen.shards import ShardInfo, ShardResult
from trajgen.status import next_session, status, write_usage
from trajgen.verify import misplaced, shard_problems, strays, verify
from trajgen.writes import Writes

__all__ = ["RunFolder", "plan_tasks", "status", "verify"]

_PARTS = ("shards", "rejects", "dead")
_STATIC = ("plan.parquet", "quarantine.jsonl")


class RunFolder:
    """One run's folder. `run` is what run.json holds; use as a context, or `close`."""

    def __init__(self, path: Place, run: Mapping[str, Any]) -> None:
        self.path = path
        self.run = dict(run)
        self._lock: DriverLock | Lease | None = None
        self._infos: dict[int, ShardInfo] | None = None
        self._session = 0
        self._unfinished = False  # known to have no manifest
        self._writes = Writes(str(path))

    @classmethod
    def create_or_open(
        cls,
        path: Place,
        run: Mapping[str, Any],
        plan: Iterable[Task],
        quarantine: Iterable[Mapping[str, Any]],
    ) -> RunFolder:
        """Begin a run in `path`, or open the one that is there, as its only driver.

        `run` has name, run_id, digest, pipeline (resolved, JSON data), digests, planned,
        versions; `plan` and `quarantine` are read only when they have to be written.
        Raises InputError for a folder with another digest (with what differs) or with
        other things in it, untouched; RunLocked when another driver holds it; CommitError
        when the disk fails.
        """
        folder = cls(path, run)
        folder._claim(run)
        if folder.complete and folder._damaged_static() == []:
            return folder
        with ExitStack() as undo:
            undo.callback(folder.close)
            folder._own()
            folder._prepare(run, plan, quarantine)
            undo.pop_all()
        return folder

    @property
    def complete(self) -> bool:
        """Whether the manifest is there and is this run's."""
        record = read_manifest(self.path)
        return record is not None and record["digest"] == self.run["digest"]

    def plan_tasks(self, start: int = 0) -> Iterator[Task]:
        """The planned tasks from index `start` on, streamed."""
        return plan_tasks(self.path, start)

    def committed(self) -> dict[int, ShardInfo]:
        """`each_committed` by number."""
        return {info.number: info for info in self.each_committed()}

    def each_committed(self) -> Generator[ShardInfo, None, None]:
        """Every sound committed shard in order, gaps included, a few in memory at a time.

        Reads every byte once against the seals and digests, and parses no rows. At the end a
        damaged shard is moved to corrupt/ and owed again. Files that are none of the plan's are
        moved there too: a reader of the folder would take them for rows.
        """
        present = shards.shard_numbers(self.path)
        infos: dict[int, ShardInfo] = {}
        found = side_by_side(
            self.path,
            lambda at: shard_problems(self.path, at[0], at[1], self.run["digest"]),
            plan_places(self.path, shard_rows(self.run), present),
        )
        with closing(found):
            for number, (info, bad) in zip(present, found, strict=True):
                if info and not bad:
                    infos[number] = info.counts()
                    yield info
        self._infos = infos
        for number in present:
            if number not in infos:
                self._reopen()
                shard_aside(self.path, number, self.path / "corrupt")
        for path in list(strays(self.path, infos, n_shards(self.run))):
            if path.parent != self.path:
                self._reopen()
                file_aside(path, self.path / "corrupt")

    def commit(
        self, result: ShardResult, fingerprints: Sequence[str] = (), sketches: Sequence[str] = ()
    ) -> ShardInfo:
        """Commit a shard: each task of its range of the plan once, in plan order.

        Raises CommitError when that does not hold or the disk fails; nothing is committed.
        """
        slot = plan_slot(self.path, result.number, shard_rows(self.run))
        for what in misplaced(result, slot):
            raise CommitError(what, f"{self.path}, shard {result.number}")
        with self._writes.turn():
            self._reopen()
            info = shards.commit(self.path, result, fingerprints, self.run["digest"], sketches)
            if self._infos is not None:
                self._infos[info.number] = info.counts()
        return info

    def finish(self, last_shard: int, found: Mapping[str, bytes] = {}) -> dict[str, Any]:
        """Write the files of `found`, the data set card and, last, the manifest of the shards
        up to `last_shard`.

        Gives the totals. Run again it touches nothing. Raises CommitError when one of
        these shards is not committed or the sums do not hold.
        """
        with self._writes.turn():
            return self._finish(last_shard, found)

    def _finish(self, last_shard: int, found: Mapping[str, bytes]) -> dict[str, Any]:
        infos = self.committed() if self._infos is None else self._infos
        missing = [n for n in range(last_shard + 1) if n not in infos]
        if missing:
            raise CommitError(f"shard {missing[0]} is not committed", str(self.path))
        self._retire_beyond(last_shard)
        chosen = [infos[n] for n in range(last_shard + 1)]
        self._infos = {info.number: info for info in chosen}
        sums = totals(chosen, self.run["planned"], quarantined(self.path))
        refuse_unequal(sums, min(self.run["planned"], (last_shard + 1) * shard_rows(self.run)))
        measured = (read_record(self.path / FIDELITY) or {}).get("figures")
        for name, data in found.items():
            self._put(name, data)
        self._put("README.md", card(self.run, sums, measured).encode("utf-8", "replace"))
        self._unfinished = False
        self._put("manifest.json", record_bytes(manifest(self.path, self.run, chosen, sums)))
        return sums

    def record_usage(self, *, seconds: float, prompt: int, cached: int, generated: int) -> None:
        """Note what this session took so far, in a line of logs/usage.jsonl: seconds of the
        clock, tokens since it began. A folder that was only read notes nothing."""
        if self._lock is None:
            return
        with self._writes.turn():
            self._session = self._session or next_session(self.path)
            entry = {"session": self._session, "seconds": round(seconds, 3), "prompt": prompt}
            write_usage(self.path, entry | {"cached": cached, "generated": generated})

    def check(self) -> None:
        """Raise RunLocked when another driver may work here by now."""
        if isinstance(self._lock, Lease):
            self._lock.check()

    def hurry(self) -> None:
        """The driver has to stop: an object store is waited for HURRY_S more."""
        if isinstance(self._lock, Lease):
            self._lock.hurry()

    def close(self) -> None:
        """Let another driver work here; where a write of ours hangs, once that is over."""
        lock, self._lock = self._lock, None
        if lock is not None:
            self._writes.end(lock.release)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _claim(self, run: Mapping[str, Any]) -> bool:
        """Take over the run that is there, if it is `run`; False when there is none."""
        there = read_run(self.path)
        if there is not None:
            refuse_other(self.path, there, run)
            self.run = there
        return there is not None

    def _own(self) -> None:
        if self._lock is not None:
            return
        if isinstance(self.path, ObjectPath):
            self._lock = Lease(self.path)
        else:
            self._lock = DriverLock(self.path / "logs" / "driver.lock")

    def _prepare(
        self,
        run: Mapping[str, Any],
        plan: Iterable[Task],
        quarantine: Iterable[Mapping[str, Any]],
    ) -> None:
        """Write what is missing before the first shard. Needs the lock."""
        if not self._claim(run):
            place_bytes(self.path / "run.json", record_bytes(run))
        if not isinstance(self.path, ObjectPath):
            make_ready(self.path, (*_PARTS, "logs"))
        for name in self._damaged_static():
            self._reopen()
            file_aside(self.path / name, self.path / "corrupt")
        if not plan_path(self.path).exists():
            write_plan(self.path, plan, self.run["planned"], shard_rows(self.run))
        if not (self.path / "quarantine.jsonl").exists():
            place(
                self.path / "quarantine.jsonl",
                lambda file: file.writelines(_line(entry) for entry in quarantine),
            )

    def _damaged_static(self) -> list[str]:
        """Which of the plan and the quarantine are not what they were when written."""
        record = read_manifest(self.path)
        if record is None:
            plan = plan_path(self.path)
            return ["plan.parquet"] if plan.exists() and sealed_sha256(plan) is None else []
        paths = {name: self.path / name for name in _STATIC}
        return [
            name
            for name, path in paths.items()
            if not path.exists() or sha256_of(path) != record["files"][name]["sha256"]
        ]

    def _retire_beyond(self, last_shard: int) -> None:
        for number in shards.shard_numbers(self.path, sides=True):
            if number > last_shard:
                self._reopen()
                shard_aside(self.path, number, self.path / "logs" / "surplus")

    def _reopen(self) -> None:
        """A finished run that has to change is unfinished first; once, since a driver that slept
        while its lease was taken must not delete what its successor wrote."""
        self._own()
        if not self._unfinished:
            with disk_errors(self.path / "manifest.json"):
                (self.path / "manifest.json").unlink(missing_ok=True)
        self._unfinished = True

    def _put(self, name: str, data: bytes) -> None:
        path = self.path / name
        if not path.exists() or path.read_bytes() != data:
            self._own()
            place_bytes(path, data)


def _line(entry: Mapping[str, Any]) -> bytes:
    return f"{canonical(entry)}\n".encode("utf-8", "replace")
