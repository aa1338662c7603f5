"""An engine's processes on a leash: they die with the process that started them, and what they
write beside it is scratch.

vLLM's engine core is a child process that outlives its parent when that is killed, and keeps
the GPU. vLLM calls `leash` in each of its processes: it is a plugin, an entry point of this
package. Where nobody holds the leash it does nothing, so others who use vLLM beside this
package notice nothing.

Crash rule: the kernel kills a leashed process with the thread that started it.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "TRAJGEN_LEASH"  # in the environment: the process that holds the leash
PLUGIN = "trajgen_leash"
_PR_SET_PDEATHSIG = 1


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The vLLM processes that are started inside are leashed to this one, and have their
    sockets and temporary files in `folder`."""
    plugins = os.environ.get("VLLM_PLUGINS")  # those that are loaded; none means all
    with _environment(
        {
            VARIABLE: str(os.getpid()),
            "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork loads no plugins
            "VLLM_RPC_BASE_PATH": str(folder),
            "TMPDIR": str(folder),
        }
        | ({"VLLM_PLUGINS": f"{plugins},{PLUGIN}"} if plugins else {})
    ):
        yield


def leash() -> None:
    """Die with the process that started this one, if that or one before it holds the leash."""
    holder, parent = os.environ.get(VARIABLE), multiprocessing.parent_process()
    if holder is None or holder == str(os.getpid()):
        return
    if parent is None and holder != str(os.getppid()):
        return  # started by somebody in between, who may want it to live
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != (int(holder) if parent is None else parent.pid):  # it died before
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
