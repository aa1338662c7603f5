"""TextWorld's games as seeds: what is in them happened, and it passes the filters."""

from __future__ import annotations

from pathlib import Path

import pytest
from games_in_play import scene
from pipeline_files import load
from test_worlds_textworld import few

import trajgen
from trajgen.config import WorldConfig
from trajgen.errors import InputError
from trajgen.importers import import_source, is_source, write_domain
from trajgen.importers import textworld as importer
from trajgen.json_text import canonical
from trajgen.loading import shipped
from trajgen.pipeline_file import load_pipeline
from trajgen.records import calls_of
from trajgen.seeds import check_imported, check_source
from trajgen.worlds import make_world
from trajgen.worlds.textworld.families import FAMILIES, MAPS_APART

pytestmark = pytest.mark.slow  # the real games


@pytest.mark.parametrize("domain", [*FAMILIES])
def test_every_seed_passes_the_filters_and_a_folder_of_them_too(
    domain: str, tmp_path: Path
) -> None:
    found = few(domain)
    _, good, bad = check_imported(found.domain, found.seeds, found.refused, domain)
    assert (len(good), bad) == (4, [])
    write_domain(found, tmp_path / domain)
    assert check_source(str(tmp_path / domain)) == (4, [])


def test_the_request_is_in_plain_words_and_some_actions_fail_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(importer.GAMES, "house", 12)
    seeds = importer.import_textworld("house").seeds
    for seed in seeds:
        text = seed.messages[0]["content"]
        assert text[-1] in ".?"
        assert "TextWorld" not in text
        assert seed.meta["outcome"] == "success"
        assert {call.id for call in calls_of(seed.messages)} == set(seed.meta["applies"])
    mended = [seed for seed in seeds if not all(seed.meta["applies"].values())]
    assert 0 < len(mended) < len(seeds)
    for seed in mended:
        assert list(seed.meta["applies"].values()).count(False) == 1


def test_a_walkthrough_that_is_too_long_is_refused_with_its_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importer, "MOST_STEPS", 1)
    monkeypatch.setitem(importer.GAMES, "house", 1)
    found = importer.import_textworld("house")
    assert found.seeds == ()
    assert found.refused[0]["reason"].startswith("house-0: its walkthrough has")
    assert found.refused[0]["line"] == 1


def test_sources() -> None:
    assert is_source("textworld:house")
    with pytest.raises(InputError, match="house, coin, treasure, cooking"):
        import_source("textworld:palace")
    for argument in ("house/test", "house/", "house/train/", "house/train/x", "coin/7"):
        with pytest.raises(InputError, match="/train with a count or without"):
            import_source(f"textworld:{argument}")
    for count in (0, importer.TRAIN_MOST + 1):
        with pytest.raises(InputError, match="a count is from 1 to"):
            import_source(f"textworld:house/train/{count}")


@pytest.mark.parametrize("domain", [*FAMILIES])
def test_no_game_to_learn_from_is_one_to_be_measured_on(domain: str) -> None:
    """Nor its map: a number's maps are MAPS_APART from each other."""
    _, measured = importer.games(domain)
    _, learnt = importer.games(f"{domain}/train/{importer.TRAIN_MOST}")
    assert not {n % MAPS_APART for n in measured} & {n % MAPS_APART for n in learnt}
    assert len({n % MAPS_APART for n in learnt}) == importer.TRAIN_MOST
    assert importer.games(f"{domain}/train") == (domain, learnt[: importer.TRAIN])


def test_games_to_learn_from_are_other_games_of_the_same_domain() -> None:
    learnt, measured = importer.import_textworld("house/train/3"), few("house")
    assert learnt.domain == measured.domain
    assert [seed.meta["task"] for seed in learnt.seeds] == [
        "house-1000",
        "house-1001",
        "house-1002",
    ]
    states = {canonical(seed.state) for seed in (*learnt.seeds, *measured.seeds)}
    assert len(states) == 3 + len(measured.seeds)
    config = WorldConfig(kind="textworld", domain="house")
    begun = make_world(config).begin(scene(learnt, learnt.seeds[0]))
    begun.close()


def test_the_pipeline_is_valid_and_plays_in_the_real_game(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(importer.GAMES, "house", 4)
    assert load_pipeline(shipped("pipelines") / "textworld.yaml").world.kind == "textworld"
    data = {
        "name": "played",
        "seeds": "textworld:house",
        "target": 12,
        "max_tasks": 12,
        "engines": {"main": {"kind": "scripted"}},
        "world": {"kind": "textworld", "domain": "house"},
        "variations": {"faults": {"rate": 0.3}},
        "cluster": {"address": "inline"},
    }
    file = tmp_path / "played.yaml"
    load(file, {**data, "roles": {"user": "main", "agent": "main", "world": "main"}})
    run = trajgen.run(str(file), tmp_path / "run")
    assert len(run) >= 6
    assert run[0].world_model == "textworld:house"
    for row in (run[index] for index in range(len(run))):
        assert all(step.source == "real" or step.fault for step in row.steps)
    assert run.status()["dead"] == 0
    assert {"success"} <= set(run.status()["outcomes"])
