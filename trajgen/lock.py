"""One driver a run folder: a file lock that the kernel gives back when its holder dies.

Crash rule: a left-over lock file locks nothing and is simply locked again.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path

from trajgen.durable import disk_errors
from trajgen.errors import RunLocked


class DriverLock:
    """Held from construction until `release`. Raises RunLocked at once when taken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path), ExitStack() as undo:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = self._taken(undo)
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"{os.uname().nodename} {os.getpid()}\n".encode())
            undo.pop_all()

    def release(self) -> None:
        """Remove the file, then unlock: whoever waits sees that its file is gone."""
        with disk_errors(self.path):
            try:
                self.path.unlink(missing_ok=True)
            finally:
                os.close(self._descriptor)

    def _taken(self, undo: ExitStack) -> int:
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            undo.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.read(descriptor, 200).decode("utf-8", "replace").split()
                raise self._locked(holder) from error
            if self._is_current(descriptor):
                return descriptor
            undo.close()

    def _is_current(self, descriptor: int) -> bool:
        """Whether the locked file still has its name: its last holder may have removed it."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _locked(self, holder: list[str]) -> RunLocked:
        who = f" (process {holder[1]} on {holder[0]})" if len(holder) == 2 else ""
        return RunLocked(
            f"another driver{who} works in this run folder",
            str(self.path.parent.parent),
            "Wait for it or stop it; `trajgen status` shows how far it is.",
        )
