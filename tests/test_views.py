"""What is taught is what is asked: views built whole equal those that rollouts grew."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import trajgen
from tests.playing import (
    CANCEL,
    CANCELLED,
    DOMAIN,
    PENDING,
    PROMPTS,
    REFUSED,
    SEED,
    TASK,
    Actor,
    agent,
    call,
    done,
    good,
    planned,
    stage,
    task,
    user,
    world,
)
from tests.small_pipeline import write_pipeline
from trajgen.engines import Completion, Request
from trajgen.engines.scripted import ScriptedEngine
from trajgen.explore.command import explore
from trajgen.json_text import canonical
from trajgen.loading import shipped
from trajgen.pipeline import open_pipeline
from trajgen.prompts import Prompts
from trajgen.records import Message, Task, Trajectory
from trajgen.rollout import Rollout
from trajgen.seeds import load_seeds
from trajgen.stage import make_stage
from trajgen.train.examples import MAKERS, load_source
from trajgen.transitions import transitions
from trajgen.views import agent_view, as_text, user_view
from trajgen.worlds import Scene
from trajgen.worlds.llm import LlmWorld

SHORT = Prompts(shipped("prompts") / "short")
FAULTED = task(fault="timeout")
ENGINES = {"main": Actor()}  # of pipelines whose engines are never asked

# Conversations of the shop: what the roles answer, and which task is played.

LONG = {
    "user": [user("Wie geht’s — W101?"), user("Then cancel it."), done("failure")],
    "agent": [
        agent("I shall look.", call("get_order"), call("get_order", "W102")),
        agent("It is «pending»."),
        agent("", call("cancel_order", "W102")),
        agent("That cannot be done."),
    ],
    "world": [
        world(PENDING),
        world({"status": "shipped", "total": 35}),
        world(REFUSED, applies=False),
    ],
}
TALKS: dict[str, tuple[dict[str, list[Any]], Task]] = {
    "good": (good(), TASK),
    "long": (good() | LONG, TASK),
    "asked again": (
        good()
        | {
            "user": ["oops", user("Cancel W101, will you."), done()],
            "agent": [agent(""), *good()["agent"]],
            "world": [world({"status": "lost"}), *good()["world"]],
        },
        TASK,
    ),
    "nothing called": (good() | {"agent": [agent("I cannot.")], "world": []}, TASK),
    "a planned fault": (
        good()
        | {
            "agent": [agent("", call("get_order")), *good()["agent"]],
            "world": [world(PENDING), world(CANCELLED, CANCEL)],
        },
        FAULTED,
    ),
    "broken off": (good() | {"world": [world(PENDING), *[world({"ok": True})] * 2]}, TASK),
}


def spelt(answers: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Answers as a taught model writes them."""
    return {
        role: [each if isinstance(each, str) else as_text(each) for each in given]
        for role, given in answers.items()
    }


def played(name: str, prompts: Prompts) -> tuple[Actor, Trajectory]:
    answers, wanted = TALKS[name]
    actor = Actor(spelt(answers))
    found = stage(actor)
    found.cast.prompts = prompts
    return actor, asyncio.run(Rollout(found, wanted).play())


def first_asked(requests: Sequence[Request], role: str) -> list[tuple[Message, ...]]:
    """What `role` was asked, without what it was asked once more."""
    return [r.messages for r in requests if r.role == role and r.id.endswith("/1")]


def assert_cut_from(whole: list[Message], asked: list[tuple[Message, ...]], open_end: int) -> None:
    """Every prompt is the beginning of the view, up to an answer; all answers but the last
    `open_end` ones were asked for, and one that could not stand may be asked for at the end."""
    answers = [i for i, message in enumerate(whole) if message["role"] == "assistant"]
    for messages in asked:
        assert list(messages) == whole[: len(messages)]
    wanted = answers[: len(answers) - open_end] if open_end else answers
    assert [len(messages) for messages in asked] == wanted


@pytest.mark.parametrize("prompts", [PROMPTS, SHORT], ids=["shipped", "short"])
@pytest.mark.parametrize("name", TALKS)
def test_the_agent_is_taught_what_it_is_asked(name: str, prompts: Prompts) -> None:
    actor, row = played(name, prompts)
    whole = agent_view(prompts, DOMAIN, SEED.messages, row.messages)
    assert_cut_from(whole, first_asked(actor.requests, "agent"), 0)
    assert sum(m["role"] == "assistant" for m in row.messages) >= 1


@pytest.mark.parametrize("prompts", [PROMPTS, SHORT], ids=["shipped", "short"])
@pytest.mark.parametrize("name", TALKS)
def test_the_user_is_taught_what_it_is_asked(name: str, prompts: Prompts) -> None:
    actor, row = played(name, prompts)
    told, outcome = planned()["instruction"], json.loads(spelt(TALKS[name][0])["user"][-1])
    whole = user_view(prompts, DOMAIN, told, "terse", row.messages, outcome["outcome"])
    over = row.scores["ended"] == "done"  # else the user never came to an end
    assert_cut_from(whole, first_asked(actor.requests, "user"), 0 if over else 1)
    assert whole[-1]["content"] == as_text(outcome) or not over


