"""Bars that a world model has to reach. Crash rule: pure."""

from __future__ import annotations

from collections.abc import Mapping

from trajgen.config import BarsConfig
from trajgen.errors import CheckFailed
from trajgen.fidelity.tally import rates
from trajgen.records import Json


def check_bars(found: Mapping[str, Json], bars: BarsConfig, where: str) -> None:
    """Raise CheckFailed naming each bar that the figures `found` miss; so does a figure of
    which nothing was measured."""
    got, given = rates(found), bars.model_dump(exclude_none=True)
    missed = [line for name, bar in given.items() if (line := _missed(name, got[name], bar))]
    if missed:
        raise CheckFailed(
            f"the world model misses {len(missed)} of {len(given)} bars of fidelity to "
            f"{found['world']}:\n  " + "\n  ".join(missed),
            where,
            "Use another model or prompt, or lower the bar under `fidelity.require`.",
        )


def _missed(name: str, value: float | None, bar: float) -> str:
    """What is wrong, or ""."""
    if value is None:
        return f"{name}: nothing was measured, wanted at least {bar:g}"
    return "" if value >= bar else f"{name}: {value:.4f}, wanted at least {bar:g}"
