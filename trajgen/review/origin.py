"""The seeds that a run's rows came from, looked up where the run says they are.

A row carries its run's id and its seed's; the folder of a run that was opened tells where
its seeds are. The same id means the same seeds, whichever folder was opened last.
"""

from __future__ import annotations

from contextlib import suppress

from trajgen.errors import InputError, TrajgenError
from trajgen.importers import is_source
from trajgen.objects import Place
from trajgen.records import Seed, Trajectory
from trajgen.run_record import existing_run, seed_sources

Sources = tuple[str, ...]
_SOURCES: dict[str, Sources] = {}  # run id -> where its seeds are
_SEEDS: dict[str, dict[str, Seed]] = {}  # what was read of a source, by the seed's id


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
        if seed := seeds_in(source).get(trajectory.seed_id):
            return seed
    raise InputError(
        f"no seed has the id {trajectory.seed_id!r}", ", ".join(sources), "The seeds have changed."
    )


def seeds_in(source: str) -> dict[str, Seed]:
    """The seeds of one source by id, read once. Raises InputError when it cannot be read."""
    if source not in _SEEDS:
        from trajgen.seeds import load_seeds

        _SEEDS[source] = {seed.id: seed for seed in load_seeds((source,)).seeds}
    return _SEEDS[source]


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
