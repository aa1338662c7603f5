"""Ids: one content, one id, in every process, order and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen.ids import content_id, digest, sampling_seed, stream
from trajgen.json_text import canonical

ROOT = Path(__file__).parent.parent
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
IDS_PROGRAM = """
from trajgen.ids import content_id, sampling_seed, stream
value = {"b": [1, 2.5, None, True], "a": {"é": "x", "": []}, "tags": ["z", "y"]}
print(content_id("seed", value), sampling_seed("task-1", "agent", 3), stream("a", 1).random())
"""
PLAN_PROGRAM = """
from trajgen.config import VariationsConfig
from trajgen.ids import content_id
from trajgen.plan import plan
from trajgen.records import Seed
seeds = [Seed(content_id("seed", i), "d", ({"role": "user", "content": str(i)},)) for i in range(7)]
seeds = tuple(sorted(seeds, key=lambda seed: hash(seed.id)))
variations = VariationsConfig(personas=("terse", "confused"), faults={"rate": 0.2})
print([task.id for task in plan(seeds, variations, 60, 5)])
"""

RUN_PROGRAM = """
import os, random, shutil, tempfile
from pathlib import Path
from tests.small_pipeline import write_pipeline
from trajgen.loading import shipped
from trajgen.pipeline import load
from trajgen.plan import plan
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    shutil.copytree(shipped("seeds") / "household", "house")
    lines = Path("house/trajectories.jsonl").read_text("utf-8").splitlines()
    random.Random(hash("any order")).shuffle(lines)
    Path("house/trajectories.jsonl").write_text("\\n".join(lines), "utf-8")
    loaded = load(write_pipeline(Path(), seeds="house", max_tasks=60))
    pipeline = loaded.pipeline
    tasks = plan(loaded.seeds.seeds, pipeline.variations, pipeline.max_tasks, pipeline.seed)
    print(loaded.run_id, *(task.id for task in tasks), *(str(t.sampling_seed) for t in tasks))
"""


def printed(program: str, hash_seeds: range) -> set[str]:
    """What `program` prints under each PYTHONHASHSEED; the processes run side by side."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in hash_seeds
    ]
    texts = {process.communicate(timeout=600)[0] for process in running}
    assert all(process.returncode == 0 for process in running)
    return texts


def test_ids_are_the_same_under_20_hash_seeds() -> None:
    texts = printed(IDS_PROGRAM, range(20))
    assert len(texts) == 1
    assert texts.pop().startswith("seed-")


def test_a_plan_is_the_same_under_hash_seeds_and_seed_orders() -> None:
    # the program puts the seeds in an order that depends on the hash seed
    texts = printed(PLAN_PROGRAM, range(4))
    assert len(texts) == 1
    assert texts.pop().count("task-") == 60


@pytest.mark.slow
def test_a_run_is_the_same_under_20_hash_seeds_and_orders_of_its_lines() -> None:
    texts = {text for n in range(0, 20, 4) for text in printed(RUN_PROGRAM, range(n, n + 4))}
    assert len(texts) == 1
    assert texts.pop().count("task-") == 60


def test_ids_of_known_content_never_change() -> None:
    """A changed id would owe every run of every user again."""
    value = {"b": [1, 2.5, None, True], "a": "é"}
    assert canonical(value) == '{"a":"é","b":[1,2.5,null,true]}'
    assert content_id("seed", value) == "seed-44b3c2a01df010a6dfca"
    assert sampling_seed("task-1", "agent", 0) == 247873929
    assert stream("round", 0, 1).randrange(10**9) == 512241082


@given(JSON)
@settings(max_examples=60)
def test_canonical_is_json_of_the_same_value(value: object) -> None:
    text = canonical(value)
    assert json.loads(text) == value
    assert canonical(json.loads(text)) == text


@given(st.dictionaries(st.text(), st.integers(), min_size=2), st.randoms())
@settings(max_examples=30)
def test_the_order_of_keys_does_not_matter(value: dict[str, int], random: object) -> None:
    items = list(value.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert digest(dict(items)) == digest(value)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, "1"),
        (1, True),
        (1, 1.0),
        ([], {}),
        (None, "null"),
        (["ab"], ["a", "b"]),
        ({"a": 1}, {"a": 1, "b": None}),
        ("a\u0301", "á"),
    ],
)
def test_other_content_gives_another_id(left: object, right: object) -> None:
    assert digest(left) != digest(right)
    assert content_id("seed", left) != content_id("seed", right)


def test_the_kind_is_part_of_the_id() -> None:
    seed, task = content_id("seed", [1]), content_id("task", [1])
    assert seed.partition("-")[2] != task.partition("-")[2]
    assert len(seed) == len("seed-") + 20


def test_a_lone_surrogate_has_an_id_too() -> None:
    assert digest("\ud800") != digest("\ud801")


def test_streams_with_the_same_keys_agree_and_others_do_not() -> None:
    draws = [stream(*keys).random() for keys in [("a", 1), ("a", 1), ("a", 2), ("a1",), ("1", "a")]]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 4


def test_one_stream_does_not_disturb_another() -> None:
    first, second = stream("a"), stream("b")
    expected = [stream("a").random(), stream("b").random()]
    assert [first.random(), second.random()] == expected


def test_sampling_seeds_fit_31_bits_and_spread() -> None:
    seeds = {sampling_seed("task-1", "agent", n) for n in range(2000)}
    assert len(seeds) > 1990
    assert min(seeds) >= 0
    assert max(seeds) < 2**31
    assert max(seeds) > 2**30
