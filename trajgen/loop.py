"""Work in an event loop that Ctrl-C and SIGTERM stop alike.

Crash rule: what was under way is cancelled and cleans up after itself; nothing is kept.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; SIGTERM stops it as Ctrl-C does, both as KeyboardInterrupt.

    Where an event loop runs already, as in a notebook, it runs in a thread beside it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run_here(work)
    return _run_beside(work)


def _run_here(work: Coroutine[Any, Any, T]) -> T:
    before = signal.getsignal(signal.SIGTERM)
    try:
        return asyncio.run(_stoppable(work))
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error
    finally:
        if _in_main_thread():
            signal.signal(signal.SIGTERM, before)


def _run_beside(work: Coroutine[Any, Any, T]) -> T:
    playing: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def noted() -> T:
        task = asyncio.current_task()
        if task is not None:
            playing.append((asyncio.get_running_loop(), task))
        return await work

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(asyncio.run, noted())
        try:
            return result.result()
        except KeyboardInterrupt:
            for loop, task in playing:
                loop.call_soon_threadsafe(task.cancel)
            raise


async def _stoppable(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    if task is not None and _in_main_thread():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
