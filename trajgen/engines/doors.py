"""The doors of vLLM's workers, shut once everybody is in.

A worker makes process groups even when it is the only one, and gloo listens on loopback for
each of them, as long as the worker lives. Nobody is ever going to knock: an engine of one
worker has nobody else. With several workers the doors stay open, since they find each other
through them when they first need to.

Crash rule: nothing is kept.
"""

from __future__ import annotations

import os
import socket

from trajgen.process import listening

EXTENSION = f"{__name__}.Doors"


class Doors:
    """vLLM's `worker_extension_cls`: what its workers can be asked besides their own methods."""

    def shut_doors(self) -> None:
        """Put a socket that nobody reaches where this process listens. Its number stays taken,
        so gloo, which believes to own it, closes the right thing in the end."""
        for descriptor in listening():
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as unreachable:
                os.dup2(unreachable.fileno(), descriptor, inheritable=False)
