"""Nothing that the shipped recipe learns from is in what its result is measured on."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest

import trajgen
from trajgen.explore.command import explore
from trajgen.importers import import_source, is_source
from trajgen.importers.household import overlap
from trajgen.json_text import canonical
from trajgen.loading import shipped
from trajgen.records import Seed
from trajgen.seeds import load_seeds
from trajgen.train.examples import make_examples
from trajgen.train.recipe import load_recipe
from trajgen.transitions import transitions

pytestmark = pytest.mark.slow  # every house of the recipe

RECIPE = shipped("recipes") / "household_135m_cpu.yaml"
SMALL = "household:train/40"


@cache
def imported(source: str) -> tuple[Seed, ...]:
    return import_source(source).seeds


def held_out() -> tuple[Seed, ...]:
    asked = load_recipe(str(RECIPE))[0].evaluate
    assert asked is not None
    found = imported(asked.world.removeprefix("declared:"))
    assert len(found) == 200 >= asked.n
    return found


def learnt_from() -> set[str]:
    """The import sources that the recipe names, and the one its run folder is explored from."""
    data = load_recipe(str(RECIPE))[0].data.taught()
    named = {source for config in data.values() for source in config.sources}
    explored = re.findall(r"trajgen explore (\S+)", RECIPE.read_text("utf-8"))
    folders = {source for source in named if not is_source(source)}
    assert len(folders) <= len(explored)
    return (named - folders) | set(explored)


def test_the_recipe_is_measured_on_houses_that_it_has_not_seen() -> None:
    sources = learnt_from()
    assert sources == {"household:train/3000"}
    for source in sources:
        assert len(imported(source)) == int(source.rpartition("/")[2])
        assert overlap(imported(source), held_out()) == {}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> list[Seed]:
    """Every state that an exploration came through and kept, as seeds with its seed's goal."""
    folder = tmp_path_factory.mktemp("explored") / "run"
    explore(SMALL, "declared", folder, 250)
    loaded = load_seeds((SMALL,))
    by_id, domain = {seed.id: seed for seed in loaded.seeds}, loaded.domains["household"]
    found = [
        replace(by_id[row.seed_id], state=each.ledger.state)
        for row in trajgen.open(folder)
        for each in transitions(row, domain)
    ]
    assert len(found) == 250
    return found


def test_no_state_of_an_exploration_is_one_of_a_house_that_is_held_out(lived: list[Seed]) -> None:
    assert overlap(lived, held_out()) == {}
    known = {canonical(seed.state) for seed in held_out()}
    assert not known & {canonical(seed.state) for seed in lived}


def test_the_states_of_an_exploration_are_those_of_its_own_houses(lived: list[Seed]) -> None:
    """The check above looks at whole houses: their own are found by it."""
    shared = overlap(lived, imported(SMALL))
    assert shared.keys() == {"layouts", "pairs", "tasks"}
    assert len(shared["layouts"]) == 8  # five seeds a house, all of them played


def test_what_is_compared_is_what_is_learnt() -> None:
    """The user is told the wishes of the very seeds that were compared."""
    recipe, near = load_recipe(str(RECIPE), [f"data={{user: {{from: {SMALL!r}}}}}"])
    learnt = [example.messages[0]["content"] for example in make_examples(recipe, near)]
    told = {str(seed.meta["instruction"]) for seed in imported(SMALL)}
    assert {text.partition("\n")[2] for text in learnt} == told
