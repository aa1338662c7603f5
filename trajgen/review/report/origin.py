"""The seeds that a run was made from, as far as they can still be found.

Crash rule: reads only. A seed's id is made from its content, so one that is found by id is
the one that the rows came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trajgen.errors import TrajgenError
from trajgen.records import Seed
from trajgen.review.origin import seeds_in
from trajgen.review.run import Run
from trajgen.run_record import existing_run, seed_sources


@dataclass(frozen=True, slots=True)
class Origin:
    """Seeds by id, and what was wrong with the sources that gave none."""

    seeds: Mapping[str, Seed] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def name(self, seed_id: str) -> str:
        """What people call the seed; its id where nobody named it."""
        seed = self.seeds.get(seed_id)
        return str((seed.meta.get("name") if seed else None) or seed_id)


def origin(run: Run) -> Origin:
    """The seeds of `run`, looked for from here as `trajgen run` looks for them."""
    seeds: dict[str, Seed] = {}
    missing: list[str] = []
    try:
        sources = seed_sources(existing_run(run.path))
    except TrajgenError as error:  # a variable of their names is not set here
        return Origin(missing=(_said(error),))
    for source in sources:
        try:
            seeds.update(seeds_in(source))
        except TrajgenError as error:
            missing.append(_said(error))
    return Origin(seeds, tuple(missing))


def _said(error: TrajgenError) -> str:
    return str(error).partition("\n")[0]
