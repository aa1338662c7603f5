"""Ray, started for one run or joined, and left at its end.

Ray is called in a thread of its own here. In the main thread it takes SIGTERM for itself, and
a signal that comes while it starts can be lost: Python runs signal handlers in the main thread
alone, and what one raises inside a callback of Ray's C++ goes nowhere.

Crash rule: Ray's processes die with that thread, even of kill -9: the kernel sees to it. Its
files are scratch, and swept by the next run.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from trajgen import telemetry
from trajgen.actors import short
from trajgen.cluster.own import alone
from trajgen.errors import MachineError
from trajgen.process import begun_in, end
from trajgen.scratch import scratch, sweep

SETTLE_S = 0.2  # for what Ray's processes still ask each other
LEAVE_S = 3.0  # for Ray to shut down
KEPT_FILES, KEPT_BYTES = 32, 65_536  # of what workers wrote, the last ones
LONGEST = 20  # of the temporary folder's name: Ray's sockets lie 87 characters below


@contextmanager
def ray_session(options: Mapping[str, Any], logs: Path | None = None) -> Iterator[Any]:
    """The module `ray`, initialised with `options`. At the address `local` it is ours: at the
    end no process and no file of it is left, but in `logs` what workers wrote when the machine
    or an engine failed. Raises MachineError when it does not start."""
    telemetry.off()
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray would run engines at 15
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Engines are on a leash of their own; what frees their shared memory has to outlive them.
    os.environ.setdefault("RAY_kill_child_processes_on_worker_exit", "0")
    os.environ.setdefault("RAY_process_group_cleanup_enabled", "0")
    import ray

    with ExitStack() as held:
        folder = None
        if options["address"] == "local":
            held.enter_context(alone(ray))
            held.callback(sweep)  # what workers left that were killed
            folder = held.enter_context(scratch(_short()))
            options = {**options, "_temp_dir": str(folder)}
            held.push(lambda kind, *_: _keep(folder, logs, kind))
        thread = ThreadPoolExecutor(1, "ray")
        started = thread.submit(ray.init, **options)
        held.callback(_leave, ray, thread, started, folder)
        try:
            started.result()
        except Exception as error:  # Ray raises just that for a node that is not up in time
            raise MachineError(
                f"Ray does not start ({short(error)})",
                options["address"],
                "`trajgen doctor` says more.",
            ) from error
        yield ray


def _keep(folder: Path, logs: Path | None, error: type[BaseException] | None) -> None:
    """What workers wrote to the terminal that they do not have, when it may tell why."""
    if logs is None or error is None or not issubclass(error, MachineError):
        return
    written = (folder / "session_latest" / "logs").glob("worker-*.*")
    with suppress(OSError):  # the error is what counts
        (logs / "workers").mkdir(parents=True, exist_ok=True)
        for path in sorted(written, key=lambda path: path.stat().st_mtime)[-KEPT_FILES:]:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - KEPT_BYTES))
                (logs / "workers" / path.name).write_bytes(file.read())


def _short() -> Path | None:
    """Where names of sockets fit into the 107 bytes that the kernel has for them."""
    return None if len(tempfile.gettempdir()) <= LONGEST else Path("/tmp")  # noqa: S108


def _leave(ray: Any, thread: ThreadPoolExecutor, started: Future[Any], folder: Path | None) -> None:
    theirs = begun_in(folder) if folder else []  # later, workers are nobody's children
    if started.done():  # one that still starts does not listen
        wait([thread.submit(_shut_down, ray)], LEAVE_S)
    thread.shutdown(wait=False)
    if folder:
        end([*theirs, *begun_in(folder)])


def _shut_down(ray: Any) -> None:
    """Ray would keep connections: one on which it still waits for an answer, that of the node,
    which something to do at exit holds for good, and those that its driver listened with."""
    worker = ray._private.worker
    if worker._global_node is not None:
        worker._global_node._gcs_client = None
    time.sleep(SETTLE_S)
    ray.shutdown()
    for name in ("gcs_error_subscriber", "gcs_log_subscriber"):
        vars(worker.global_worker).pop(name, None)
