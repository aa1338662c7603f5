"""Drawn households: nothing shared between splits, nothing against the house's rules."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest

from trajgen.declared import answer
from trajgen.domains import load_domain
from trajgen.errors import InputError
from trajgen.goals import holds
from trajgen.importers import import_source, is_source, write_domain
from trajgen.importers.household import EACH, household, import_household, overlap
from trajgen.importers.household.houses import house, layout, split_of
from trajgen.importers.household.kinds import BURNS, DOORS, FOOD, METALS
from trajgen.importers.household.wishes import Errand, Wish
from trajgen.importers.household.words import MOST_WORDS, PERSONAS, asked
from trajgen.ledger import Ledger
from trajgen.loading import shipped
from trajgen.records import Call, Seed, calls_of
from trajgen.seeds import check_source, load_lines, load_seeds

pytestmark = pytest.mark.slow  # hundreds of drawn houses


@cache
def seeds(argument: str) -> tuple[Seed, ...]:
    return import_household(argument).seeds


def states(seed: Seed) -> list[tuple[Call, Any, Any]]:
    """Each call with the states before and after it."""
    ledger, found = Ledger(seed.state), []
    for call in calls_of(seed.messages):
        before = ledger.state
        ledger.apply(seed.meta["effects"].get(call.id, ()))
        found.append((call, before, ledger.state))
    return found


def reached(seed: Seed, state: Any) -> bool:
    return all(holds(state, condition) for condition in seed.goal)


# splits


def test_train_and_held_out_share_nothing() -> None:
    assert overlap(seeds("train/1500"), seeds("held_out")) == {}


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ((), {"layouts", "pairs", "tasks"}),
        (("state",), {"layouts", "pairs"}),
        (("goal",), {"tasks"}),
    ],
)
def test_what_is_shared_is_found(kept: tuple[str, ...], told: set[str]) -> None:
    train, planted = seeds("train/50"), seeds("held_out/6")[5]
    other = seeds("train/50")[7]
    copy = replace(planted, **{name: getattr(other, name) for name in kept}) if kept else other
    assert set(overlap(train, [*seeds("held_out/5"), copy])) == told


def test_the_shipped_house_and_its_goals_are_in_neither() -> None:
    folder = shipped("seeds") / "household"
    domain = load_domain(folder)
    known, refused = load_lines(folder / "trajectories.jsonl", domain)
    assert refused == []
    known = [replace(seed, state=domain.state) for seed in known]
    for split in ("train/1500", "held_out"):
        assert overlap(known, seeds(split)) == {}


def test_a_house_belongs_to_a_split_by_what_it_is() -> None:
    for split in ("train", "held_out"):
        for number in range(20):
            assert split_of(layout(house(split, number).state["places"])) == split


def test_the_same_source_gives_the_same_seeds_and_a_longer_one_begins_with_them() -> None:
    first, again = seeds("train/12"), import_household("train/12").seeds
    assert first == again == import_household("train/33").seeds[:12]
    assert len({seed.id for seed in seeds("train/1500")}) == 1500


def test_five_seeds_share_a_house_and_want_different_things() -> None:
    home = seeds("train/10")[:EACH]
    assert {seed.meta["house"] for seed in home} == {"train-0"}
    assert len({json.dumps(seed.state) for seed in home}) == 1
    assert len({json.dumps(seed.goal) for seed in home}) == EACH
    assert seeds("train/10")[EACH].meta["house"] == "train-1"


# sources


def test_counts() -> None:
    assert is_source("household:train")
    assert len(import_source("household:train").seeds) == 1000
    assert len(import_source("household:held_out").seeds) == 200
    assert len(import_source("household:held_out/7").seeds) == 7


@pytest.mark.parametrize(
    "argument", ["", "test", "train/", "train/0", "train/-1", "train/x", "train/²"]
)
def test_anything_else_is_refused(argument: str) -> None:
    with pytest.raises(InputError):
        import_household(argument)


def test_the_domain_fits_any_house() -> None:
    domain = household()
    assert domain.state is None
    assert "counter_1" not in domain.policy
    for kind in DOORS:
        assert f"{kind}es" in domain.policy or f"{kind}s" in domain.policy


# what the seeds are


def test_every_seed_passes_every_check_and_a_folder_of_them_too(tmp_path: Path) -> None:
    loaded = load_seeds(("household:train/400",))
    assert (len(loaded.seeds), loaded.quarantined) == (400, ())
    write_domain(import_household("held_out/10"), tmp_path / "household")
    assert check_source(str(tmp_path / "household")) == (10, [])


def test_the_goal_holds_at_the_end_exactly_when_it_is_a_success_and_never_before() -> None:
    for seed in (*seeds("train/1500"), *seeds("held_out")):
        assert not reached(seed, seed.state), seed.meta["name"]
        after = states(seed)[-1][2]
        assert reached(seed, after) == (seed.meta["outcome"] == "success"), seed.meta["name"]


def test_outcomes_and_kinds_are_mixed() -> None:
    found = seeds("train/1500")
    outcomes = Counter(seed.meta["outcome"] for seed in found)
    assert 0.04 < 1 - outcomes["success"] / len(found) < 0.12
    assert min(outcomes["failure"], outcomes["refusal"]) > 30
    assert min(Counter(seed.meta["task"] for seed in found).values()) > 5
    assert len(Counter(seed.meta["task"] for seed in found)) == 14
    assert Counter(seed.meta["persona"] for seed in found).keys() == PERSONAS.keys()
    unsure = sum(" or else " in seed.meta["instruction"] for seed in found)
    assert 0.1 < unsure / len(found) < 0.2


def test_texts_are_short_and_rarely_the_same() -> None:
    found = seeds("train/1500")
    assert max(len(seed.messages[0]["content"].split()) for seed in found) <= MOST_WORDS
    assert max(len(seed.messages[-1]["content"].split()) for seed in found) <= 25
    assert len({seed.messages[0]["content"] for seed in found}) > 1400


def test_a_wish_with_too_much_to_tell_is_told_as_shortly_as_it_can_be() -> None:
    """Drawing on until it is short enough would never end."""
    errand = Errand("spoon_1", ("shelf_1", "sink_1"), "basket_1", "clean")
    wish = Wish("two", (errand, replace(errand, thing="mug_2"), replace(errand, thing="cup_3")))
    said = [asked(wish, persona, Random(7)) for persona in PERSONAS]
    assert min(len(text.split()) for text in said) > MOST_WORDS
    for text in said:
        assert all(name in text for name in ("spoon_1", "mug_2", "cup_3", "basket_1", "sink_1"))


def test_observations_and_effects_are_those_of_the_declared_world() -> None:
    domain = household()
    for seed in seeds("train/100"):
        told = {m["tool_call_id"]: m["content"] for m in seed.messages if m["role"] == "tool"}
        for call, before, _ in states(seed):
            result = answer(domain, call, before)
            assert result is not None
            assert told[call.id] == result.observation
            assert list(result.effects) == seed.meta["effects"].get(call.id, [])
            assert seed.meta["applies"][call.id] is result.applies
        assert [*seed.meta["applies"]] == [f"call_{n}" for n in range(len(told))]


# the expert


def heated(seed: Seed) -> list[tuple[Call, Any]]:
    return [(call, before) for call, before, _ in states(seed) if call.tool == "heat"]


def test_nothing_is_heated_where_it_must_not_be_and_all_but_food_is_examined_first() -> None:
    examined_any = 0
    for seed in seeds("train/1500"):
        for call, before in heated(seed):
            thing, place = call.arguments["object"], call.arguments["place"]
            material = before["agent"]["hand"][thing]["material"]
            assert material not in (METALS if place == "microwave_1" else BURNS), seed.meta["name"]
            looked = [c for c in calls_of(seed.messages) if c.tool == "examine"]
            looked = [c for c in looked if c.arguments["object"] == thing]
            assert thing.rpartition("_")[0] in FOOD or looked[0].message < call.message
            examined_any += bool(looked)
    assert examined_any > 20


def test_nothing_stays_on_open_or_in_the_hand() -> None:
    for seed in seeds("train/1500"):
        seen_on = False
        for call, before, after in states(seed):
            place = call.arguments.get("place", "")
            seen_on |= place == "stove_1" and call.tool in ("look", "switch", "heat")
            moved = call.tool == "go_to" and after["agent"]["at"] != before["agent"]["at"]
            left = before["places"][before["agent"]["at"]]
            if moved and seen_on:
                assert after["places"]["stove_1"]["power"] == "off", seed.meta["name"]
            if moved and left.get("use") == "cool":
                assert not left["open"], seed.meta["name"]
        assert after["agent"]["hand"] == {}
        assert not seen_on or after["places"]["stove_1"]["power"] == "off"


def test_some_calls_fail_and_are_mended() -> None:
    mended = Counter[str]()
    for seed in seeds("train/400"):
        told = [m["content"] for m in seed.messages if m["role"] == "tool"]
        if seed.meta["outcome"] == "success":
            mended.update({text.split(":")[-1] for text in told if text.startswith("You cannot")})
    assert {end.split()[-1] for end in mended} >= {"closed.", "off."}


def test_a_refused_wish_is_refused_for_a_reason() -> None:
    reasons = {"unsafe": "is", "burning": "stove_1", "locked": "locked", "nowhere": "no "}
    for seed in seeds("train/1500"):
        if word := reasons.get(seed.meta["task"]):
            assert word in seed.messages[-1]["content"], seed.meta["name"]
