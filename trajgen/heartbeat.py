"""What a driver says of itself while it works, for `trajgen status` in another shell.

Crash rule: logs/progress.json decides nothing. It is replaced whole every few seconds and goes
when the driver ends; what a killed one left behind is told by its age.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial

from trajgen.deadline import awaited_within
from trajgen.durable import place_bytes
from trajgen.errors import CommitError, MachineError
from trajgen.objects import Place

EVERY_S = 5.0  # between two beats
SILENT_S = 120.0  # after which a driver may be gone

Lines = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Beat:
    """Who works, when that was said (seconds since 1970), and the lines of the live view."""

    at: float
    host: str
    process: int
    lines: tuple[tuple[str, str], ...]

    @property
    def age_s(self) -> float:
        """Seconds since it was said; 0 where clocks differ."""
        return max(time.time() - self.at, 0.0)

    @property
    def gone(self) -> bool:
        """Whether the process is known to have ended; of another host nobody knows."""
        if self.host != os.uname().nodename:
            return False
        try:
            os.kill(self.process, 0)  # asks, and does nothing
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:
            return False
        return False


def write_beat(folder: Place, lines: Lines) -> None:
    """Say that this process works in `folder`. Raises CommitError when the disk fails."""
    beat = Beat(time.time(), os.uname().nodename, os.getpid(), tuple(lines))
    place_bytes(_path(folder), json.dumps(asdict(beat)).encode("utf-8", "replace"))


async def beating(folder: Place, lines: Callable[[], Lines]) -> None:
    """Say so again and again, until cancelled. A disk that does not answer hears nothing."""
    late = CommitError("the disk does not answer")
    while True:
        with suppress(MachineError):
            await awaited_within(EVERY_S, partial(write_beat, folder, lines()), late)
        await asyncio.sleep(EVERY_S)


def read_beat(folder: Place) -> Beat | None:
    """The last that was said; None when nobody works or nothing can be read."""
    try:
        data = json.loads(_path(folder).read_bytes())
        lines = tuple((str(word), str(text)) for word, text in data["lines"])
        return Beat(float(data["at"]), str(data["host"]), int(data["process"]), lines)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def end_beat(folder: Place) -> None:
    """Say that this process has ended."""
    _path(folder).unlink(missing_ok=True)


def _path(folder: Place) -> Place:
    return folder / "logs" / "progress.json"
