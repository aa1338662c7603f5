"""Mutated seed lines: each becomes a seed or a refusal with file, line and reason."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

import trajgen
from tests.fuzz.mutation import bytes_changed, value_changed
from tests.small_pipeline import write_pipeline
from trajgen.domains import load_domain
from trajgen.loading import shipped
from trajgen.records import DETAIL_CHARS
from trajgen.run_folder import status
from trajgen.seeds import load_lines
from trajgen.verify import verify

DOMAINS = ("household", "retail_support", "chemistry_lab")


def mutated(lines: list[bytes], draw: random.Random) -> bytes:
    line = draw.choice(lines)
    if draw.random() < 0.4:
        changed = bytes_changed(line, draw)
    else:
        value = value_changed(json.loads(line), draw)
        changed = json.dumps(value, ensure_ascii=draw.random() < 0.5).encode("utf-8", "replace")
    return changed.replace(b"\n", b" ")


def written(folder: Path, count: int, draw: random.Random) -> int:
    """Mutated lines in place of the folder's; how many of them are not blank."""
    file = folder / "trajectories.jsonl"
    lines = file.read_bytes().splitlines()
    changed = [mutated(lines, draw) for _ in range(count)]
    file.write_bytes(b"\n".join(changed) + b"\n")
    return sum(1 for line in changed if line.strip())


def every_line_has_an_end(tmp_path: Path, domain: str, count: int, seed: int) -> int:
    folder = shutil.copytree(shipped("seeds") / domain, tmp_path / domain)
    lines = written(folder, count, random.Random(seed))
    seeds, refused = load_lines(folder / "trajectories.jsonl", load_domain(folder), "x.jsonl")
    assert len(seeds) + len(refused) == lines
    for entry in refused:
        assert entry["file"] == "x.jsonl"
        assert 1 <= entry["line"] <= count
        assert 0 < len(entry["reason"]) <= DETAIL_CHARS
        assert "\n" not in entry["reason"]
    return len(seeds)


def test_mutated_seed_lines(tmp_path: Path) -> None:
    assert every_line_has_an_end(tmp_path, "household", 80, 1) < 80


@pytest.mark.slow
@pytest.mark.parametrize("domain", DOMAINS)
def test_thousands_of_mutated_seed_lines(tmp_path: Path, domain: str) -> None:
    assert 0 < every_line_has_an_end(tmp_path, domain, 3_400, 7) < 3_400


@pytest.mark.slow
@pytest.mark.parametrize("domain", DOMAINS)
def test_what_is_left_of_mutated_seeds_can_be_played(tmp_path: Path, domain: str) -> None:
    """A line that is taken for a seed holds together: no rollout breaks on it."""
    folder = shutil.copytree(shipped("seeds") / domain, tmp_path / domain)
    lines = written(folder, 300, random.Random(11))
    pipeline = write_pipeline(
        tmp_path, seeds=str(folder), max_tasks=120, target=120, shards={"rows": 20}
    )
    run = trajgen.run(pipeline, tmp_path / "run")
    found = status(run.path)
    assert (found["done"], found["dead"]) == (120, 0)
    seeds, refused = load_lines(folder / "trajectories.jsonl", load_domain(folder))
    assert found["quarantined"] == len(refused) == lines - len(seeds)
    assert verify(run.path) == []
