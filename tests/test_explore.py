"""Real transitions: balanced, deterministic, resumed to the byte, and read back as lived."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import trajgen
from trajgen.cli import main
from trajgen.durable import sha256_of
from trajgen.errors import CommitError, InputError, RequestError
from trajgen.explore.balance import Balance, refusal
from trajgen.explore.command import explore, parse_world
from trajgen.explore.policies import EXPERT, POLICIES, plays
from trajgen.explore.standing import learn, standing
from trajgen.ids import stream
from trajgen.importers import textworld
from trajgen.ledger import Ledger
from trajgen.records import Call, Domain, Step, Trajectory, calls_of
from trajgen.run_folder import RunFolder, status, verify
from trajgen.seeds import initial_state, load_seeds
from trajgen.transitions import transitions
from trajgen.worlds import Answer
from trajgen.worlds.declared import DeclaredEpisode
from trajgen.worlds.shown import shown_state

N = 1200
ROWS = 16  # a shard
HOUSEHOLD = load_seeds(("seeds/household",))
DOMAIN = HOUSEHOLD.domains["household"]


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explored") / "run"
    explore("seeds/household", "declared", folder, N, shard_rows=ROWS)
    return folder


def content(folder: Path) -> dict[str, str]:
    """sha256 of every file but the logs."""
    files = (path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: sha256_of(path) for name, path in named.items() if not name.startswith("logs/")}


def counts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "explore.json").read_text("utf-8"))
    return found


# what is collected


def test_it_collects_just_as_many_as_are_wanted(explored: Path) -> None:
    run = trajgen.open(explored)
    assert sum(row.n_tool_calls for row in run) == N == counts(explored)["transitions"]
    assert all(len(row.steps) == row.n_tool_calls == len(list(row.calls())) for row in run)


def test_the_folder_is_a_sound_run(explored: Path) -> None:
    assert verify(explored) == []
    now = status(explored)
    assert now["complete"]
    assert now["planned"] == now["kept"] == len(trajgen.open(explored))
    assert "explore.json" in json.loads((explored / "manifest.json").read_text())["files"]
    (explored / "README.md").read_text("utf-8").index("collected with a mix of behaviour policies")


def test_every_tool_has_both_sides(explored: Path) -> None:
    found = counts(explored)
    names = {tool["function"]["name"] for tool in DOMAIN.tools}
    assert names == found["tools"].keys()
    for tool in found["tools"].values():
        assert sum(tool["applicable"].values()) >= 2
        assert tool["inapplicable"] >= 10
    assert 0.4 <= found["inapplicable"] / N <= 0.5


def test_every_refusal_that_is_declared_is_met(explored: Path) -> None:
    said = counts(explored)["tools"]
    assert len(said["heat"]["refusals"]) >= 7  # its seven conditions
    assert len(said["take"]["refusals"]) >= 5
    assert min(said["put"]["refusals"].values()) >= 3
    assert sum(said["take"]["applicable"].values()) == said["take"]["applicable"]["5+"]


def test_all_policies_play(explored: Path) -> None:
    assert counts(explored)["policies"].keys() == POLICIES.keys()
    rows = [row for row in trajgen.open(explored) if row.persona == "expert"]
    seeds = {seed.id: seed for seed in HOUSEHOLD.seeds}
    for row in rows:
        own = [(call.tool, call.arguments) for call in calls_of(seeds[row.seed_id].messages)]
        assert [(call.tool, call.arguments) for call in row.calls()] == own
        reached = seeds[row.seed_id].meta["outcome"] == "success"
        assert row.outcome == ("success" if reached else "failure")


def test_rows_are_conversations_of_a_real_world(explored: Path) -> None:
    row = trajgen.open(explored)[0]
    assert (row.strategy, row.agent_model, row.world_model) == ("explore", "explore", "declared")
    assert row.reasons == ()
    assert {step.source for step in row.steps} == {"code"}
    roles = [message["role"] for message in row.messages]
    assert roles == ["user", *["assistant", "tool"] * row.n_tool_calls, "assistant"]
    assert row.run_id == status(explored)["run_id"]


# the same again


def test_the_same_command_gives_the_same_bytes(explored: Path, tmp_path: Path) -> None:
    explore("seeds/household", "declared", tmp_path, N, shard_rows=ROWS)
    assert content(tmp_path) == content(explored)


@pytest.mark.slow
def test_another_seed_draws_other_calls(explored: Path, tmp_path: Path) -> None:
    explore("seeds/household", "declared", tmp_path, N, seed=1, shard_rows=ROWS)
    mine, other = (
        [call.arguments for row in trajgen.open(f) for call in row.calls()]
        for f in (tmp_path, explored)
    )
    assert mine != other


@pytest.mark.slow
def test_killed_after_a_shard_it_goes_on_to_the_same_bytes(
    explored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, made = RunFolder.commit, list[int]()

    def dying(folder: RunFolder, result: Any, *more: Any) -> Any:
        if len(made) == 2:
            raise CommitError("the disk is gone")
        made.append(result.number)
        return commit(folder, result, *more)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "commit", dying)
        with pytest.raises(CommitError):
            explore("seeds/household", "declared", tmp_path, N, shard_rows=ROWS)
    assert made == [0, 1]
    assert not status(tmp_path)["complete"]

    monkeypatch.setattr(RunFolder, "commit", lambda f, r, *m: made.append(r.number) or commit(f, r))
    explore("seeds/household", "declared", tmp_path, N, shard_rows=ROWS)
    assert made == list(range(len(list((explored / "shards").iterdir()))))  # none was made twice
    assert content(tmp_path) == content(explored)


@pytest.mark.slow
def test_a_damaged_shard_is_made_anew_with_the_same_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    explore("seeds/household", "declared", folder, 600, shard_rows=ROWS)
    before, shard = content(folder), folder / "shards" / "train-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-50])
    explore("seeds/household", "declared", folder, 600, shard_rows=ROWS)
    after = {k: v for k, v in content(folder).items() if not k.startswith("corrupt/")}
    assert after == before


def test_a_finished_folder_is_not_touched(explored: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in explored.rglob("*") if path.is_file()}
    assert explore("seeds/household", "declared", explored, N, shard_rows=ROWS)["transitions"] == N
    assert before == {p: p.stat().st_mtime_ns for p in explored.rglob("*") if p.is_file()}


def test_counts_are_the_same_from_rows(explored: Path) -> None:
    again = Balance()
    for row in trajgen.open(explored):
        again.add_row(row, DOMAIN)
    kept = counts(explored)
    assert again.table() == {key: kept[key] for key in again.table()}


def test_a_play_that_cannot_be_played_is_dead_and_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = DeclaredEpisode.step

    async def without_lamps(episode: DeclaredEpisode, call: Call) -> Answer:
        if call.tool == "switch" and call.arguments["place"].startswith("lamp_1"):
            raise RequestError("no lamp here")
        return await answer(episode, call)

    monkeypatch.setattr(DeclaredEpisode, "step", without_lamps)
    found = explore("seeds/household", "declared", tmp_path, 400, shard_rows=ROWS)
    now, again = status(tmp_path), Balance()
    assert now["dead"] > 0
    assert now["kept"] > 0
    assert verify(tmp_path) == []
    for row in trajgen.open(tmp_path):
        again.add_row(row, DOMAIN)
    assert again.table() == found
    assert found["transitions"] == sum(found["policies"].values()) < 400


@pytest.mark.slow
def test_a_game_that_is_won_ends_its_play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(textworld.GAMES, "house", 3)
    found = explore("textworld:house", "textworld:house", tmp_path, 150)
    told = [m["content"] for row in trajgen.open(tmp_path) for m in row.messages]
    assert sum("*** The End ***" in text for text in told) > 1
    assert not any(text.startswith("The game has ended") for text in told)
    assert 100 < found["transitions"] <= 150


# the plan


def test_plays_add_up_to_the_wanted_number() -> None:
    for n in (1, 7, 500):
        assert sum(len(play.steps) for play in plays(HOUSEHOLD.seeds, n, 0)) == n


def test_each_round_visits_every_seed_once() -> None:
    first = list(islice(plays(HOUSEHOLD.seeds, 5000, 0), 24))
    for part in (first[:12], first[12:]):
        assert {play.task.seed_id for play in part} == {seed.id for seed in HOUSEHOLD.seeds}
    assert len({play.task.id for play in first}) == 24


def test_the_expert_makes_the_last_call_of_its_noisy_plays() -> None:
    noisy = [p for p in plays(HOUSEHOLD.seeds, 3000, 0) if p.task.persona == "noisy_expert"]
    calls = {seed.id: len(list(calls_of(seed.messages))) for seed in HOUSEHOLD.seeds}
    for play in noisy[:-1]:
        assert play.steps[-1] == EXPERT
        assert play.steps.count(EXPERT) == calls[play.task.seed_id]


# where values stand


def test_seeds_show_where_the_values_of_an_argument_stand() -> None:
    shown = learn(DOMAIN, HOUSEHOLD.seeds)
    contents, hand = (True, ("places", "*", "contents", "*")), (True, ("agent", "hand", "*"))
    assert contents in shown["take", "object"].places
    assert hand in shown["put", "object"].places
    assert (True, ("places", "*")) in shown["go_to", "place"].places


def test_what_stands_there_now_is_what_is_drawn_from() -> None:
    state = {"agent": {"hand": {"mug_7": {}}}, "places": {"sink_3": {"contents": {"cup_2": {}}}}}
    draw = stream("test")
    assert standing(state, (True, ("agent", "hand", "*")), draw) == ["mug_7"]
    assert standing(state, (True, ("places", "*", "contents", "*")), draw) == ["cup_2"]
    assert standing({"a": [{"to": "x"}, {"to": "y"}]}, (False, ("a", "*", "to")), draw) == [
        "x",
        "y",
    ]
    assert standing(state, (True, ("rooms", "*")), draw) == []


def test_a_refusal_is_one_kind_whatever_it_names() -> None:
    one = refusal("You cannot heat mug_1: sink_2 is off.", {"object": "mug_1", "place": "sink_2"})
    two = refusal("You cannot heat pan_12: hob_1 is off.", {"object": "pan_12", "place": "hob_1"})
    assert one == two == "You cannot heat {}: {} is off."
    assert refusal("mug_12 is 3 m away", {"object": "mug_1"}) == "mug_# is # m away"


# reading back


def test_transitions_are_what_was_lived(explored: Path) -> None:
    seen = 0
    for row in trajgen.open(explored):
        seed = next(seed for seed in HOUSEHOLD.seeds if seed.id == row.seed_id)
        lived = Ledger(initial_state(DOMAIN, seed))
        told = iter(m["content"] for m in row.messages if m["role"] == "tool")
        for found in transitions(row, DOMAIN):
            assert found.step.state_before == lived.hash
            assert Ledger(found.ledger.state).hash == lived.hash
            for reads in (False, True):
                shown = shown_state(found.ledger, found.call, None, reads)
                assert json.dumps(shown) == json.dumps(shown_state(lived, found.call, None, reads))
            assert found.answer.observation == next(told)
            lived.apply(found.answer.effects)
            seen += 1
        assert found.step.state_after == lived.hash
    assert seen == N


def test_a_row_alone_holds_the_small_parts_of_the_state(explored: Path) -> None:
    bare = Domain(name="household", policy="", tools=DOMAIN.tools)
    for row in islice(trajgen.open(explored), 5):
        for found in transitions(row, bare):
            assert found.ledger.state["agent"]["at"]
            assert Ledger(found.ledger.state).hash == found.step.state_before


def step(call: str, **more: Any) -> Step:
    return Step(1, call, "go", True, "", (), "real", "", "", **more)


def test_what_no_world_answered_teaches_nothing() -> None:
    messages = tuple(
        part
        for name in ("a", "b", "c")
        for part in (
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": name, "type": "function", "function": {"name": "go", "arguments": {}}}
                ],
            },
            {"role": "tool", "tool_call_id": name, "content": f"seen {name}"},
        )
    )
    broken = step("c", verdicts=(trajgen.records.Reason("bad_effect"),))
    steps = (step("a", fault="timeout"), step("b"), broken)
    row = Trajectory("t", "d", messages, steps=steps)
    found = list(transitions(row, Domain("d", "", ())))
    assert [each.answer.observation for each in found] == ["seen b"]
    assert found[0].call == Call("b", "go", {}, 2)


# the command


def test_the_command_prints_its_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explore", "seeds/household", "--world", "declared", "--out", str(tmp_path / "run")]
    assert main([*words, "-n", "60", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["transitions"] == 60
    assert main([*words, "-n", "60"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[:3] == ["tool", "refused", "applies"]
    assert main(["verify", str(tmp_path / "run")]) == 0


def test_another_exploration_is_refused_and_nothing_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explore", "seeds/household", "--world", "declared", "--out", str(tmp_path / "run")]
    assert main([*words, "-n", "40"]) == 0
    before = content(tmp_path)
    assert main([*words, "-n", "41"]) == 2
    assert "transitions: 40 -> 41" in capsys.readouterr().err
    assert content(tmp_path) == before


@pytest.mark.parametrize("world", ["nowhere", "llm", "declared:seeds/household", "tau2", ""])
def test_what_is_no_real_world_is_refused(world: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names no real world"):
        explore("seeds/household", world, tmp_path)


def test_worlds_are_named_as_anywhere() -> None:
    assert parse_world("textworld:coin").domain == "coin"
    assert parse_world("my_world:LampWorld").kind == "my_world:LampWorld"


def test_code_cannot_explore_tools_that_are_not_declared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explore", "seeds/chemistry_lab", "--world", "declared", "--out", str(tmp_path)]
    code = main([*words, "-n", "5"])
    assert code == 2
    assert "does not declare" in capsys.readouterr().err


@pytest.mark.slow
def test_a_game_is_explored(tmp_path: Path) -> None:
    found = explore("textworld:coin", "textworld:coin", tmp_path / "run", 150, shard_rows=4)
    n = found["transitions"]
    assert 130 <= n <= 150  # a game that is won early ends its play
    assert n == sum(len(row.steps) for row in trajgen.open(tmp_path / "run"))
    assert verify(tmp_path / "run") == []
    assert 0.3 <= found["inapplicable"] / n <= 0.6
    domain = load_seeds(("textworld:coin",)).domains["textworld_coin"]
    for row in trajgen.open(tmp_path / "run"):
        assert {step.source for step in row.steps} == {"real"}
        for each in transitions(row, domain):
            assert Ledger(each.ledger.state).hash == each.step.state_before
    again = explore("textworld:coin", "textworld:coin", tmp_path / "again", 150, shard_rows=4)
    assert again == found
    assert content(tmp_path / "again") == content(tmp_path / "run")
