"""What all rollouts of a worker share: seeds, domains, initial ledgers, cast and world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trajgen.cast import Cast
from trajgen.config import Pipeline
from trajgen.contamination import NO_BENCHMARKS, Benchmarks
from trajgen.engines import Engine
from trajgen.ledger import Ledger
from trajgen.prompts import Prompts
from trajgen.records import Domain, Seed
from trajgen.seeds import SeedSet, initial_state
from trajgen.shapes import Shapes
from trajgen.worlds import World, make_world
from trajgen.worlds.llm import Examples, LlmWorld


@dataclass(slots=True)
class Stage:
    """Built once a worker; rollouts only read it."""

    pipeline: Pipeline
    domains: Mapping[str, Domain]
    seeds: Mapping[str, Seed]
    examples: Mapping[str, Examples]
    shapes: Shapes
    cast: Cast
    world: World
    run_id: str
    benchmarks: Benchmarks = NO_BENCHMARKS
    _ledgers: dict[str, Ledger] = field(default_factory=dict)

    def ledger(self, seed: Seed) -> Ledger:
        """A fresh ledger in the seed's initial state, which is shared and hashed only once."""
        key = seed.id if seed.state else seed.domain
        if key not in self._ledgers:
            self._ledgers[key] = Ledger(initial_state(self.domains[seed.domain], seed))
        return self._ledgers[key].fork()


def make_stage(
    pipeline: Pipeline,
    seeds: SeedSet,
    prompts: Prompts,
    engines: Mapping[str, Engine],
    run_id: str,
    benchmarks: Benchmarks = NO_BENCHMARKS,
) -> Stage:
    """The stage of a pipeline. Raises InputError for an unknown kind of world."""
    cast = Cast(pipeline, prompts, engines)
    examples = {
        name: Examples(domain, [s for s in seeds.seeds if s.domain == name])
        for name, domain in seeds.domains.items()
    }
    shapes = Shapes(seeds.domains, seeds.seeds)
    if pipeline.world.kind == "llm":
        for name in seeds.domains:
            shapes.of(name)  # now, before the clock of any rollout runs
    return Stage(
        pipeline=pipeline,
        domains=seeds.domains,
        seeds={seed.id: seed for seed in seeds.seeds},
        examples=examples,
        shapes=shapes,
        cast=cast,
        world=_make_world(cast, examples, shapes),
        run_id=run_id,
        benchmarks=benchmarks,
    )


def _make_world(cast: Cast, examples: Mapping[str, Examples], shapes: Shapes) -> World:
    if cast.pipeline.world.kind == "llm":
        return LlmWorld(cast, examples, shapes, cast.engine("world").model)
    return make_world(cast.pipeline.world)
