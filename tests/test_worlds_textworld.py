"""TextWorld as a world: its games can be won, keep to themselves and take one command a call."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from games_in_play import in_a_process, make, observations, replayed, scene

from trajgen.config import WorldConfig
from trajgen.errors import InputError, RequestError
from trajgen.filters.world import is_failure, judge
from trajgen.goals import holds
from trajgen.importers import Imported
from trajgen.importers import textworld as importer
from trajgen.ledger import Ledger
from trajgen.records import Call, Seed, calls_of
from trajgen.worlds import make_world
from trajgen.worlds.games import answer
from trajgen.worlds.textworld.families import FAMILIES, game_file
from trajgen.worlds.textworld.play import Play, cleaned
from trajgen.worlds.textworld.tools import (
    CUTS,
    DIRECTIONS,
    OFFERED,
    call_of,
    command,
    parameters,
    phrase,
)

pytestmark = pytest.mark.slow  # the real games

FEW = 4


@cache
def few(domain: str) -> Imported:
    """The first games of a domain."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(importer.GAMES, domain, FEW)
        return importer.import_textworld(domain)


def config(domain: str) -> WorldConfig:
    return WorldConfig(kind="textworld", domain=domain)


@pytest.fixture
def play() -> Iterator[Play]:
    """A game that begins beside something closed, which no key is needed for."""
    for number in range(30):
        game = Play(f"house-{number}")
        if closed(game):
            break
        game.close()
    yield game
    game.close()


def closed(game: Play) -> list[str]:
    return [thing for thing in game.state["things"] if game.applies(f"open {thing}")]


@pytest.mark.parametrize("domain", [*FAMILIES])
def test_the_walkthrough_played_through_the_world_wins(domain: str) -> None:
    world = make_world(config(domain))
    assert (world.name, world.takes_state) == (f"textworld:{domain}", False)
    for seed in few(domain).seeds:
        episode = world.begin(scene(few(domain), seed))
        ledger = Ledger(seed.state)
        assert episode.reached() is False
        assert not all(holds(ledger.state, condition) for condition in seed.goal)
        assert replayed(episode, seed, ledger) == observations(seed)
        assert episode.reached() is True
        assert all(holds(ledger.state, condition) for condition in seed.goal)
        episode.close()


def test_interleaved_episodes_do_not_see_each_other() -> None:
    imported, world = few("house"), make_world(config("house"))
    seeds = [*imported.seeds[:2], imported.seeds[0]]
    episodes = [world.begin(scene(imported, seed)) for seed in seeds]
    calls = [list(calls_of(seed.messages)) for seed in seeds]
    seen: list[list[str]] = [[], [], []]
    for step in range(max(map(len, calls))):
        for at, episode in enumerate(episodes):
            if step < len(calls[at]):
                made = calls[at][step]
                seen[at].append(make(episode, made.tool, **made.arguments).observation)
    assert seen == [observations(seed) for seed in seeds]
    assert all(episode.reached() for episode in episodes)
    for episode in episodes:
        episode.close()


def test_after_the_end_nothing_more_can_be_done() -> None:
    imported, world = few("house"), make_world(config("house"))
    episode = world.begin(scene(imported, imported.seeds[0]))
    replayed(episode, imported.seeds[0], Ledger(imported.seeds[0].state))
    late = make(episode, "look")
    assert (late.applies, late.effects) == (False, ())
    assert is_failure(late.observation, imported.domain)
    episode.close()
    episode.close()


@pytest.mark.parametrize("domain", ["house", "cooking"])
def test_any_call_at_all_is_answered_in_one_piece(domain: str) -> None:
    """Random calls, good and bad: what the filters read agrees with what the world says,
    effects fit the state, and a call that does not apply changes nothing."""
    about, draw = importer._domain(domain), random.Random(7)
    applied = refused = 0
    for number in range(3):
        game = Play(f"{domain}-{number}")
        ledger, names = Ledger(game.state), [*game.state["things"], *game.state["rooms"], "ghost"]
        for _ in range(120):
            tool = draw.choice(OFFERED[domain])
            choices = {"direction": DIRECTIONS, "how": CUTS}
            given = {p: draw.choice(choices.get(p, names)) for p in parameters(tool)}
            made = Call("c", tool, given, 0)
            found = answer(game, made)
            assert judge(about, made, found.applies, found.effects, found.observation, ledger) == []
            assert found.applies or not found.effects
            ledger.apply(found.effects)
            assert ledger.state == game.state
            applied, refused = applied + found.applies, refused + (not found.applies)
        game.close()
    assert min(applied, refused) > 50


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("take", {"thing": "portal. open portal"}),
        ("take", {"thing": "portal\nopen portal"}),
        ("examine", {"thing": "portal then open portal"}),
        ("examine", {"thing": "portal, open portal"}),
        ("go", {"direction": "north. open portal"}),
        ("go", {"direction": "up"}),
        ("take", {"thing": "all"}),
        ("take", {"thing": "it"}),
        ("take", {"thing": ["portal"]}),
        ("take", {"thing": 7}),
        ("take", {"thing": None}),
        ("take", {}),
        ("take", {"thing": "portal", "more": "portal"}),
        ("take", {"thing": "{thing}"}),
        ("restart", {}),
        ("__class__", {}),
    ],
)
def test_no_argument_carries_a_second_command(
    play: Play, tool: str, arguments: dict[str, Any]
) -> None:
    thing = closed(play)[0]
    arguments = json.loads(json.dumps(arguments).replace("portal", thing))
    names = {name: name for name in play.state["things"]}
    assert command(tool, arguments, names) is None
    before = play.state
    applies, text = play.act(tool, arguments)
    assert not applies
    assert play.state is before
    assert is_failure(text, importer._domain("house"))


