"""What each role learns from: prompts exactly as rollouts make them, and the right answers.

    world     every step of a run: the state, the call -> applies, effects, observation
    agent     a conversation: each of its turns from what it had seen
    user      an instruction: each of its turns, and the end
    scenario  a conversation and its state -> another wish, and the goal that shows it fulfilled

World examples come from the rows of runs (real transitions, or a model's that stood every
check), the others from seeds or rows. Which are taken when there are more than wanted is drawn
from the recipe's seed.

Crash rule: pure but for what it reads; the same recipe and data give the same examples.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

from trajgen.cast import speech
from trajgen.cluster import make_local_engines
from trajgen.errors import InputError
from trajgen.goals import holds
from trajgen.ids import stream
from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.loading import find, user_path
from trajgen.origin import run_seeds
from trajgen.pipeline import Opened, open_pipeline
from trajgen.pointers import split
from trajgen.records import Call, Domain, Json, Message, Seed, Task, Trajectory
from trajgen.review.run import Run
from trajgen.scenario import CHANGES_STATE, prompt
from trajgen.seeds import SeedSet, load_seeds
from trajgen.stage import Stage, make_stage
from trajgen.train.lessons import lessons, task_of
from trajgen.train.recipe import DataConfig, Recipe
from trajgen.views import agent_view, as_text, user_view
from trajgen.worlds import Answer
from trajgen.worlds.llm import LlmWorld


@dataclass(frozen=True, slots=True)
class Example:
    """A chat of `role`: every assistant message in it is learnt, nothing else. `kind` is what
    examples are balanced by."""

    role: str
    messages: tuple[Message, ...]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where examples come from: seeds with their domains; of a run folder its rows, and the
    seeds that these were `played` from, whose results the world model was shown."""

    seeds: SeedSet
    rows: Sequence[Trajectory] = ()
    played: SeedSet | None = None


def make_examples(recipe: Recipe, near: Path) -> list[Example]:
    """The examples of every role that the recipe teaches, role by role.

    Raises InputError when a source cannot be read, or has nothing that a role can learn from.
    """
    opened = open_pipeline(find(recipe.pipeline, near))
    found: list[Example] = []
    for role, data in recipe.data.taught().items():
        sources = [load_source(source, near) for source in data.sources]
        made = [example for source in sources for example in MAKERS[role](opened, source)]
        if not made:
            where = ", ".join(data.sources)
            raise InputError(f"the role {role} can learn nothing from this", where, NEEDS[role])
        found += drawn(role, made, data, recipe.seed)
    return found


def load_source(name: str, near: Path | None) -> Source:
    """A run folder with its rows, or a domain folder or import source. Raises InputError."""
    folder = user_path(name)
    if (folder / "run.json").is_file():
        played = run_seeds(folder)
        return Source(SeedSet(played.domains, (), ()), list(Run.open(folder)), played)
    return Source(load_seeds((name,), near))


def drawn(role: str, made: Sequence[Example], data: DataConfig, seed: int) -> list[Example]:
    """At most as many examples as wanted, none twice: of each kind the same number, as long as
    there are any."""
    kinds: dict[str, list[Example]] = {}
    for example in {canonical(example.messages): example for example in made}.values():
        kinds.setdefault(example.kind, []).append(example)
    for kind, examples in kinds.items():
        stream("examples", role, kind, seed).shuffle(examples)
    rounds = zip_longest(*(kinds[kind] for kind in sorted(kinds)))
    turns = (example for each in rounds for example in each if example is not None)
    return list(islice(turns, data.examples))


# What the world answers.


def _world(opened: Opened, source: Source) -> Iterator[Example]:
    stage = _stage(opened, source.played or source.seeds)
    if not isinstance(stage.world, LlmWorld):
        raise InputError(f"world.kind is {opened.pipeline.world.kind}", "pipeline", NEEDS["world"])
    for row in source.rows:
        yield from _steps(stage.world, source.seeds.domains[row.domain], row)


def _steps(world: LlmWorld, domain: Domain, row: Trajectory) -> Iterator[Example]:
    """One example a step or, where the prompt holds the steps before, one a conversation."""
    chat: tuple[Message, ...] = ()
    changed: tuple[str, Json] | None = None  # by the call before
    for lesson in lessons(world, domain, row):
        call, answer = lesson.step.call, lesson.answer
        chat = (*lesson.prompt, speech("assistant", lesson.said))
        if not world.cast.pipeline.world.history:
            again = (call.tool, call.arguments) == changed
            yield Example("world", chat, _kind(call, answer, again))
        changed = (call.tool, call.arguments) if answer.effects else None
    if world.cast.pipeline.world.history and chat:
        yield Example("world", chat)


