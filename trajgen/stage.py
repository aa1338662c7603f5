"""What all rollouts of a worker share: seeds, domains, initial ledgers, cast and world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trajgen.cast import Cast
from trajgen.config import Pipeline, WorldConfig
from trajgen.contamination import NO_BENCHMARKS, Benchmarks
from trajgen.declared import answer
from trajgen.engines import Engine
from trajgen.ledger import Ledger
from trajgen.prompts import Prompts
from trajgen.records import Call, Domain, Json, Seed
from trajgen.schemas import action
from trajgen.seeds import SeedSet, initial_state
from trajgen.shapes import Shapes
from trajgen.worlds import World, make_world
from trajgen.worlds.declared import every_tool_declared
from trajgen.worlds.examples import Examples
from trajgen.worlds.llm import LlmWorld


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
    _actions: dict[str, Json] = field(default_factory=dict)

    def ledger(self, seed: Seed) -> Ledger:
        """A fresh ledger in the seed's initial state, which is shared and hashed only once."""
        return begun(self._ledgers, self.domains, seed)

    def action(self, domain: Domain) -> dict[str, Json]:
        """`schemas.action` of the domain's tools, made once: shared, so do not change it."""
        if domain.name not in self._actions:
            self._actions[domain.name] = action(domain.tools)
        made: dict[str, Json] = self._actions[domain.name]
        return made


def begun(ledgers: dict[str, Ledger], domains: Mapping[str, Domain], seed: Seed) -> Ledger:
    """A fresh ledger in the seed's initial state; `ledgers` holds those made before."""
    key = seed.id if seed.state else seed.domain
    if key not in ledgers:
        ledgers[key] = Ledger(initial_state(domains[seed.domain], seed))
    return ledgers[key].fork()


def touch(ledger: Ledger, domain: Domain, call: Call) -> None:
    """Remember what `call` is about: of a declared tool whatever code looks at, so that the row
    alone is enough to judge it again; else the entities it names."""
    result = answer(domain, call, ledger.state)
    ledger.touch(result.touched() if result else ledger.relevant(call.arguments))


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
        world=_make_world(cast, examples, shapes, seeds),
        run_id=run_id,
        benchmarks=benchmarks,
    )


def check_world(config: WorldConfig, domains: Mapping[str, Domain]) -> None:
    """Raises InputError for an unknown kind of world, or one that cannot answer a domain."""
    if config.kind != "llm":
        _made_world(config, domains)


def _made_world(config: WorldConfig, domains: Mapping[str, Domain]) -> World:
    """A world that is no model; it may cost seconds to make."""
    if config.kind == "declared":
        every_tool_declared(domains)
    return make_world(config)


def _make_world(
    cast: Cast, examples: Mapping[str, Examples], shapes: Shapes, seeds: SeedSet
) -> World:
    if cast.pipeline.world.kind == "llm":
        return LlmWorld(cast, examples, shapes, cast.engine("world").model)
    return _made_world(cast.pipeline.world, seeds.domains)
