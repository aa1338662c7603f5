"""A Ray cluster of our own lets nobody in: it listens on loopback and asks for a token.

Ray takes a loopback address for a mistake and puts the machine's own in its place, unless it
believes that clusters do not exist here; that is told to it while ours is up. The token is
made for one run and is nowhere but in the environment of its processes.

Three processes of a head that nothing here asks are not started, which makes the start
quicker: the autoscaler's, that of the logs, and the dashboard's, which without a dashboard has
one thing left to do: it asks the metadata addresses of clouds which of them it is in, whether
reports of use are off or not.

Crash rule: what is set here is gone with this process; nothing is written.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LOOPBACK = "127.0.0.1"
_UNWANTED = ("start_api_server", "start_monitor", "start_log_monitor")
_SOURCES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@contextmanager
def alone(ray: Any) -> Iterator[None]:
    """While this is open, a cluster that the module `ray` starts is on loopback and has a token
    of its own; afterwards Ray is as the environment says."""
    constants = ray._private.ray_constants
    names = (*_SOURCES, "RAY_AUTH_MODE", constants.ENABLE_RAY_CLUSTERS_ENV_VAR)
    before = {name: os.environ.pop(name, None) for name in names}
    clusters = constants.ENABLE_RAY_CLUSTER
    node = ray._private.node.Node
    starting = {name: getattr(node, name) for name in _UNWANTED}
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ[constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    constants.ENABLE_RAY_CLUSTER = False
    for name in _UNWANTED:
        setattr(node, name, lambda *_, **__: None)
    try:
        _reread(ray)
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = clusters
        for name, start in starting.items():
            setattr(node, name, start)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _reread(ray)


def _reread(ray: Any) -> None:
    """Ray keeps mode and token once it has read them. The mode goes first: threads that still
    drain would look for a token that is gone."""
    ray._raylet.Config.initialize("")
    ray._raylet.AuthenticationTokenLoader.instance().reset_cache()
