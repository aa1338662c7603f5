"""An engine's processes on a leash: they die with the process that started them.

vLLM's engine core is a child process that outlives its parent when that is killed, and keeps
the GPU. vLLM calls `leash` in each of its processes: it is a plugin, an entry point of this
package. Where VllmEngine has not asked for it, it does nothing, so others who use vLLM beside
this package notice nothing.

Crash rule: the kernel kills a leashed process with the thread that started it.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal

VARIABLE = "TRAJGEN_LEASH"  # in the environment: the process that holds the leash
NAME = "trajgen_leash"  # of the plugin
_PR_SET_PDEATHSIG = 1


def hold() -> None:
    """Ask the processes that this one starts from now on to be leashed."""
    os.environ[VARIABLE] = str(os.getpid())
    if chosen := os.environ.get("VLLM_PLUGINS"):  # the others are not loaded
        os.environ["VLLM_PLUGINS"] = ",".join(dict.fromkeys([*chosen.split(","), NAME]))


def leash() -> None:
    """Die with the process that started this one, if it or one before it holds the leash."""
    holder, parent = os.environ.get(VARIABLE), multiprocessing.parent_process()
    if holder is None or holder == str(os.getpid()) or parent is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent.pid:  # it died before
        os.kill(os.getpid(), signal.SIGKILL)
