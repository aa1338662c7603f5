"""Mutated pipeline files: each gives a plan, or one message that names the file or the matter."""

from __future__ import annotations

import random
import time
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fuzz.mutation import bytes_changed, value_changed
from trajgen import pipeline as module
from trajgen.errors import MOST_CHARS, InputError
from trajgen.loading import shipped
from trajgen.pipeline import load
from trajgen.plan import plan

CPU_S = 10.0  # of one file: what takes longer would hang on a larger one
FULL: dict[str, Any] = {
    "name": "fuzzed",
    "seeds": ["seeds/household"],
    "target": 10,
    "max_tasks": 30,
    "engines": {
        "main": {"kind": "scripted", "script": {"quality": {"agent": 0.9}, "delay_ms": 1}},
        "other": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "timeout_s": 3},
    },
    "roles": {
        "user": {"engine": "main", "temperature": 1.0, "max_tokens": 64},
        "agent": "main",
        "world": {"engine": "main", "top_p": 0.5},
        "judge": "other",
    },
    "rollout": {"mode": "turns", "attempts": 2},
    "world": {"kind": "llm", "agreement": {"samples": 3, "at_least": 0.5}},
    "variations": {
        "strategies": {"rephrase": 1, "new_scenario": 2.5},
        "personas": ["terse", "a retired sailor"],
        "faults": {"rate": 0.1, "kinds": ["timeout"]},
    },
    "limits": {"turns": 5, "tool_calls": 5, "tokens": 4000, "seconds": 60},
    "filters": ["default"],
    "keep": ["success", "failure"],
    "judge": {"policy": 3},
    "near_duplicate": 0.95,
    "shards": {"rows": 4},
    "cluster": {"address": "inline", "in_flight": 4, "restarts": 2},
    "stop": {"dead": "5%", "rejected": 0.9, "after": 20},
    "seed": 3,
}


def mutated(draw: random.Random) -> bytes:
    if draw.random() < 0.4:
        return bytes_changed(_text(), draw)
    value = value_changed(FULL, draw)
    return yaml.safe_dump(value, allow_unicode=draw.random() < 0.5).encode("utf-8", "replace")


@cache
def _text() -> bytes:
    return yaml.safe_dump(FULL, sort_keys=False).encode()


@pytest.fixture(autouse=True)
def seeds_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_seeds", cache(module.load_seeds))
    monkeypatch.setattr(module, "Prompts", cache(module.Prompts))


def refusal(path: Path) -> InputError | None:
    """What is wrong with the file; None where it gives a plan."""
    try:
        loaded = load(path, limit=5)
        loaded.check()
        pipeline = loaded.pipeline
        tasks = plan(loaded.seeds.seeds, pipeline.variations, pipeline.max_tasks, pipeline.seed)
        assert len(list(islice(tasks, 9))) <= 5
        assert loaded.run_id
    except InputError as error:
        return error
    return None


def planned(path: Path) -> bool:
    """Whether the file gives a plan; a refusal is one message."""
    error = refusal(path)
    if error is None:
        return True
    assert error.exit_code == 2
    assert 0 < len(error.what) <= MOST_CHARS
    return False


def each_has_an_end(path: Path, count: int, seed: int) -> int:
    """How many of the files gave a plan."""
    draw, good = random.Random(seed), 0
    for number in range(count):
        data = mutated(draw)
        path.write_bytes(data)
        began = time.process_time()
        try:
            good += planned(path)
        except Exception as error:
            raise AssertionError(f"file {number} of seed {seed}: {data!r}"[:3000]) from error
        assert time.process_time() - began < CPU_S, data[:3000]
    return good


def test_the_file_itself_gives_a_plan(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(_text())
    assert planned(path)


def test_mutated_pipeline_files(tmp_path: Path) -> None:
    assert 0 < each_has_an_end(tmp_path / "job.yaml", 30, 1) < 30


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_thousands_of_mutated_pipeline_files(tmp_path: Path, seed: int) -> None:
    assert 0 < each_has_an_end(tmp_path / "job.yaml", 2_000, 100 + seed) < 2_000


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(shipped("pipelines").glob("*.yaml")), ids=lambda p: p.stem)
def test_mutated_shipped_pipelines(tmp_path: Path, path: Path) -> None:
    draw = random.Random(5)
    for _ in range(100):
        (tmp_path / "job.yaml").write_bytes(bytes_changed(path.read_bytes(), draw))
        planned(tmp_path / "job.yaml")