def test_names_are_taken_as_people_write_them(play: Play) -> None:
    thing = closed(play)[0]
    assert play.act("open", {"thing": f"The {thing.upper()} "})[0]
    assert play.state["things"][thing]["is"] == "open"


def test_a_move_changes_one_field(play: Play) -> None:
    thing = closed(play)[0]
    made = answer(play, Call("c", "open", {"thing": thing}, 0))
    assert made.effects == ({"op": "set", "path": f"/things/{thing}/is", "value": "open"},)
    again = answer(play, Call("c", "open", {"thing": thing}, 0))
    assert (again.applies, again.effects) == (False, ())


def test_the_text_is_clean_of_prompts_banners_and_menus() -> None:
    raw = (
        "\nYou take it.\n\n\n\nYour score has just gone up by one point.\n\n\n      "
        "*** The End ***\n\nYou scored 1 out of a possible 1, in 2 turns.\n\n\n"
        "Would you like to RESTART, RESTORE a saved game, QUIT or UNDO the last command?\n>    "
    )
    assert cleaned(raw) == "You take it.\n\n*** The End ***"
    assert cleaned("\n-= Hall =-\nYou are in a hall.\n\n\n\n>      -= Hall =-0/2") == (
        "-= Hall =-\nYou are in a hall."
    )


def test_every_command_has_its_call_and_back() -> None:
    names = {"red apple": "red apple", "oven": "oven", "knife": "knife", "box": "box"}
    for line in (
        "dice red apple with knife",
        "take red apple from box",
        "take red apple",
        "insert red apple into box",
        "cook red apple with oven",
        "go north",
        "prepare meal",
    ):
        found = call_of(line, names)
        assert found is not None
        assert command(*found, names) == line
        assert phrase(*found)
    assert call_of("take ghost", names) is None


def test_a_seed_of_no_game_or_another_state_is_refused_for_its_task_alone() -> None:
    imported, world = few("house"), make_world(config("house"))
    seed = imported.seeds[0]
    with pytest.raises(RequestError, match="names no task"):
        world.begin(scene(imported, replace(seed, meta={})))
    other = replace(seed, state={**seed.state, "player": {"room": "the moon"}})
    with pytest.raises(RequestError, match="another state"):
        world.begin(scene(imported, other))
    with pytest.raises(RequestError, match="the world is coin"):
        make_world(config("coin")).begin(scene(imported, seed))


@pytest.mark.parametrize("task", ["house", "house-", "house--1", "house-x", "palace-1", "../x-1"])
def test_a_task_that_names_no_game_is_an_input_error(task: str) -> None:
    with pytest.raises(InputError):
        game_file(task)


def test_an_unknown_domain_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"house, coin, treasure, cooking"):
        make_world(config("palace"))


def test_the_cache_holds_whole_games_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAJGEN_CACHE", str(tmp_path))
    path = game_file("coin-0")
    stamp = path.stat().st_mtime_ns
    names = sorted(p.name for p in path.parent.iterdir())
    assert names == ["coin-0.json", "coin-0.z8"]
    assert game_file("coin-0").stat().st_mtime_ns == stamp


PROGRAM = """
import json
from trajgen.importers import textworld as importer
importer.GAMES["house"] = 2
found = importer.import_textworld("house")
print(json.dumps([[s.id, s.messages, s.state, s.goal, dict(s.meta)] for s in found.seeds]))
"""


def test_two_processes_make_the_same_games_seeds_and_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for hash_seed in ("1", "2"):
        monkeypatch.setenv("TRAJGEN_CACHE", str(tmp_path / hash_seed))
        found.append(in_a_process(PROGRAM, hash_seed))
    assert found[0] == found[1]
    assert len(json.loads(found[0])) == 2


def test_a_closed_game_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    game_file("house-1")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    game = Play("house-1")
    game.act("look", {})
    game.close()
    assert list(tmp_path.iterdir()) == []


def test_seeds_are_found_by_their_task() -> None:
    names = [seed.meta["task"] for seed in few("house").seeds]
    assert names == [f"house-{number}" for number in range(FEW)]
    assert all(isinstance(seed, Seed) for seed in few("house").seeds)
