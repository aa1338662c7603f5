"""Ray, started for one run or joined, and left at its end.

Ray is called in a thread of its own here. In the main thread it takes SIGTERM for itself, and
a signal that comes while it starts can be lost: Python runs signal handlers in the main thread
alone, and what one raises inside a callback of Ray's C++ goes nowhere.

Crash rule: Ray's processes die with that thread, even of kill -9: the kernel sees to it. Its
files are scratch, and swept by the next run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from trajgen.actors import short
from trajgen.errors import MachineError
from trajgen.process import begun_in, end
from trajgen.scratch import scratch, sweep

LEAVE_S = 3.0  # for Ray to shut down


@contextmanager
def ray_session(options: Mapping[str, Any]) -> Iterator[Any]:
    """The module `ray`, initialised with `options`. At the address `local` it is ours: at the
    end no process and no file of it is left. Raises MachineError when it does not start."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray would run engines at 15
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    with ExitStack() as held:
        folder = None
        if options["address"] == "local":
            held.callback(sweep)  # what workers had that were killed
            folder = held.enter_context(scratch())
            options = {**options, "_temp_dir": str(folder)}
        thread = ThreadPoolExecutor(1, "ray")
        held.callback(_leave, ray, thread, folder)
        try:
            thread.submit(ray.init, **options).result()
        except (ConnectionError, RuntimeError, OSError, ValueError) as error:
            raise MachineError(
                f"Ray does not start ({short(error)})",
                options["address"],
                "`trajgen doctor` says more.",
            ) from error
        yield ray


def _leave(ray: Any, thread: ThreadPoolExecutor, folder: Path | None) -> None:
    theirs = begun_in(folder) if folder else []  # later, workers are nobody's children
    wait([thread.submit(ray.shutdown)], LEAVE_S)
    thread.shutdown(wait=False)
    if folder:
        end([*theirs, *begun_in(folder)])
