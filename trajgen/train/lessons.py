"""What the world is asked at each step of a row, exactly as in a rollout, and what it answered.

Crash rule: pure; a row whose effects do not fit its state raises and yields no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from trajgen.ids import content_id, sampling_seed
from trajgen.ledger import Ledger
from trajgen.records import Domain, Message, Seed, Task, Trajectory
from trajgen.transitions import Transition, transitions
from trajgen.worlds import Answer, Scene
from trajgen.worlds.llm import LlmWorld, answer_text


@dataclass(frozen=True, slots=True)
class Lesson:
    """One step: the prompt, the answer as a world model writes it, and what they are made of."""

    prompt: tuple[Message, ...]
    said: str
    step: Transition
    answer: Answer


def lessons(
    world: LlmWorld, domain: Domain, row: Trajectory, refused: bool = False
) -> Iterator[Lesson]:
    """The steps of `row` in order, as `transitions` gives them. Every tool is asked for, those
    that `domain` declares too. Raises EffectError when effects do not fit the state."""
    domain = replace(domain, semantics={})
    seed = Seed(row.seed_id, domain.name, row.messages)
    task = task_of(seed, row.strategy, row.persona)
    episode = world.begin(Scene(domain, seed, task, Ledger(None, 0)))
    for step in transitions(row, domain, refused):
        episode.scene = replace(episode.scene, ledger=step.ledger)
        answer = _said_once(step.answer)
        said = answer_text(answer, episode.in_json(step.call))
        yield Lesson(episode.asking(step.call), said, step, answer)
        episode.observe(step.call, answer)


def task_of(seed: Seed, strategy: str, persona: str = "plain") -> Task:
    """A task as if `seed` had been planned so."""
    id_ = content_id("task", ["taught", seed.id, strategy])
    chance = sampling_seed(id_)
    return Task(id_, 0, seed.domain, seed.id, strategy, persona, "", "", chance)


def _said_once(answer: Answer) -> Answer:
    """An answer that gives no reason where there is none to give, or the observation says it."""
    silent = answer.applies or answer.why in answer.observation
    return replace(answer, why="") if silent else answer
