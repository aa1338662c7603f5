"""Seeds x strategies x personas x faults -> an ordered plan of tasks.

A pure function of the seeds and the pipeline's variations: no state, so a plan of any
length streams, and a shorter plan is the beginning of a longer one.

Round r visits every seed once, in an order drawn for that round: seeds are balanced to
within one task at every length. A seed's strategy, persona and fault in round r come from
the r-th point of an additive recurrence in three dimensions, shifted by the seed. Its steps
are the golden, silver and bronze means, the numbers that fractions come least close to:
each seed meets the weights, and their combinations, evenly and early.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import accumulate

from trajgen.config import VariationsConfig
from trajgen.ids import content_id, sampling_seed, stream
from trajgen.records import Json, Seed, Task

_STEPS = tuple((math.sqrt(n * n + 4) - n) / 2 for n in (1, 2, 3))


def plan(
    seeds: tuple[Seed, ...], variations: VariationsConfig, n_tasks: int, seed: int
) -> Iterator[Task]:
    """The first `n_tasks` tasks; the same for any order of `seeds`."""
    ordered = sorted(seeds, key=lambda s: s.id)
    by_domain: dict[str, list[str]] = defaultdict(list)
    for one in ordered:
        by_domain[one.domain].append(one.id)
    for index in range(n_tasks):
        round_, position = divmod(index, len(ordered))
        if position == 0:
            order = ordered.copy()
            stream("round", seed, round_).shuffle(order)
        one = order[position]
        yield _task(index, round_, one, by_domain[one.domain], variations, seed)


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
    same_domain: list[str],
    variations: VariationsConfig,
    root: int,
) -> Task:
    where = _point(seed.id, round_, root)
    strategy = _weighted(dict(sorted(variations.strategies.items())), where[0])
    persona = variations.personas[int(where[1] * len(variations.personas))]
    fault = _fault(variations, where[2])
    partner = _partner(seed.id, same_domain, root, round_) if strategy == "compose" else ""
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
    shifts = _shifts(seed_id, root)
    return [(shift + round_ * step) % 1.0 for shift, step in zip(shifts, _STEPS, strict=True)]


@lru_cache(maxsize=65536)
def _shifts(seed_id: str, root: int) -> tuple[float, ...]:
    drawn = stream("variation", seed_id, root)
    return tuple(drawn.random() for _ in _STEPS)


def _weighted(weights: Mapping[str, float], where: float) -> str:
    """The key whose share of the unit interval holds `where`."""
    bounds = list(accumulate(weights.values()))
    names = list(weights)
    chosen = next((i for i, b in enumerate(bounds) if where * bounds[-1] < b), len(names) - 1)
    return names[chosen]


def _fault(variations: VariationsConfig, where: float) -> str:
    rate, kinds = variations.faults.rate, variations.faults.kinds
    return kinds[int(where / rate * len(kinds))] if kinds and where < rate else ""


def _partner(seed_id: str, same_domain: list[str], root: int, round_: int) -> str:
    """Another seed of the domain, each as likely; "" when there is none."""
    *others, last = same_domain
    if not others:
        return ""
    drawn = stream("partner", seed_id, root, round_).choice(others)
    return last if drawn == seed_id else drawn
