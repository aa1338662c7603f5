"""Mutated answers of models, through real rollouts: rows and reasons, never a crash or a hang."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import trajgen
from tests.fuzz.mutating import Mutating
from tests.small_pipeline import write_pipeline
from tests.test_pipeline import deaths
from trajgen.json_text import canonical
from trajgen.records import DETAIL_CHARS
from trajgen.verify import verify


def fuzzed(path: Path, tasks: int, seeds: Sequence[str], **changes: Any) -> int:
    """A run of `tasks` tasks that holds together; how many answers were mutated."""
    before = Mutating.mutated
    engines = {"main": {"kind": "tests.fuzz.mutating:Mutating", "max_num_seqs": 8}}
    given = {"engines": engines, "seeds": list(seeds), "max_tasks": tasks, "shards": {"rows": 50}}
    pipeline = write_pipeline(path, **given, target=tasks, **changes)
    run = trajgen.run(pipeline, path / "run")
    status = run.status()
    assert deaths(run.path) == []
    assert status["kept"] + status["rejected"] == status["done"] == tasks
    assert verify(run.path) == []
    domains = {folder.name: trajgen.load_domain(folder) for folder in map(Path, seeds)}
    for row in run:
        assert trajgen.check(row, domains[row.domain]) == []
    for row in run.rows(rejected=True):
        found = row.scores["reasons"]
        assert [reason["code"] for reason in found]
        assert all(len(reason["detail"]) <= DETAIL_CHARS for reason in found)
        assert len(canonical(row.row())) < 3_000_000
    return Mutating.mutated - before


JUDGED = {"user": "main", "agent": "main", "world": "main", "judge": "main"}
ALL = ("seeds/household", "seeds/retail_support", "seeds/chemistry_lab")


def test_mutated_answers(tmp_path: Path) -> None:
    assert fuzzed(tmp_path, 10, ALL[:1]) >= 20


AGREEING = {"declared": False, "agreement": {"samples": 2}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("least", "tasks", "changes"),
    [
        (3_000, 480, {"roles": JUDGED}),
        (3_000, 600, {"world": {"declared": True}}),
        (3_000, 350, {"world": AGREEING, "near_duplicate": None}),
        (1_000, 2_700, {"rollout": {"mode": "one_call", "attempts": 3}}),
    ],
    ids=["judged", "declared", "agreement", "one call"],
)
def test_thousands_of_mutated_answers(
    tmp_path: Path, least: int, tasks: int, changes: dict[str, Any]
) -> None:
    """10,000 in all; each with all three domains, strategies and planned faults."""
    variations = {"faults": {"rate": 0.2}, "personas": ["plain", "terse"]}
    assert fuzzed(tmp_path, tasks, ALL, variations=variations, **changes) >= least
