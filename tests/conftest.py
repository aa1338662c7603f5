"""Property tests draw the same examples everywhere, take their time, and leave no folder."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "trajgen",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("trajgen")
