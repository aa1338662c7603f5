"""One driver a run in an object store: an object that its holder renews.

It is taken over nothing or over one version of it, so of several drivers one gets it. Who
finds one that its holder has let go, or that was not renewed for TAKEN_S by the store's own
clock, takes it; at once, when the holder was a process of this machine that is gone.

A driver that could not renew for STALE_S, or whose lease was taken, changes nothing more: the
lease guards its store. TAKEN_S is longer than STALE_S and a call together, so that nothing of
the old driver arrives after the new one has begun; if something does, it names a version that
is gone, and takes no effect.

Crash rule: a lease that is left over is taken as above, and never deleted.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from trajgen.errors import Conflict, InputError, MachineError, RunLocked
from trajgen.ids import digest
from trajgen.json_text import canonical
from trajgen.object_store import Meta, Version
from trajgen.objects import HURRY_S, ObjectPath

LEASE = "driver.lease"
CLOCK = "clock"  # written to learn the store's time
RENEW_S = 10.0
STALE_S = 60.0
TAKEN_S = 120.0
_CALL_S = 10.0  # of one renewal: the next is due by then
_NO_VERSION = Version('"00000000000000000000000000000000"', "1")


class Lease:
    """Held from construction until `release`, for the run in `folder`.

    Raises RunLocked at once when another driver holds it, InputError for a store on which two
    could hold it.
    """

    def __init__(self, folder: ObjectPath) -> None:
        self.folder = folder
        self._path = ObjectPath(folder.store.twin(_CALL_S), (folder / "logs" / LEASE).key)
        self._token, self._count, self._lost = secrets.token_hex(16), 0, ""
        self._renewed = _clock()
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._version = self._take()
        try:
            self._prove()
            self._keeper.start()
        except BaseException:
            self._let_go()
            raise
        folder.store.guard = self.check

    def check(self) -> None:
        """Raise RunLocked when this driver may change nothing any more."""
        silent = _clock() - self._renewed
        if self._lost or silent > STALE_S:
            raise RunLocked(
                self._lost or f"the lease of this run could not be renewed for {silent:.0f} s",
                str(self.folder),
                "Nothing more was written. When no other driver works here, run the same command "
                "again: what is committed stays.",
            )

    def hurry(self) -> None:
        """The driver has to stop: all that it does in this store is over in HURRY_S."""
        self.folder.store.end(HURRY_S)
        self._path.store.end(HURRY_S)

    def release(self) -> None:
        """Let another driver have it. A store that fails meanwhile is left alone: then the
        lease runs out."""
        self._over.set()
        self._path.store.end(HURRY_S)
        self._keeper.join(HURRY_S)
        self._let_go()

    def _let_go(self) -> None:
        self._path.store.end(HURRY_S)
        if not self._lost:
            with suppress(MachineError, FileNotFoundError):
                self._put({"released": True})

    def _take(self) -> Version:
        body = self._body({})
        try:
            return self._path.create(body)
        except Conflict:
            data, meta = self._path.read()
        self._refuse_held(_holder(data), meta)
        self._renewed = _clock()
        try:
            return self._path.put(body, meta.version)
        except Conflict as error:
            raise self._locked("just came") from error

    def _refuse_held(self, holder: dict[str, Any], meta: Meta) -> None:
        """Raise RunLocked unless the lease may be taken."""
        if holder.get("released") or _is_gone(holder):
            return
        age = (self._now() - meta.modified).total_seconds()
        if age < TAKEN_S:
            who = f"process {holder.get('pid')} on {holder.get('host')}"
            raise self._locked(f"{who}, last heard of {max(0.0, age):.0f} s ago,")

    def _locked(self, who: str) -> RunLocked:
        return RunLocked(
            f"another driver ({who.rstrip(',')}) works in this run",
            str(self.folder),
            "Wait for it or stop it; `trajgen status` shows how far it is. When it died on another "
            f"machine, its lease ends {TAKEN_S:.0f} s after it was last heard of.",
        )

    def _now(self) -> Any:
        """The time on the store's clock."""
        clock = self._path.with_name(CLOCK)
        clock.replace(self._token.encode())
        return clock.read()[1].modified

    def _prove(self) -> None:
        """Raise InputError when the store puts over what it was told not to."""
        body = self._body({})
        for over in (None, _NO_VERSION):
            try:
                self._path.store.put(str(self._path.key), body, over)
            except Conflict:
                continue
            raise InputError(
                "this store does not honour conditional writes (If-None-Match, If-Match), so two "
                "drivers could mix their shards",
                str(self.folder),
                "Name another store, or a folder, with --out.",
            )

    def _keep(self) -> None:
        while not self._over.wait(RENEW_S):
            try:
                self._renew()
            except (Conflict, FileNotFoundError):
                self._lost = "another driver has taken over this run"
                return
            except MachineError:  # tried again; `check` knows for how long that may go on
                continue

    def _renew(self) -> None:
        began = _clock()
        self._count += 1
        self._put({})
        self._renewed = began

    def _put(self, more: dict[str, Any]) -> None:
        """Write it anew. An earlier try whose answer was lost may have come through."""
        try:
            self._version = self._path.put(self._body(more), self._version)
        except Conflict:
            data, meta = self._path.read()
            if _holder(data).get("token") != self._token:
                raise
            self._version = self._path.put(self._body(more), meta.version)

    def _body(self, more: dict[str, Any]) -> bytes:
        holder = {
            "host": os.uname().nodename,
            "machine": _machine(),
            "pid": os.getpid(),
            "began": _began(os.getpid()),
            "token": self._token,
            "renewals": self._count,
            **more,
        }
        return f"{canonical(holder)}\n".encode()


def _holder(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_gone(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    pid = holder.get("pid")
    if not isinstance(pid, int) or holder.get("machine") != _machine():
        return False
    return _began(pid) != holder.get("began")


def _machine() -> str:
    """This boot of this machine, as far as its processes see each other."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return digest([os.uname().nodename, boot, str(Path("/proc/self/ns/pid").readlink())])


def _began(pid: int) -> str | None:
    """When a process of this machine began, in ticks since boot; None when it has ended."""
    try:
        # The name, in parentheses, may hold anything. Then: state, 18 more fields, the time.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _clock() -> float:
    """Seconds that pass while the machine sleeps, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
