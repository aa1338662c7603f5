"""BFCL's multi-turn tasks: the ground-truth calls in its own APIs, as seeds that hold together."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from functools import cache
from typing import Any

import pytest

from trajgen import filters
from trajgen.errors import InputError
from trajgen.goals import holds
from trajgen.importers import Imported, import_source
from trajgen.ledger import Ledger
from trajgen.records import Seed, Trajectory, calls_of
from trajgen.schemas import tool_problems
from trajgen.seeds import seed_problem

pytest.importorskip("bfcl_eval", reason="pip install --no-deps bfcl-eval")

from trajgen.importers.bfcl.apis import Apis
from trajgen.importers.bfcl.data import Asked, entries
from trajgen.importers.bfcl.kinds import READS
from trajgen.importers.bfcl.play import play

FILES = "bfcl:multi_turn_base/GorillaFileSystem"


@cache
def imported(source: str) -> Imported:
    return import_source(source)


def observations(seed: Seed) -> list[str]:
    return [m["content"] for m in seed.messages if m["role"] == "tool"]


def reasons(found: Imported, seed: Seed) -> set[str]:
    domain = found.domain
    made = Trajectory(seed.id, domain.name, seed.messages, domain.tools, state_initial=seed.state)
    return {reason.code for reason in filters.check(made, domain)}


def check_all(found: Imported) -> Counter[str]:
    """What every seed of a category has to be; the reasons against those that do not pass."""
    against: Counter[str] = Counter()
    domain = found.domain
    assert tool_problems(list(domain.tools)) == []
    for seed in found.seeds:
        ledger = Ledger(seed.state)
        for call in calls_of(seed.messages):
            effects = seed.meta["effects"].get(call.id, ())
            assert not effects or domain.kinds[call.tool] == "write"
            ledger.apply(effects)
        assert all(holds(ledger.state, condition) for condition in seed.goal)
        roles = [m["role"] for m in seed.messages]
        assert (roles[0], roles[-1]) == ("user", "assistant")
        codes = reasons(found, seed)
        against.update(codes)
        assert bool(codes) == bool(seed_problem(seed, domain)), seed.meta["name"]
    return against


def test_file_system_tasks() -> None:
    found = imported(FILES)
    assert (len(found.seeds), found.refused) == (13, ())
    assert found.domain.name == "bfcl_multi_turn_base_GorillaFileSystem"
    assert check_all(found) == {}
    names = {tool["function"]["name"] for tool in found.domain.tools}
    assert names & READS == {n for n, kind in found.domain.kinds.items() if kind == "read"}


def test_the_calls_are_the_ground_truth_and_the_answers_real() -> None:
    seeds = {seed.meta["name"]: seed for seed in imported(FILES).seeds}
    for entry in entries("multi_turn_base"):
        if entry.id not in seeds:
            continue
        seed, apis = seeds[entry.id], Apis(entry, long=False)
        added = seed.meta.get("added", ())
        made = [call for call in calls_of(seed.messages) if call.id not in added]
        wanted = [asked for _, calls in entry.turns for asked in calls]
        assert [c.tool for c in made] == [asked.tool for asked in wanted]
        assert [c.arguments for c in made] == [apis.arguments(asked) for asked in wanted]
        answers = [apis.call(call.tool, call.arguments) for call in calls_of(seed.messages)]
        assert answers == observations(seed)
        assert all(call.tool in READS for call in calls_of(seed.messages) if call.id in added)
        said = [m["content"] for m in seed.messages if m["role"] == "user"]
        assert said == [text for text, _ in entry.turns]


def test_what_was_never_shown_is_read_first() -> None:
    """Task 37 asks for each file in a folder, and no ground-truth call lists them."""
    seed = next(s for s in imported(FILES).seeds if s.meta["name"] == "multi_turn_base_37")
    assert seed.meta["added"] == ["call_1"]
    calls = [(c.tool, c.arguments) for c in calls_of(seed.messages)]
    assert calls[:2] == [
        ("ls", {"a": True}),
        ("wc", {"file_name": "dev_summary.txt", "mode": "l"}),
    ]
    assert "dev_summary.txt" in observations(seed)[0]


def test_what_no_read_shows_is_told_by_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = next(e for e in entries("multi_turn_base") if e.id == "multi_turn_base_37")
    module = importlib.import_module("trajgen.importers.bfcl.play")
    monkeypatch.setattr(module, "SHOWS", ())
    seed = play(entry, imported(FILES).domain, long=False)
    assert seed.meta["told"] == ["dev_summary.txt"]
    assert "what the user tells besides" in seed.meta["made"]
    assert seed.messages[0]["content"].endswith("Take: file name dev_summary.txt.")
    assert reasons(imported(FILES), seed) == set()


def test_positional_arguments_get_their_names_and_nothing_is_run_as_code() -> None:
    entry = next(entries("multi_turn_base"))
    apis = Apis(entry, long=False)
    assert apis.arguments(Asked("sort", ("a.txt",), {})) == {"file_name": "a.txt"}
    for asked in (Asked("sort", (), {"x": 1}), Asked("sort", ("a", "b"), {})):
        with pytest.raises(TypeError):
            apis.arguments(asked)
    for name in ("_load_scenario", "__init__", "none", "root"):
        with pytest.raises((LookupError, TypeError)):
            apis.arguments(Asked(name, (), {}))
    answer = apis.call("cat", {"file_name": "none"})
    assert json.loads(answer)["error"]
    assert apis.call("cat", {}).startswith("Error during execution")


def test_unknown_categories_and_apis() -> None:
    with pytest.raises(
        InputError, match=r"no multi-turn category 'simple_python'.*\n.*multi_turn_"
    ):
        import_source("bfcl:simple_python")
    with pytest.raises(InputError, match=r"no API 'Nope'.*\n.*TravelAPI"):
        import_source("bfcl:multi_turn_base/Nope")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("category", "seeds", "refused", "against"),
    [
        # Three users give a payment card's number, one call breaks BFCL's own schema.
        ("base", 200, 0, {"pii": 3, "bad_arguments": 1}),
        # Besides, BFCL cut two of its own user texts in the middle.
        ("miss_param", 200, 0, {"pii": 3, "bad_arguments": 1, "truncated": 2}),
        # The long filler of the answers holds card numbers.
        ("long_context", 200, 0, {"pii": 43, "bad_arguments": 1}),
        ("miss_func", 0, 200, {}),
    ],
)
def test_every_task_is_a_seed_or_refused_with_a_reason(
    category: str, seeds: int, refused: int, against: dict[str, int]
) -> None:
    found = import_source(f"bfcl:multi_turn_{category}")
    assert (len(found.seeds), len(found.refused)) == (seeds, refused)
    assert all("tools change in the middle" in str(r["reason"]) for r in found.refused)
    assert check_all(found) == against
    ways = Counter(key for seed in found.seeds for key in ("added", "told") if key in seed.meta)
    if category == "base":
        assert ways == {"added": 22, "told": 3}


@pytest.mark.slow
def test_reads_never_change_a_state() -> None:
    changed: Counter[str] = Counter()
    for category in ("multi_turn_base", "multi_turn_miss_param"):
        for seed in import_source(f"bfcl:{category}").seeds:
            tools: dict[str, Any] = {c.id: c.tool for c in calls_of(seed.messages)}
            changed.update(tools[id_] for id_ in seed.meta["effects"])
    assert changed.keys() & READS == set()
    assert len(changed) > 30
