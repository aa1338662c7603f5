"""ScienceWorld's tasks as seeds: what is in them happened, and it passes the filters."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipeline_files import load
from test_worlds_scienceworld import few

import trajgen
from trajgen.errors import InputError
from trajgen.importers import import_source, is_source, write_domain
from trajgen.importers import scienceworld as importer
from trajgen.records import calls_of
from trajgen.seeds import check_imported, check_source
from trajgen.worlds.scienceworld import tasks

pytestmark = pytest.mark.slow  # the real environment


def test_every_seed_passes_the_filters_and_a_folder_of_them_too(tmp_path: Path) -> None:
    found = few()
    _, good, bad = check_imported(found.domain, found.seeds, found.refused, "scienceworld")
    assert (len(good), bad) == (3, [])
    write_domain(found, tmp_path / "science")
    assert check_source(str(tmp_path / "science")) == (3, [])
    for seed in found.seeds:
        assert seed.messages[0]["content"].startswith("Please find ")
        assert seed.goal == ({"path": "/task/score", "at_least": 100},)
        assert {call.id for call in calls_of(seed.messages)} == set(seed.meta["applies"])


def test_long_paths_are_refused_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "VARIATIONS", 1)
    grown = importer.import_scienceworld("grow-fruit")
    assert grown.seeds == ()
    assert "more than 40 steps" in grown.refused[0]["reason"]
    monkeypatch.setattr(importer, "MOST_STEPS", 1)
    found = importer.import_scienceworld("find-animal")
    assert found.refused[0]["reason"].startswith("find-animal-0: its gold path has")


def test_sources() -> None:
    assert is_source("scienceworld:boil")
    with pytest.raises(InputError, match="Known: all, boil"):
        import_source("scienceworld:alchemy")
    chosen = list(tasks.chosen("all"))
    assert len(chosen) == len(set(chosen)) >= 30
    assert list(tasks.chosen("boil"))[:2] == ["boil-0", "boil-1"]


def test_a_run_plays_in_the_real_laboratory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "VARIATIONS", 2)
    data = {
        "name": "played",
        "seeds": "scienceworld:lifespan-longest-lived",
        "target": 6,
        "max_tasks": 6,
        "engines": {"main": {"kind": "scripted"}},
        "roles": {"user": "main", "agent": "main", "world": "main"},
        "world": {"kind": "scienceworld", "domain": "lifespan-longest-lived"},
        "cluster": {"address": "inline"},
    }
    file = tmp_path / "played.yaml"
    load(file, data)
    run = trajgen.run(str(file), tmp_path / "run")
    assert run.status()["dead"] == 0
    assert len(run) >= 3
    assert run[0].world_model == "scienceworld:lifespan-longest-lived"
    assert all(step.source == "real" for step in run[0].steps)
