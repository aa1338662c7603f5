"""The seeds that a run was made from, as far as they can still be found.

Crash rule: reads only. A seed's id is made from its content, so one that is found by id is
the one that the rows came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trajgen.errors import TrajgenError
from trajgen.records import Json, Seed
from trajgen.review.run import Run
from trajgen.run_record import existing_run


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
    from trajgen.seeds import load_seeds

    seeds: dict[str, Seed] = {}
    missing: list[str] = []
    for source in _sources(existing_run(run.path)):
        try:
            seeds.update({seed.id: seed for seed in load_seeds((source,)).seeds})
        except TrajgenError as error:
            missing.append(str(error).partition("\n")[0])
    return Origin(seeds, tuple(missing))


def _sources(record: Mapping[str, Json]) -> list[str]:
    sources = record["pipeline"].get("seeds", ())
    return [sources] if isinstance(sources, str) else list(sources)
