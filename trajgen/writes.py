"""Who may write in a run folder now: one thread at a time, in limited time, none after the end.

Crash rule: a write that hangs may still be done later, so what guards the folder is let go
only when it is over. A process that ends takes both with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from trajgen.deadline import awaited_within, done_within
from trajgen.errors import CommitError
from trajgen.objects import Place

LIMIT_S = 600.0  # of one commit: after that the disk counts as hung
END_S = 2.0  # that the end waits for a write under way
T = TypeVar("T")


def written(path: Place, write: Callable[[], T]) -> T:
    """What `write` gives. Raises CommitError naming `path` where the disk does not answer."""
    return done_within(LIMIT_S, write, _hung(path))


async def written_aside(path: Place, write: Callable[[], T]) -> T:
    """`written`, beside an event loop."""
    return await awaited_within(LIMIT_S, write, _hung(path))


def _hung(path: Place) -> CommitError:
    return CommitError(
        f"not written within {LIMIT_S:g} s: the disk does not answer",
        str(path),
        "Committed shards are safe; mend the disk and run the same command again.",
    )


class Writes:
    """The writes of one driver in the folder `where`."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._turn = threading.Lock()
        self._ended = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One write. Raises CommitError after the end."""
        with self._turn:
            if self._ended:
                raise CommitError("the run was stopped", self.where)
            yield

    def end(self, let_go: Callable[[], None]) -> None:
        """No more writes, then `let_go`: now, or when the write is over that hangs."""
        self._ended = True
        if self._turn.acquire(timeout=END_S):
            self._let_go(let_go)
        else:
            threading.Thread(target=self._later, args=(let_go,), daemon=True).start()

    def _later(self, let_go: Callable[[], None]) -> None:
        self._turn.acquire()
        self._let_go(let_go)

    def _let_go(self, let_go: Callable[[], None]) -> None:
        try:
            let_go()
        finally:
            self._turn.release()