def test_an_answer_is_spelt_as_a_model_is_asked_to_spell_it() -> None:
    text = as_text({"say": "é — 🙂", "calls": []})
    assert text == '{"say":"é — 🙂","calls":[]}'


# Whole runs of the scripted engine, and their rows as a run folder gives them back.

ASKED: list[tuple[Request, str]] = []


class Recorder(ScriptedEngine):
    """Plays its seed, spelt as it would have learnt it, and keeps what it was asked."""

    async def complete(self, request: Request) -> Completion:
        given = await super().complete(request)
        answer = json.loads(given.text)
        if request.role == "world" and (answer["applies"] or answer["why"] in _seen(answer)):
            answer["why"] = ""
        if request.role == "user" and not answer["done"]:
            answer["outcome"] = "success"  # decides nothing yet
        text = as_text(answer)
        ASKED.append((request, text))
        return replace(given, text=text)


def _seen(answer: dict[str, Any]) -> str:
    seen = answer["observation"]
    return seen if isinstance(seen, str) else json.dumps(seen, ensure_ascii=False)


RUNS: dict[str, dict[str, Any]] = {
    "as the quick start": {
        "seeds": "seeds/household",
        "prompts": "prompts/short",
        "world": {"declared": False, "examples": 0, "history": False, "state": "outline"},
    },
    "with all that came before": {
        "seeds": "seeds/household",
        "world": {"declared": False, "history": True, "state": "full"},
    },
    "JSON with examples": {
        "seeds": "seeds/retail_support",
        "world": {"declared": False, "examples": 2, "history": False, "state": "full"},
    },
    "JSON, outlined, with history": {
        "seeds": "seeds/retail_support",
        "world": {"declared": False, "examples": 1, "history": True, "state": "outline"},
    },
    "a laboratory": {
        "seeds": "seeds/chemistry_lab",
        "prompts": "prompts/short",
        "world": {"declared": False, "history": False, "state": "outline"},
    },
}


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline's folder, played."""
    folder = tmp_path_factory.mktemp("run")
    engine = {"kind": f"{__name__}:Recorder", "max_num_seqs": 8}
    ASKED.clear()
    path = write_pipeline(folder, engines={"main": engine}, **RUNS[request.param])
    trajgen.run(path, folder / "run")
    return folder


def rows(run: Path) -> list[Trajectory]:
    found = list(trajgen.open(run / "run"))
    assert len(found) >= 6
    return found


def requests_of(row: Trajectory, role: str) -> list[tuple[Request, str]]:
    return [each for each in ASKED if each[0].role == role and each[0].id.startswith(row.id)]


def test_agent_and_user_of_a_run_are_taught_what_they_were_asked(run: Path) -> None:
    prompts = open_pipeline(run / "pipeline.yaml").prompts
    loaded = load_seeds(open_pipeline(run / "pipeline.yaml").pipeline.seeds)
    seeds = {seed.id: seed for seed in loaded.seeds}
    for row in rows(run):
        domain = loaded.domains[row.domain]
        whole = agent_view(prompts, domain, seeds[row.seed_id].messages, row.messages)
        asked = requests_of(row, "agent")
        assert_cut_from(whole, [request.messages for request, _ in asked], 0)
        assert [text for _, text in asked] == [
            m["content"] for m in whole if m["role"] == "assistant"
        ]
        asked = requests_of(row, "user")
        told = asked[0][0].context["instruction"]
        whole = user_view(prompts, domain, told, row.persona, row.messages, row.outcome)
        assert_cut_from(whole, [request.messages for request, _ in asked], 0)


def test_the_world_is_taught_what_it_was_asked(run: Path) -> None:
    opened = open_pipeline(run / "pipeline.yaml")
    source = load_source(str(run / "run"), None)
    made = {canonical(m.messages) for m in MAKERS["world"](opened, source)}
    for row in rows(run):
        asked = requests_of(row, "world")
        if opened.pipeline.world.history:
            asked = asked[-1:]
        for request, text in asked:
            chat = (*request.messages, {"role": "assistant", "content": text})
            assert canonical(chat) in made, chat[-2]["content"]


def test_a_row_alone_teaches_what_is_asked_in_the_whole_house(tmp_path: Path) -> None:
    """Seeds with a state each: of it the row holds what it touched, the rollout has all."""
    source = "household:train/10"
    explore(source, "declared", tmp_path / "run", 150)
    opened = open_pipeline(shipped("pipelines") / "quickstart.yaml")
    taught = iter(MAKERS["world"](opened, load_source(str(tmp_path / "run"), None)))
    staged = make_stage(opened.pipeline, load_seeds((source,)), opened.prompts, ENGINES, "run-1")
    world = staged.world
    assert isinstance(world, LlmWorld)
    for row in trajgen.open(tmp_path / "run"):
        domain, seed = staged.domains[row.domain], staged.seeds[row.seed_id]
        ledger = staged.ledger(seed)
        episode = world.begin(Scene(domain, seed, TASK, ledger))
        for found in transitions(row, domain):
            asked, example = episode.asking(found.call), next(taught)
            assert example.messages[:-1] == asked
            answer = json.loads(example.messages[-1]["content"])
            assert answer["observation"] == found.answer.observation
            assert tuple(answer["effects"]) == found.answer.effects
            ledger.apply(found.answer.effects)
    assert next(taught, None) is None