def _kind(call: Call, answer: Answer, again: bool) -> str:
    """A change made once more is a kind of its own: it is rare, looks as it did before, and an
    agent that has lost count makes it."""
    return f"{call.tool} {'applies' if answer.applies else 'does not apply'}{' again' * again}"


# What agent and user say.


def _agent(opened: Opened, source: Source) -> Iterator[Example]:
    prompts = opened.prompts
    for domain, conversations in _conversations(source):
        for index, messages in enumerate(conversations):
            other = conversations[index - 1]
            view = agent_view(prompts, domain, other, messages)
            yield Example("agent", tuple(view))


def _conversations(source: Source) -> Iterator[tuple[Domain, list[tuple[Message, ...]]]]:
    """The conversations of each domain."""
    for name, domain in source.seeds.domains.items():
        seeds = [seed.messages for seed in source.seeds.seeds if seed.domain == name]
        rows = [row.messages for row in source.rows if row.domain == name]
        yield domain, seeds + rows


def _user(opened: Opened, source: Source) -> Iterator[Example]:
    for seed in _instructed(source.seeds.seeds):
        domain, meta = source.seeds.domains[seed.domain], seed.meta
        told, persona = str(meta["instruction"]), str(meta.get("persona", "plain"))
        outcome = str(meta.get("outcome", "success"))
        view = user_view(opened.prompts, domain, told, persona, seed.messages, outcome)
        yield Example("user", tuple(view))


# What a conversation may begin with.


def _scenario(opened: Opened, source: Source) -> Iterator[Example]:
    stage = _stage(opened, source.seeds)
    for group in _by_state(source.seeds):
        for seed in group:
            yield from _openings(stage, seed, [other for other in group if other is not seed])


def _by_state(seeds: SeedSet) -> list[list[Seed]]:
    """Seeds that say what their user was told, together with those that begin as they do."""
    groups: dict[str, list[Seed]] = {}
    for seed in _instructed(seeds.seeds):
        groups.setdefault(canonical([seed.domain, seed.state]), []).append(seed)
    return list(groups.values())


def _openings(stage: Stage, seed: Seed, others: Sequence[Seed]) -> Iterator[Example]:
    """The seed's own wish in other words and, where its prompt shows what that is about, the
    wish of another."""
    told = {"instruction": seed.meta["instruction"]}
    yield _opening(stage, task_of(seed, "rephrase"), told)
    ledger = stage.ledger(seed)
    for strategy in CHANGES_STATE if ledger.state else ():
        task = task_of(seed, strategy)
        asked = prompt(stage, task, ledger)[-1]["content"]
        if fitting := [other for other in others if _shown(asked, other, ledger)]:
            other = stream("openings", task.id).choice(fitting)
            told = {"instruction": other.meta["instruction"]}
            yield _opening(stage, task, {**told, "effects": [], "goal": list(other.goal)})


def _shown(text: str, other: Seed, ledger: Ledger) -> bool:
    """Whether a prompt names all that the wish of `other` is about, which is still to be done
    and was reached."""
    reachable = other.goal and other.meta.get("outcome", "success") == "success"
    if not reachable or all(holds(ledger.state, condition) for condition in other.goal):
        return False
    keys = {key for condition in other.goal for key in split(condition["path"])}
    words = set(re.findall(r"\w+", str(other.meta["instruction"])))
    return all(f'"{name}"' in text for name in keys | words if ledger.relevant([name]))


def _opening(stage: Stage, task: Task, answer: Mapping[str, object]) -> Example:
    asked = prompt(stage, task, stage.ledger(stage.seeds[task.seed_id]))
    return Example("scenario", (*asked, speech("assistant", as_text(answer))), task.strategy)


def _instructed(seeds: Iterable[Seed]) -> Iterator[Seed]:
    return (seed for seed in seeds if "instruction" in seed.meta)


def _stage(opened: Opened, seeds: SeedSet) -> Stage:
    """What rollouts of the recipe's pipeline share; its engines are never started."""
    return make_stage(
        opened.pipeline, seeds, opened.prompts, make_local_engines(opened.pipeline), "taught"
    )


MAKERS = {"world": _world, "agent": _agent, "user": _user, "scenario": _scenario}
NEEDS = {
    "world": "Name the folder of a run with `world: {kind: llm}`, or one that "
    "`trajgen explore` has made.",
    "agent": "Name seeds or a run folder.",
    "user": "Name seeds that say in meta.instruction what their user was told.",
    "scenario": "Name seeds that say in meta.instruction what their user was told.",
}
