"""The plan: a pure function of seeds and variations, balanced, and the weights it was given."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from random import Random
from time import perf_counter, process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen.config import STRATEGIES, VariationsConfig
from trajgen.ids import content_id
from trajgen.plan import counts, plan
from trajgen.records import Seed, Task

FIVE = ("terse", "confused", "impatient", "chatty", "polite")


def seeds(n: int, domain: str = "shop") -> tuple[Seed, ...]:
    messages = [({"role": "user", "content": f"{domain} {i}"},) for i in range(n)]
    return tuple(Seed(content_id("seed", m), domain, m) for m in messages)


def varied(**changes: Any) -> VariationsConfig:
    return VariationsConfig.model_validate({"personas": FIVE, "faults": {"rate": 0.1}} | changes)


def tasks(n: int, n_seeds: int = 7, seed: int = 0, **changes: Any) -> list[Task]:
    return list(plan(seeds(n_seeds), varied(**changes), n, seed))


def spread(values: Iterable[Any]) -> int:
    numbers = Counter(values).values()
    return max(numbers) - min(numbers)


def test_the_same_seeds_and_variations_give_the_same_plan() -> None:
    assert tasks(200) == tasks(200)
    assert tasks(200, seed=1) != tasks(200)
    assert not {t.id for t in tasks(200, seed=1)} & {t.id for t in tasks(200)}


def test_tasks_are_numbered_in_order() -> None:
    assert [task.index for task in tasks(50)] == list(range(50))


@given(st.integers(1, 12), st.integers(0, 150), st.integers(0, 150), st.integers(0, 3))
@settings(max_examples=25)
def test_a_shorter_plan_is_the_beginning_of_a_longer_one(
    n_seeds: int, one: int, other: int, seed: int
) -> None:
    short, long = sorted([one, other])
    assert tasks(long, n_seeds, seed)[:short] == tasks(short, n_seeds, seed)


@given(st.integers(1, 12), st.integers(1, 150))
@settings(max_examples=25)
def test_seeds_are_balanced_at_every_length(n_seeds: int, length: int) -> None:
    used = Counter({seed.id: 0 for seed in seeds(n_seeds)})
    used.update(task.seed_id for task in tasks(length, n_seeds))
    assert max(used.values()) - min(used.values()) <= 1
    assert len(used) == n_seeds


def test_rounds_visit_the_seeds_in_different_orders() -> None:
    made = [task.seed_id for task in tasks(70)]
    assert len({tuple(made[i : i + 7]) for i in range(0, 70, 7)}) > 5


def test_the_order_of_the_seeds_does_not_matter() -> None:
    for number in range(5):
        mixed = list(seeds(9))
        Random(number).shuffle(mixed)
        assert list(plan(tuple(mixed), varied(), 100, 0)) == tasks(100, 9)


def test_the_order_of_the_strategies_in_the_file_does_not_matter() -> None:
    """It is no part of the run's digest either: a resumed run must find the same plan."""
    weights = {"rephrase": 1, "new_scenario": 3, "extend": 2}
    turned = dict(reversed(weights.items()))
    assert tasks(300, strategies=weights) == tasks(300, strategies=turned)


def test_ids_are_unique_and_sampling_seeds_spread() -> None:
    made = tasks(5000, 11)
    assert len({task.id for task in made}) == 5000
    assert len({task.sampling_seed for task in made}) > 4990
    assert all(0 <= task.sampling_seed < 2**31 for task in made)


def test_a_task_is_what_its_id_says() -> None:
    """One more seed changes rounds and partners, but no task gets the id of another one."""
    known: dict[str, Task] = {}
    for n_seeds in (5, 6, 7):
        for task in tasks(300, n_seeds):
            same = known.setdefault(task.id, task)
            for name in ("seed_id", "strategy", "persona", "fault", "partner", "sampling_seed"):
                assert getattr(same, name) == getattr(task, name)


WEIGHTS = {
    "rephrase": 1,
    "entity_swap": 2,
    "extend": 1,
    "compose": 1,
    "variant_outcome": 2,
    "new_scenario": 3,
}


@pytest.mark.parametrize("n_seeds", [1, 3, 12, 50, 333])
@pytest.mark.parametrize("seed", [0, 1])
def test_shares_are_close_to_their_weights(n_seeds: int, seed: int) -> None:
    made = tasks(1000, n_seeds, seed, strategies=WEIGHTS)
    found = Counter(task.strategy for task in made)
    for name, weight in WEIGHTS.items():
        share = weight / 10
        if n_seeds == 1 and name in ("compose", "extend"):  # a lone seed has no partner
            continue
        assert abs(found[name] / 1000 - share) < 0.04, name
    assert abs(sum(bool(task.fault) for task in made) / 1000 - 0.1) < 0.03
    for persona, number in Counter(task.persona for task in made).items():
        assert abs(number / 1000 - 0.2) < 0.04, persona


