"""A driver on an object store that dies by itself, between two requests or within one.

As a program: `lives PIPELINE URL KILLS` runs under URL/0, URL/1, ... until so many drivers were
killed, and each run is at its end; it prints how many runs that took. It forks each driver from
one clean process that has imported everything, so that a life takes half a second.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from typing import Any

from trajgen.object_store import ObjectStore

CALLS = 90  # a run without a kill makes about 150


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def mortal(calls: int, delay_s: float) -> None:
    """This process dies so long after it has begun its `calls`-th request."""
    real, count = ObjectStore._call, [0]

    def counted(self: ObjectStore, *arguments: Any) -> Any:
        count[0] += 1
        if count[0] == calls:
            threading.Timer(delay_s, _die).start()
        return real(self, *arguments)

    ObjectStore._call = counted  # type: ignore[method-assign]


def life(pipeline: str, url: str, end: tuple[int, float] | None) -> bool:
    """One driver, which may die at its `end`; whether it did."""
    import trajgen

    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        if end is not None:
            mortal(*end)
        trajgen.run(pipeline, url)
        os._exit(0)
    _, how = os.waitpid(child, 0)
    if not os.WIFSIGNALED(how) and how != 0:
        raise SystemExit("a driver failed by itself")
    return os.WIFSIGNALED(how)


def lives(pipeline: str, url: str, kills: int) -> int:
    """See above."""
    import trajgen.pipeline  # noqa: F401  once for all of them

    draw, done, runs = random.Random(5), 0, 0
    while done < kills:
        while life(pipeline, f"{url}/{runs}", _end(draw) if done < kills else None):
            done += 1
        runs += 1
    return runs


def _end(draw: random.Random) -> tuple[int, float]:
    return draw.randrange(1, CALLS), draw.uniform(0, 0.004)


if __name__ == "__main__":
    print(lives(sys.argv[1], sys.argv[2], int(sys.argv[3])))
