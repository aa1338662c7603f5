"""The seeds that a run was made from, looked up where the run says that they are.

A command needs all of them, a report as many as there are, a view the one of its row. A row
carries its run's id and its seed's; the folder of a run that was opened tells where its seeds
are.

Crash rule: reads only. A seed's id is made from its content, so one that is found by its id
is the one that the rows came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trajgen.errors import InputError, TrajgenError
from trajgen.importers import is_source
from trajgen.objects import Place
from trajgen.records import Seed, Trajectory
from trajgen.run_record import existing_run, seed_sources

if TYPE_CHECKING:
    from trajgen.seeds import SeedSet

_SOURCES: dict[str, tuple[str, ...]] = {}  # run id -> where its seeds are
_SEEDS: dict[str, dict[str, Seed]] = {}  # what was read of a source, by the seed's id


@dataclass(frozen=True, slots=True)
class Origin:
    """Seeds by id, and what was wrong with the sources that gave none."""

    seeds: Mapping[str, Seed] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def name(self, seed_id: str) -> str:
        """What people call the seed; its id where nobody named it."""
        seed = self.seeds.get(seed_id)
        return str((seed.meta.get("name") if seed else None) or seed_id)


def run_seeds(folder: Place) -> SeedSet:
    """All seeds of the run in `folder`, read anew, with their domains and refused lines.

    Raises InputError when a source of them is gone.
    """
    from trajgen.seeds import load_seeds

    run = existing_run(folder)
    try:
        return load_seeds(seed_sources(run))
    except InputError as error:
        place = ", ".join(run["pipeline"]["seeds"])
        raise InputError(
            f"the seeds of this run cannot be loaded any more ({place}: {error.what})",
            str(folder),
            "Put them back where the run names them.",
        ) from error


def seeds_left(folder: Place) -> Origin:
    """The seeds of the run in `folder`, as far as they are still found."""
    seeds: dict[str, Seed] = {}
    missing: list[str] = []
    try:
        sources = seed_sources(existing_run(folder))
    except TrajgenError as error:  # a variable of their names is not set here
        return Origin(missing=(_said(error),))
    for source in sources:
        try:
            seeds.update(_seeds_in(source))
        except TrajgenError as error:
            missing.append(_said(error))
    return Origin(seeds, tuple(missing))


def remember(folder: Place) -> None:
    """Note where the seeds of the run in `folder` are. Raises InputError when there is none."""
    run = existing_run(folder)
    with suppress(InputError):  # a variable that is not set here: then no seed is shown
        _SOURCES[run["run_id"]] = seed_sources(run)


def seed_of(trajectory: Trajectory) -> Seed:
    """The seed that a row came from. Raises InputError when it is not to be had any more."""
    sources = _SOURCES.get(trajectory.run_id, ())
    if not sources:
        raise InputError("the run of this trajectory was not opened", trajectory.id)
    for source in sources:
        if seed := _seeds_in(source).get(trajectory.seed_id):
            return seed
    raise InputError(
        f"no seed has the id {trajectory.seed_id!r}", ", ".join(sources), "The seeds have changed."
    )


def seed_at_hand(trajectory: Trajectory) -> Seed | str:
    """The seed of a row, or in a sentence why it is not shown; "" where nothing is known.

    What has to be imported takes its time, and is left out until `seed_of` has read it.
    """
    sources = _SOURCES.get(trajectory.run_id, ())
    if not sources or not trajectory.seed_id:
        return ""
    slow = [source for source in sources if is_source(source)]
    if slow and not set(slow) <= _SEEDS.keys():
        return f"The seed is one of {slow[0]}, which takes a while to read: run.seed_of(...) does."
    try:
        return seed_of(trajectory)
    except TrajgenError as error:
        return f"The seed cannot be shown: {error.what}."


def _seeds_in(source: str) -> dict[str, Seed]:
    """The seeds of one source by id, read once. Raises InputError when it cannot be read."""
    if source not in _SEEDS:
        from trajgen.seeds import load_seeds

        _SEEDS[source] = {seed.id: seed for seed in load_seeds((source,)).seeds}
    return _SEEDS[source]


def _said(error: TrajgenError) -> str:
    return str(error).partition("\n")[0]