def test_each_seed_meets_strategies_and_personas_evenly() -> None:
    made = tasks(1200, 10, strategies=WEIGHTS)
    for seed in seeds(10):
        mine = [task for task in made if task.seed_id == seed.id]
        found = Counter(task.strategy for task in mine)
        for name, weight in WEIGHTS.items():
            assert abs(found[name] - len(mine) * weight / 10) <= 3, name
        assert spread(task.persona for task in mine) <= 4
        assert 10 <= sum(bool(task.fault) for task in mine) <= 14


def test_each_seed_meets_all_personas_early() -> None:
    made = tasks(200, 20)
    for seed in seeds(20):
        assert {task.persona for task in made if task.seed_id == seed.id} == set(FIVE)


def test_strategies_personas_and_faults_are_not_tied_to_each_other() -> None:
    made = tasks(6000, 10, personas=("a", "b"), faults={"rate": 0.5})
    pairs = Counter((task.strategy, task.persona, bool(task.fault)) for task in made)
    assert len(pairs) == len(STRATEGIES) * 2 * 2
    assert min(pairs.values()) > 6000 / len(pairs) * 0.7


def test_a_strategy_without_weight_is_never_used() -> None:
    made = tasks(500, strategies={"rephrase": 0, "extend": 1, "new_scenario": 0})
    assert {task.strategy for task in made} == {"extend"}
    weights = dict.fromkeys(STRATEGIES, 0) | {"rephrase": 1e-9, "new_scenario": 1e-9}
    assert {task.strategy for task in tasks(500, strategies=weights)} == {
        "rephrase",
        "new_scenario",
    }


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_fault_rate_of_none_or_all(rate: float) -> None:
    made = tasks(300, faults={"rate": rate})
    assert {bool(task.fault) for task in made} == {bool(rate)}


def test_the_kinds_of_faults_are_balanced() -> None:
    found = Counter(task.fault for task in tasks(3000, faults={"rate": 0.5}))
    del found[""]
    assert set(found) == {"timeout", "not_found", "permission_denied"}
    assert min(found.values()) > 400
    assert {t.fault for t in tasks(300, faults={"rate": 1, "kinds": ["timeout"]})} == {"timeout"}
    assert {t.fault for t in tasks(300, faults={"rate": 1, "kinds": []})} == {""}


def test_compose_gets_another_seed_of_the_same_domain() -> None:
    two = seeds(4, "shop") + seeds(5, "lab")
    domain = {seed.id: seed.domain for seed in two}
    made = list(plan(two, varied(strategies={"compose": 1, "extend": 1}), 600, 0))
    composed = [task for task in made if task.strategy == "compose"]
    assert len(composed) > 200
    for task in composed:
        assert task.partner != task.seed_id
        assert domain[task.partner] == task.domain == domain[task.seed_id]
    assert len({(task.seed_id, task.partner) for task in composed}) == 4 * 3 + 5 * 4
    assert {task.partner for task in made if task.strategy != "compose"} == {""}


def test_every_partner_is_as_likely() -> None:
    found = Counter((t.seed_id, t.partner) for t in tasks(2400, 4, strategies={"compose": 1}))
    assert len(found) == 12
    assert all(150 < number < 250 for number in found.values())


def test_a_lone_seed_is_extended_instead_of_composed() -> None:
    made = list(plan(seeds(1) + seeds(2, "lab"), varied(strategies={"compose": 1}), 60, 0))
    assert {(task.domain, task.strategy) for task in made} == {
        ("shop", "extend"),
        ("lab", "compose"),
    }


def test_counts_sum_up() -> None:
    made = counts(iter(tasks(1000, 10)), 10)
    assert made["tasks"] == sum(made["strategies"].values()) == sum(made["personas"].values())
    assert made["tasks"] == 1000
    assert made["seeds"] == 10
    assert 70 < made["faults"] < 130
    assert list(made["personas"]) == sorted(FIVE)
    assert counts(iter([]), 3) == {
        "tasks": 0,
        "seeds": 3,
        "strategies": {},
        "personas": {},
        "faults": 0,
    }


def test_a_long_plan_streams_fast_and_small() -> None:
    started = perf_counter()
    stream = plan(seeds(200), varied(), 100_000_000, 0)
    next(stream)
    assert perf_counter() - started < 1  # nothing is made before it is asked for
    tracemalloc.start()
    try:
        for _ in islice(stream, 1_000):
            pass
        before, _ = tracemalloc.get_traced_memory()
        for _ in islice(stream, 4_000):
            pass
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100_000
    assert peak - before < 1_000_000


def test_100000_tasks_take_seconds() -> None:
    started = process_time()
    number = sum(1 for _ in plan(seeds(1000), varied(), 100_000, 0))
    assert number == 100_000
    assert process_time() - started < 20
