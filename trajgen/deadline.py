"""Work that may hang for ever, given a limit: a disk that is gone answers nobody.

Such work runs in a thread of its own that no process waits for at its end.

Crash rule: what hangs may still be done later. Whoever gives up on it keeps what guards it
(run_folder.py keeps its lock) until it is over, or the process is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from trajgen.errors import TrajgenError

T = TypeVar("T")


def done_within(limit_s: float, work: Callable[[], T], late: TrajgenError) -> T:
    """What `work` gives. Raises `late` when it is not done after `limit_s` seconds."""
    future = _begun(work)
    wait([future], limit_s)
    return _result(future, late)


async def awaited_within(limit_s: float, work: Callable[[], T], late: TrajgenError) -> T:
    """`done_within` beside an event loop. Cancelled, it leaves the work to itself."""
    future = _begun(work)
    waiting = asyncio.wrap_future(future)
    try:
        await asyncio.wait([waiting], timeout=limit_s)
    finally:
        if not waiting.cancel():
            waiting.exception()  # seen: it is raised below
    return _result(future, late)


def _begun(work: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from here on nobody can cancel it

    def run() -> None:
        try:
            future.set_result(work())
        except TrajgenError as error:
            future.set_exception(error)
        except BaseException as error:  # a bug: it is told here too
            future.set_exception(error)
            raise

    threading.Thread(target=run, daemon=True).start()
    return future


def _result(future: Future[T], late: TrajgenError) -> T:
    if not future.done():
        raise late
    return future.result()
