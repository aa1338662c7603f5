"""Work in an event loop, and what Ctrl-C and SIGTERM do to it.

The first signal cancels the work, which cleans up after itself; where no work is under way it
is a KeyboardInterrupt. Python drops one that it raises in a finalizer, as at the end of every
import: it is raised anew. A command has GRACE_S for all that. Then, and at a second signal, it
ends at once.

Crash rule: what was under way is abandoned, never half kept. Ending at once is no worse than
kill -9: what is committed stays.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from types import FrameType, TracebackType
from typing import Any, TypeVar

from trajgen.errors import TrajgenError

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, T]]  # called in the loop: what never runs is never made
SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_S = 4.0
ANEW_S = 0.01  # how long a finalizer may take in which an interrupt was dropped


class Stop:
    """Handles SIGINT and SIGTERM while it is entered; outside the main thread it does nothing.

    `at_once` ends the process; a thread of its own calls it, whatever the main one hangs in.
    A command that was stopped keeps it to its last moment, so that no further signal kills it
    before it has said so. Without it, for a caller of the library, a second signal is a
    KeyboardInterrupt wherever the work stands, and there is no time limit.
    """

    def __init__(self, at_once: Callable[[], None] | None = None) -> None:
        self.asked = False
        self._at_once = at_once
        self._starting = False  # the loop is about to begin the work, which then looks at `asked`
        self._dropped = False  # the interrupt is to be raised anew
        self._told = -1  # the end of a pipe on which the watching thread hears of signals
        self._work: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._unraisable: Callable[[sys.UnraisableHookArgs], Any] | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The handler itself: Python calls it in the main thread."""
        again, self.asked = self.asked and not self._dropped, True
        anew, self._dropped = self._dropped, False
        if self._told >= 0 and not anew:
            os.write(self._told, b"!")  # takes no lock that the main thread might hold
        if again and self._told >= 0:
            return
        if self._starting and not again:
            return
        if again or self._work is None or self._work[1].done():
            raise KeyboardInterrupt
        loop, task = self._work
        task.cancel()
        loop.call_soon_threadsafe(lambda: None)  # wakes a loop that waits for its sockets

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            if self._at_once is not None:
                heard, self._told = os.pipe()
                watching = threading.Thread(target=self._watch, args=(heard, self._at_once))
                watching.daemon = True
                watching.start()
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and `&` set it
                    self._before[number] = signal.signal(number, self)
            self._unraisable, sys.unraisablehook = sys.unraisablehook, self._raise_anew
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._unraisable is not None:
            sys.unraisablehook = self._unraisable
        self._dropped = False
        end = self._at_once if self.asked else None  # what is left to say takes a moment
        for number, before in self._before.items():
            signal.signal(number, before if end is None else lambda *_: end())
        told, self._told = self._told, -1
        if told >= 0:
            os.close(told)

    def _watch(self, heard: int, at_once: Callable[[], None]) -> None:
        """Wait for a signal, then for GRACE_S or another one; the closed pipe ends the watch."""
        if os.read(heard, 1):
            late = not select.select([heard], [], [], GRACE_S)[0]
            if late or os.read(heard, 1):
                at_once()
        os.close(heard)

    def _raise_anew(self, lost: sys.UnraisableHookArgs) -> None:
        """In place of sys.unraisablehook: from where it is called nothing can be raised."""
        if self.asked and lost.exc_type is KeyboardInterrupt:
            self._dropped = True
            threading.Timer(ANEW_S, self._send, [next(iter(self._before))]).start()
        elif self._unraisable is not None:
            self._unraisable(lost)

    def _send(self, number: signal.Signals) -> None:
        if self._dropped and (thread := threading.main_thread().ident) is not None:
            signal.pthread_kill(thread, number)

    def run(self, work: Work[T]) -> T:
        """What `work()` gives. Raises KeyboardInterrupt when it was stopped, whatever it ended in:
        an engine that a terminal's Ctrl-C hit as well may seem to have died."""
        self._starting = True
        try:
            result = asyncio.run(self._held(work))
        except asyncio.CancelledError as error:
            raise KeyboardInterrupt from error
        except TrajgenError as error:
            if self.asked:
                raise KeyboardInterrupt from error
            raise
        finally:
            self._work, self._starting = None, False
        if self.asked:
            raise KeyboardInterrupt
        return result

    async def _held(self, work: Work[T]) -> T:
        task = asyncio.current_task()
        if task is not None:
            self._work = (asyncio.get_running_loop(), task)
        self._starting = self._dropped = False
        if self.asked:
            raise asyncio.CancelledError
        return await work()


def run_to_end(work: Work[T]) -> T:
    """What `work()` gives; SIGTERM stops it as Ctrl-C does, both as KeyboardInterrupt.

    Where an event loop runs already, as in a notebook, it runs in a thread beside it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with _stop() as stop:
            return stop.run(work)
    return _run_beside(work)


def _stop() -> AbstractContextManager[Stop]:
    """The Stop of the command that runs here, or one for this work alone."""
    entered = signal.getsignal(signal.SIGTERM)
    here = threading.current_thread() is threading.main_thread()
    return nullcontext(entered) if here and isinstance(entered, Stop) else Stop()


def _run_beside(work: Work[T]) -> T:
    playing: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def noted() -> T:
        task = asyncio.current_task()
        if task is not None:
            playing.append((asyncio.get_running_loop(), task))
        return await work()

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(asyncio.run, noted())
        try:
            return result.result()
        except KeyboardInterrupt:
            for loop, task in playing:
                loop.call_soon_threadsafe(task.cancel)
            raise
