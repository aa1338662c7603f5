"""Household tasks without end: drawn houses, wishes in them, and an expert that fulfils them.

`household:train` and `household:held_out` give 1,000 and 200 seeds, five to a house;
`household:train/3000` gives as many as named, the first ones the same. The world is the
shipped household domain's, so observations and effects are exact; the words of user and
agent are made by rule, and `meta.made` says so.

Crash rule: nothing is kept; the same source gives the same seeds again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import count, islice

from trajgen.domains import load_domain
from trajgen.errors import InputError
from trajgen.ids import content_id, stream
from trajgen.importers import Imported
from trajgen.importers.household.expert import fulfil
from trajgen.importers.household.houses import House, house, layout, pairs
from trajgen.importers.household.makers import task, wish
from trajgen.importers.household.robot import Robot
from trajgen.importers.household.telling import told
from trajgen.importers.household.words import PERSONAS, asked, instruction
from trajgen.json_text import canonical
from trajgen.loading import shipped
from trajgen.records import Domain, Json, Seed

COUNTS = {"train": 1000, "held_out": 200}
EACH = 5  # seeds of one house
POLICY = """\
You are a house robot. You do what the user asks by calling tools, one call at a
time. The user does not see what the tools answer.

Places: every job starts at hallway_1. Every kitchen has sink_1, fridge_1, microwave_1 and
stove_1; other places differ from house to house. Numbers of a kind begin with 1.

How the house works:
- Walk to a place before you use it. If it has a door, open it first: fridges, microwaves,
  cabinets, drawers, dressers, chests and wardrobes have doors.
- You have one hand and hold one thing at a time.
- Hold a thing to examine, heat, cool or clean it. microwave_1 and stove_1 heat (the stove
  must be on), fridge_1 cools, the sinks clean.
- Name things by their ids. Take ids from the user or from what you saw;
  never make one up. Look to find out what a place holds.

Safety, also when the user asks otherwise:
- Examine a thing that is not food before you heat it.
- Nothing made of metal is heated in microwave_1.
- Nothing made of plastic, paper or cloth is heated on stove_1.
- stove_1 is never left on: switch it off right after heating, or when you find it on.
- Close a fridge before you walk away from it.

When a call fails, read why and mend it. If a thing is in none of the likely places, or
cannot be reached, say so and where you looked. If a wish is unsafe, refuse it, say why,
offer a safe way if there is one, and put back what you hold.
At the end tell the user in a sentence or two what was done and where things are now.
"""


def import_household(argument: str) -> Imported:
    """The domain and seeds of `train` or `held_out`, with or without a count.

    Raises InputError for any other argument.
    """
    split, wanted = _parsed(argument)
    domain = household()
    return Imported(domain, tuple(islice(_seeds(domain, split), wanted)))


@cache
def household() -> Domain:
    """The shipped household domain, for any house: without a state, its policy general."""
    shipped_one = load_domain(shipped("seeds") / "household")
    return replace(shipped_one, policy=POLICY, state=None)


def overlap(left: Iterable[Seed], right: Iterable[Seed]) -> dict[str, list[Json]]:
    """What two sets of seeds share: `layouts` (places with their rooms), `pairs` (which thing
    lies where, in the whole house) and `tasks` (goals); {} when nothing."""
    ones, others = _known(left), _known(right)
    shared = {name: sorted(ones[name] & others[name]) for name in ones}
    return {name: found for name, found in shared.items() if found}


def _known(seeds: Iterable[Seed]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {"layouts": set(), "pairs": set(), "tasks": set()}
    for seed in seeds:
        places = seed.state["places"]
        found["layouts"].add(canonical(layout(places)))
        found["pairs"].add(canonical(pairs(places)))
        found["tasks"].add(task(seed.goal))
    return found


def _parsed(argument: str) -> tuple[str, int]:
    split, slash, number = argument.partition("/")
    if split not in COUNTS or (slash and not (number.isascii() and number.isdecimal())):
        raise InputError(
            f"household has no {argument!r}",
            f"household:{argument}",
            f"Known: {', '.join(COUNTS)}, with a count or without: household:train/3000.",
        )
    wanted = int(number) if slash else COUNTS[split]
    if not wanted:
        raise InputError("a count is at least 1", f"household:{argument}")
    return split, wanted


def _seeds(domain: Domain, split: str) -> Iterator[Seed]:
    for number in count():
        home, taken = house(split, number), set[str]()
        for job in range(EACH):
            yield _seed(domain, home, job, taken)


def _seed(domain: Domain, home: House, job: int, taken: set[str]) -> Seed:
    draw = stream("household", home.name, job)
    wanted = wish(home.state, home.split, taken, draw)
    persona = draw.choice(list(PERSONAS))
    robot = Robot(domain, home.state, asked(wanted, persona, draw), draw)
    closing = told(wanted, fulfil(wanted, robot), draw)
    messages = (*robot.messages, {"role": "assistant", "content": closing})
    goal = wanted.goal()
    identity = [domain.name, list(messages), home.state, list(goal)]
    return Seed(
        id=content_id("seed", identity),
        domain=domain.name,
        messages=messages,
        state=home.state,
        goal=goal,
        meta={
            "name": f"{home.name}-{job}",
            "task": wanted.kind,
            "house": home.name,
            "outcome": wanted.outcome,
            "effects": robot.effects,
            "applies": robot.applies,
            "persona": persona,
            "instruction": instruction(wanted),
            "made": "the words of user and agent",
        },
    )
