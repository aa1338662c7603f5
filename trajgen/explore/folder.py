"""Plays -> shards of a run folder, committed in order.

Counts decide what is drawn, so shards are made in order, each from the counts of those
before it: read from the rows of a committed one, lived for one that is owed.

Crash rule: as a run's (run_folder.py). The same command goes on after the last committed
shard, and a shard that was damaged is made anew with the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from trajgen.errors import MachineError, RequestError
from trajgen.explore.episode import Episode, Setting
from trajgen.explore.policies import Play
from trajgen.fidelity.life import Life
from trajgen.records import Json, Seed, Trajectory
from trajgen.run_folder import RunFolder
from trajgen.shards import ShardResult, read_rows, shard_path
from trajgen.writes import written_aside

Row = dict[str, Json]


async def collect(
    folder: RunFolder,
    plays: Sequence[Play],
    seeds: Mapping[str, Seed],
    setting: Setting,
    shard_rows: int,
    tell: Callable[[str], None],
) -> None:
    """Make every shard that is owed. Raises CommitError when the disk fails, MachineError when
    no play of a shard can be played."""
    committed = folder.committed()
    for number in range(-(-len(plays) // shard_rows)):
        if number in committed:
            for row in read_rows(shard_path(folder.path, number)):
                setting.balance.add_row(Trajectory.parse(row), setting.draws.domain)
        else:
            part = plays[number * shard_rows : (number + 1) * shard_rows]
            shard = await _shard(number, part, seeds, setting)
            await written_aside(shard_path(folder.path, number), partial(folder.commit, shard))
            tell(f"{setting.balance.total} transitions, {setting.balance.refused} refused")


async def _shard(
    number: int, plays: Sequence[Play], seeds: Mapping[str, Seed], setting: Setting
) -> ShardResult:
    kept, dead = list[Row](), list[Row]()
    for play in plays:
        await asyncio.sleep(0)  # code answers without a pause: here Ctrl-C is heard
        try:
            kept.append((await _played(play, seeds[play.task.seed_id], setting)).row())
        except RequestError as error:
            record = {"id": play.task.id, "error": "request", "message": str(error)}
            dead.append({**record, "attempts": 1})
    if not kept:
        raise MachineError(
            f"the world {setting.world.name} plays none of these seeds ({dead[0]['message']})",
            f"shard {number}",
            "Give seeds and world one domain.",
        )
    return ShardResult(number, plays[0].task.index, len(plays), kept, [], dead)


async def _played(play: Play, seed: Seed, setting: Setting) -> Trajectory:
    with Life(setting.ground, setting.world, seed) as life:
        episode = Episode(setting, play, seed, life)
        try:
            await episode.lived()
        except RequestError:
            episode.take_back()
            raise
        return episode.row()
