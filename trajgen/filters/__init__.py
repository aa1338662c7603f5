"""Checks over a trajectory: nothing, or reasons with the code and the message that broke.

Each filter is a pure function of one trajectory and its domain; one file a family. What
depends on other trajectories (duplicates) is decided at the commit, in plan order.

Crash rule: filters hold no state, so a trajectory can be checked anywhere, any number
of times, with the same result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from trajgen.errors import InputError
from trajgen.filters import declared, grounding, structure, text, tools, values, world
from trajgen.filters.reading import read_once
from trajgen.loading import load_object
from trajgen.records import Domain, Reason, Trajectory

Filter = Callable[[Trajectory, Domain], Iterable[Reason]]


def _world(trajectory: Trajectory, domain: Domain) -> Iterator[Reason]:
    yield from world.check(trajectory, domain)
    yield from declared.check(trajectory, domain)


FAMILIES: dict[str, Filter] = {
    "structure": structure.check,
    "tools": tools.check,
    "world": _world,
    "grounding": grounding.check,
    "text": text.check,
    "values": values.check,
}


@lru_cache
def select(names: tuple[str, ...]) -> tuple[Filter, ...]:
    """The filters of a pipeline's `filters:` entry: `default`, families, `module:function`."""
    chosen: dict[Filter, None] = {}
    for name in names:
        if name == "default":
            chosen.update(dict.fromkeys(FAMILIES.values()))
        elif name in FAMILIES:
            chosen[FAMILIES[name]] = None
        elif ":" in name:
            chosen[load_object(name)] = None
        else:
            known = ", ".join(["default", *FAMILIES])
            raise InputError(
                f"unknown filter {name!r}",
                "filters",
                f"Known: {known}, or your own as package.module:function.",
            )
    return tuple(chosen)


def check(
    trajectory: Trajectory, domain: Domain, names: Sequence[str] = ("default",)
) -> list[Reason]:
    """All reasons to drop `trajectory`, the first broken message first; [] keeps it.

    What breaks early often breaks more behind it, so the first reason is the one to read.
    """
    chosen = select(tuple(names))
    with read_once(trajectory.messages):
        found = [reason for filter_ in chosen for reason in filter_(trajectory, domain)]
    return sorted(found, key=_place) if len(found) > 1 else found


def _place(reason: Reason) -> float:
    return math.inf if reason.at is None else reason.at
