"""`trajgen explore`: real transitions of a world along the seeds of a domain.

Crash rule: as a run's; the counts in `explore.json` come before the manifest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from trajgen import __version__
from trajgen.config import WorldConfig
from trajgen.errors import InputError
from trajgen.explore.balance import REFUSED, Balance
from trajgen.explore.draws import Draws
from trajgen.explore.episode import Setting
from trajgen.explore.folder import collect
from trajgen.explore.policies import POLICIES, Play, plays
from trajgen.fidelity.probes import text_values
from trajgen.ids import digest
from trajgen.ledger import Ledger
from trajgen.loading import user_path
from trajgen.loop import run_to_end
from trajgen.records import SCHEMA_VERSION, Domain, Json, Seed, calls_of
from trajgen.run_folder import RunFolder
from trajgen.run_record import EXPLORE, record_bytes
from trajgen.seeds import SeedSet, load_seeds
from trajgen.stage import begun
from trajgen.worlds import KINDS, World, make_world
from trajgen.worlds.declared import every_tool_declared
from trajgen.writes import written

TRANSITIONS = 2000
SHARD_ROWS = 256
VERSION = 3  # of what is drawn: another one gives other rows
ABOUT = "Transitions of a real world, collected with a mix of behaviour policies by code alone."


@dataclass(slots=True)
class Seeds:
    """The ground that plays begin on: domains, and ledgers hashed once a seed."""

    domains: Mapping[str, Domain]
    _ledgers: dict[str, Ledger] = field(default_factory=dict)

    def ledger(self, seed: Seed) -> Ledger:
        """A fresh ledger in the seed's initial state."""
        return begun(self._ledgers, self.domains, seed)


@dataclass(frozen=True)
class Exploration:
    """What is collected: `n` transitions of `world` along the seeds of `source`."""

    source: str
    world: WorldConfig
    n: int
    root: int
    seeds: SeedSet
    shard_rows: int = SHARD_ROWS

    @property
    def domain(self) -> Domain:
        return next(iter(self.seeds.domains.values()))

    @cached_property
    def calling(self) -> list[Seed]:
        """The seeds that are played: those that call something."""
        return [seed for seed in self.seeds.seeds if any(calls_of(seed.messages))]

    @cached_property
    def plays(self) -> list[Play]:
        return list(plays(self.calling, self.n, self.root))

    @cached_property
    def digest(self) -> str:
        """Changes with anything that decides what a row holds."""
        world = [self.world.kind, self.world.domain]
        parts = [self.seeds.digest, world, self.n, self.root, self.shard_rows]
        return digest([*parts, VERSION, SCHEMA_VERSION])

    @property
    def run_id(self) -> str:
        return f"explore-{self.digest[:20]}"

    def record(self) -> dict[str, Json]:
        """What `run.json` holds."""
        return {
            "name": f"explore-{self.domain.name}",
            "about": ABOUT,
            "run_id": self.run_id,
            "digest": self.digest,
            "pipeline": {
                "seeds": [self.source],
                "world": {"kind": self.world.kind, "domain": self.world.domain},
                "transitions": self.n,
                "policies": {name: policy.weight for name, policy in POLICIES.items()},
                "refused": REFUSED,
                "shards": {"rows": self.shard_rows},
                "target": len(self.plays),
                "seed": self.root,
            },
            "digests": {"seeds": self.seeds.digest},
            "planned": len(self.plays),
            "versions": {"trajgen": __version__},
        }

    def setting(self, world: World) -> Setting:
        """What its plays share."""
        return Setting(
            ground=Seeds(self.seeds.domains),
            world=world,
            draws=Draws.of(self.domain, self.calling),
            values=text_values(self.calling),
            balance=Balance(),
            run_id=self.run_id,
        )


def explore(
    source: str,
    world: str,
    out: str | Path,
    n: int = TRANSITIONS,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
    shard_rows: int = SHARD_ROWS,
) -> dict[str, Json]:
    """Collect `n` transitions of `world` into the run folder `out`, or go on there; the counts.
    Of games they are fewer: one that is won before its play is over ends there.

    `source` is a domain folder or an import source. Raises InputError for a world or source
    that is not there or another run's folder, MachineError and CommitError as a run does.
    """
    config = parse_world(world)
    job = Exploration(source, config, n, seed, load_seeds((source,)), shard_rows)
    if not job.calling:
        raise InputError("no seed calls a tool", source)
    if config.kind == "declared":
        every_tool_declared(job.seeds.domains)
    began, folder = time.monotonic(), user_path(out)
    tasks = (play.task for play in job.plays)
    with RunFolder.create_or_open(folder, job.record(), tasks, job.seeds.quarantined) as run:
        setting = job.setting(make_world(config))
        seeds = {s.id: s for s in job.calling}
        run_to_end(lambda: collect(run, job.plays, seeds, setting, shard_rows, tell))
        run.record_usage(seconds=time.monotonic() - began, prompt=0, cached=0, generated=0)
        table = setting.balance.table()
        last, found = -(-len(job.plays) // shard_rows) - 1, {EXPLORE: record_bytes(table)}
        written(folder / "manifest.json", lambda: run.finish(last, found))
    return table


def parse_world(name: str) -> WorldConfig:
    """The `world:` section of `--world`: `declared`, `tau2:retail`, `module:Class`. Raises
    InputError when it names no real world."""
    kind, _, rest = name.partition(":")
    if kind == "declared" and not rest:
        return WorldConfig(kind=kind)
    if kind in KINDS and kind != "declared" and rest:
        return WorldConfig(kind=kind, domain=rest)
    if kind in KINDS or not (kind and rest):
        others = ", ".join(f"{known}:…" for known in KINDS if known != "declared")
        raise InputError(
            f"{name!r} names no real world", "--world", f"Known: declared, {others}, module:Class"
        )
    return WorldConfig(kind=name)
