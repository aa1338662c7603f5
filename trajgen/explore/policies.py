"""Who plays what: seeds -> plays, each with its policy and the kind of every step.

    expert                the seed's own calls
    noisy_expert          the same with refused calls in between
    random_applicable     the seed's first calls, then drawn ones, most of which apply
    random_inapplicable   the seed's first calls, then drawn ones, most of which are refused

Round after round visits every seed once. How many calls a play makes is drawn before it
begins, so that the number of plays is known and the last ends at the wanted transition.

Crash rule: a pure function of the seeds, the number and the seed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trajgen.ids import content_id, sampling_seed, stream
from trajgen.records import Seed, Task, calls_of

MOST = 40  # calls of an expert that are followed
FREE = (6, 14)  # drawn calls after its first ones
SHORT = 20  # calls of a play, or twice the seed's where that is more

EXPERT, REFUSED, FREE_STEP = "expert", "refused", "free"


@dataclass(frozen=True, slots=True)
class Policy:
    """`weight` is its share of the plays; `refused` that of its free steps which should not
    apply."""

    weight: float
    refused: float


POLICIES = {
    "expert": Policy(1, 0.0),
    "noisy_expert": Policy(3, 1.0),
    "random_applicable": Policy(4, 0.35),
    "random_inapplicable": Policy(2, 0.85),
}


@dataclass(frozen=True, slots=True)
class Play:
    """One episode to live through: its task, whose persona names the policy, and its steps."""

    task: Task
    steps: tuple[str, ...]


def plays(seeds: Sequence[Seed], n: int, root: int) -> Iterator[Play]:
    """Plays of `n` steps in all; `seeds` each make at least one call."""
    ordered, index = sorted(seeds, key=lambda seed: seed.id), 0
    often = Counter(call.tool for seed in ordered for call in calls_of(seed.messages))
    while n > 0:
        round_, position = divmod(index, len(ordered))
        if position == 0:
            order = ordered.copy()
            stream("explore round", root, round_).shuffle(order)
        play = _play(order[position], index, round_, root, n, often)
        yield play
        n, index = n - len(play.steps), index + 1


def _play(seed: Seed, index: int, round_: int, root: int, most: int, often: Counter[str]) -> Play:
    chance = stream("explore", root, index, seed.id)
    names = list(POLICIES)
    (name,) = chance.choices(names, [POLICIES[key].weight for key in names])
    rare = [1 / often[call.tool] for call in calls_of(seed.messages)][:MOST]
    steps = _steps(name, rare, chance)[:most]
    id_ = content_id("task", ["explore", seed.id, name, round_, root, len(steps)])
    task = Task(id_, index, seed.domain, seed.id, "explore", name, "", "", sampling_seed(id_))
    return Play(task, tuple(steps))


def _steps(name: str, rare: list[float], chance: random.Random) -> list[str]:
    """`rare` says of each of the expert's calls how rare its tool is: calls are drawn from
    where such a one is about to be made, most of all."""
    expert = len(rare)
    if name == "expert":
        return [EXPERT] * expert
    if name == "noisy_expert":
        steps = [EXPERT] * (expert - 1) + [REFUSED] * chance.randint(-(-expert // 2), expert)
        chance.shuffle(steps)
        return [*steps, EXPERT]  # its last call may end a game
    (lead,) = chance.choices(range(expert), rare)
    steps = [EXPERT] * lead + [FREE_STEP] * chance.randint(*FREE)
    return steps[: max(SHORT, 2 * expert)]
