"""A Ray cluster of our own lets nobody in: it listens on loopback and asks for a token.

Ray takes a loopback address for a mistake and puts the machine's own in its place, unless it
believes that clusters do not exist here; that is told to it while ours is up. The token is
made for one run and is nowhere but in the environment of its processes.

Three processes of a head that nothing here asks are not started, which makes the start
quicker: the autoscaler's, that of the logs, and the dashboard's, which without a dashboard has
one thing left to do: it asks the metadata addresses of clouds which of them it is in, whether
reports of use are off or not.

Ray holds Python's lock, for half a minute where need be, while it waits for its first process: what
stops a command then could kill that process and never run again. Here it looks again and again,
from then on: a Ray that is left while it starts goes on starting for a while.

Crash rule: what is set here is gone with this process; nothing is written.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any

LOOPBACK = "127.0.0.1"
_UNWANTED = ("start_api_server", "start_monitor", "start_log_monitor")
_LOOK_S = 0.02
_SOURCES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@contextmanager
def alone(ray: Any) -> Iterator[None]:
    """While this is open, a cluster that the module `ray` starts is on loopback and has a token
    of its own; afterwards Ray is as the environment says."""
    constants, node = ray._private.ray_constants, ray._private.node
    names = (*_SOURCES, "RAY_AUTH_MODE", constants.ENABLE_RAY_CLUSTERS_ENV_VAR)
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ[constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    clusters = constants.ENABLE_RAY_CLUSTER
    starting = {name: getattr(node.Node, name) for name in _UNWANTED}
    constants.ENABLE_RAY_CLUSTER = False
    for name in _UNWANTED:
        setattr(node.Node, name, lambda *_, **__: None)
    if not hasattr(node.wait_for_persisted_port, "__wrapped__"):
        node.wait_for_persisted_port = _looking(node.wait_for_persisted_port)
    try:
        _reread(ray)
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = clusters
        for name, start in starting.items():
            setattr(node.Node, name, start)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _reread(ray)


def _looking(wait: Callable[..., int]) -> Callable[..., int]:
    """`wait`, which raises RuntimeError after its `timeout_ms`, so that others run meanwhile."""

    @wraps(wait)
    def waited(*what: Any, timeout_ms: int) -> int:
        for _ in range(int(timeout_ms / 1000 / _LOOK_S)):
            with suppress(RuntimeError):
                return wait(*what, timeout_ms=0)
            time.sleep(_LOOK_S)
        return wait(*what, timeout_ms=0)

    return waited


def _reread(ray: Any) -> None:
    """Ray keeps mode and token once it has read them. The mode goes first: threads that still
    drain would look for a token that is gone."""
    ray._raylet.Config.initialize("")
    ray._raylet.AuthenticationTokenLoader.instance().reset_cache()
