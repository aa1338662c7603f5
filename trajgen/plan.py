"""Seeds x strategies x personas x faults -> an ordered plan of tasks.

A pure function of the seeds and the pipeline's variations: no state, so a plan of any
length streams, and a shorter plan is the beginning of a longer one.

Round r visits every seed once, in an order drawn for that round: seeds are balanced to
within one task at every length. A seed's strategy, persona and fault in round r come from
the r-th point of an additive recurrence in three dimensions (M. Roberts' R3 sequence),
shifted by the seed: each seed meets the weights, and their combinations, evenly and early.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate

from trajgen.config import VariationsConfig
from trajgen.ids import content_id, sampling_seed, stream
from trajgen.records import Json, Seed, Task

_ROOT = 1.2207440846057596  # the real root of x**4 = x + 1
_STEPS = tuple(_ROOT**-k for k in (1, 2, 3))


def plan(
    seeds: tuple[Seed, ...], variations: VariationsConfig, n_tasks: int, seed: int
) -> Iterator[Task]:
    """The first `n_tasks` tasks; the same for any order of `seeds`."""
    ordered = sorted(seeds, key=lambda s: s.id)
    for index in range(n_tasks):
        round_, position = divmod(index, len(ordered))
        if position == 0:
            order = ordered.copy()
            stream("round", seed, round_).shuffle(order)
        yield _task(index, round_, order[position], ordered, variations, seed)


def counts(tasks: Iterator[Task], n_seeds: int) -> dict[str, Json]:
    """The JSON of `trajgen plan`."""
    strategies: Counter[str] = Counter()
    personas: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for task in tasks:
        strategies[task.strategy] += 1
        personas[task.persona] += 1
        faults[task.fault] += 1
    return {
        "tasks": strategies.total(),
        "seeds": n_seeds,
        "strategies": dict(sorted(strategies.items())),
        "personas": dict(sorted(personas.items())),
        "faults": faults.total() - faults[""],
    }


def _task(
    index: int,
    round_: int,
    seed: Seed,
    seeds: list[Seed],
    variations: VariationsConfig,
    root: int,
) -> Task:
    where = _point(seed.id, round_, root)
    strategy = _weighted(dict(sorted(variations.strategies.items())), where[0])
    persona = variations.personas[int(where[1] * len(variations.personas))]
    fault = _fault(variations, where[2])
    partner = _partner(seed, seeds, root, round_) if strategy == "compose" else ""
    if strategy == "compose" and not partner:
        strategy = "extend"  # a domain with one seed has nothing to compose it with
    identity = [seed.id, strategy, persona, fault, partner, round_, root]
    id_ = content_id("task", identity)
    return Task(
        id=id_,
        index=index,
        domain=seed.domain,
        seed_id=seed.id,
        strategy=strategy,
        persona=persona,
        fault=fault,
        partner=partner,
        sampling_seed=sampling_seed(id_),
    )


def _point(seed_id: str, round_: int, root: int) -> list[float]:
    shift = stream("variation", seed_id, root)
    return [(shift.random() + round_ * step) % 1.0 for step in _STEPS]


def _weighted(weights: Mapping[str, float], where: float) -> str:
    """The key whose share of the unit interval holds `where`."""
    bounds = list(accumulate(weights.values()))
    names = list(weights)
    chosen = next((i for i, b in enumerate(bounds) if where * bounds[-1] < b), len(names) - 1)
    return names[chosen]


def _fault(variations: VariationsConfig, where: float) -> str:
    rate, kinds = variations.faults.rate, variations.faults.kinds
    return kinds[int(where / rate * len(kinds))] if kinds and where < rate else ""


def _partner(seed: Seed, seeds: list[Seed], root: int, round_: int) -> str:
    others = [s.id for s in seeds if s.domain == seed.domain and s.id != seed.id]
    return stream("partner", seed.id, root, round_).choice(others) if others else ""
