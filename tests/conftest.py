"""The order of tests; property tests draw the same examples everywhere, and leave no folder; Ctrl-C
reaches them wherever they are started."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell's `&` sets it
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "trajgen",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("trajgen")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take longest begins first: otherwise it runs alone in the end."""
    items.sort(key=_limit, reverse=True)


def _limit(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker and marker.args else 0.0
