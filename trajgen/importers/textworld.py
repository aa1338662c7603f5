"""TextWorld's games -> seeds, by walking through each with the solution that it comes with.

`textworld:house` gives the games that worlds are measured on, `textworld:house/train` others
to learn from; `textworld:house/train/200` as many as named, the first ones the same.

About every third walk takes a step before the one that it needs, sees it fail and mends
that: so seeds show how the game refuses.

Crash rule: nothing is kept but games in the cache, which are whole or not there.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random

from trajgen.errors import InputError
from trajgen.ids import stream
from trajgen.importers import Imported
from trajgen.importers.walk import Walk
from trajgen.records import Domain, Json, Seed
from trajgen.worlds.textworld.families import MAPS_APART, check_domain, task_name
from trajgen.worlds.textworld.play import Play
from trajgen.worlds.textworld.tools import FAILURES, call_of, kinds, phrase, tools

MOST_STEPS = 40
GAMES = {"house": 30, "coin": 20, "treasure": 20, "cooking": 20}
TRAIN = 120
TRAIN_FROM = 1000  # the number of the first game to learn from
TRAIN_MOST = MAPS_APART - TRAIN_FROM  # so that no game falls back on the map of another
DESCRIPTIONS = {
    "house": "A house of rooms with doors, containers and things, in a generated text game.",
    "coin": "A maze of rooms that holds one coin, in a generated text game.",
    "treasure": "A house that holds one treasure and one decoy, in a generated text game.",
    "cooking": "A kitchen with a cookbook, and ingredients to find, in a generated text game.",
}
POLICY = """\
You act for the user in a text game, one call at a time, and tell them how it went.

- Look around first, and read every answer before the next call: it says what is here, what is
  closed or locked, and which exits the room has. A name in a call is the thing's full name.
- You can only use what is in your room or carried by you. Go there first; take a thing before
  you put it anywhere; open a container before you take from it; unlock what is locked with the
  key that fits; a closed door lets nobody through.
- A call that fails changes nothing. Find out why, mend that, and then try again.
- Eating, drinking, cutting and cooking cannot be taken back. Do none of them without being asked,
  or without the recipe asking for it.
- The game ends when its goal is reached, or made impossible; after that nothing more can be done.
- Say that something is done only after the game has said so.
"""
_OPENINGS = (
    "Please {wish}.",
    "I would like you to {wish}.",
    "Could you {wish}?",
    "Here is what I need you to do: {wish}.",
)
_SAYS = ("I will {it}.", "Now I {it}.", "Next I {it}.", "")
_Call = tuple[str, dict[str, Json]]


def import_textworld(argument: str) -> Imported:
    """The domain and seeds of `house`, `coin`, `treasure` or `cooking`, or of one's games to
    learn from, with or without a count: `house/train`, `house/train/200`.

    Raises InputError for any other argument, and when the package is not installed.
    """
    name, numbers = games(argument)
    domain = _domain(name)
    seeds: list[Seed] = []
    refused: list[dict[str, Json]] = []
    for line, number in enumerate(numbers, 1):
        found = _seed(domain, name, number)
        if isinstance(found, Seed):
            seeds.append(found)
        else:
            source = f"textworld:{argument}"
            reason = f"{task_name(name, number)}: {found}"
            refused.append({"file": source, "line": line, "reason": reason})
    return Imported(domain, tuple(seeds), tuple(refused))


def games(argument: str) -> tuple[str, range]:
    """The family that an argument names, and the numbers of its games. Raises InputError."""
    name, slash, split = argument.partition("/")
    check_domain(name)
    if not slash:
        return name, range(GAMES[name])
    split, slash, count = split.partition("/")
    if split != "train" or (slash and not (count.isascii() and count.isdecimal())):
        raise InputError(
            f"textworld has no {argument!r}",
            f"textworld:{argument}",
            f"Known: {name}, and {name}/train with a count or without: {name}/train/200.",
        )
    wanted = int(count) if slash else TRAIN
    if not 1 <= wanted <= TRAIN_MOST:
        raise InputError(f"a count is from 1 to {TRAIN_MOST}", f"textworld:{argument}")
    return name, range(TRAIN_FROM, TRAIN_FROM + wanted)


def _domain(name: str) -> Domain:
    return Domain(
        name=f"textworld_{name}",
        policy=POLICY,
        tools=tools(name),
        description=DESCRIPTIONS[name],
        license="MIT",
        kinds=kinds(name),
        failure_prefixes=FAILURES,
    )


def _seed(domain: Domain, name: str, number: int) -> Seed | str:
    """The seed of one game, or why there is none."""
    task = task_name(name, number)
    game = Play(task)
    try:
        lines = [str(line) for line in game.game.metadata["walkthrough"]]
        if len(lines) > MOST_STEPS:
            return f"its walkthrough has {len(lines)} steps; at most {MOST_STEPS} are taken"
        calls = [call_of(line, game.state["things"]) for line in lines]
        steps = [call for call in calls if call is not None]
        if len(steps) < len(lines):
            return f"no tool stands for {lines[calls.index(None)]!r}"
        walk = Walk(domain.name, task, game)
        _take(walk, game, name, steps, stream("textworld", task))
        if not game.won():
            return "its walkthrough does not win it"
        return walk.seed(_closing(steps), game.goal())
    finally:
        game.close()


def _take(walk: Walk, game: Play, name: str, steps: list[_Call], draw: Random) -> None:
    """Ask, look, and take the steps; an early one that must fail comes before its turn."""
    early = draw.random() < 0.4 and any(_early(*pair) for pair in pairwise(steps))
    walk.ask(_request(name, steps, early, draw))
    walk.call("look", {}, "Let me look around first.")
    for index, (tool, arguments) in enumerate(steps):
        following = steps[index + 1] if index + 1 < len(steps) else None
        fails = early and following is not None and _early((tool, arguments), following)
        if fails and following and not game.applies(game.command(*following)):
            walk.call(*following, f"I will {phrase(*following)}.")
            say = f"That does not work yet, so first I {phrase(tool, arguments)}."
            early = False
        else:
            say = draw.choice(_SAYS).format(it=phrase(tool, arguments))
        walk.call(tool, arguments, say)


def _early(step: _Call, following: _Call) -> bool:
    """Whether the following step may be tried before the step that makes it possible."""
    (tool, arguments), (after, wanted) = step, following
    if tool in ("unlock", "open") and after in ("open", "go"):
        return True
    return tool == "open" and after == "take_from" and wanted["holder"] == arguments["thing"]


def _request(name: str, steps: list[_Call], early: bool, draw: Random) -> str:
    """What the user asks for; what a failing step will show to be needed is not told."""
    opening = draw.choice(_OPENINGS)
    if name == "cooking":
        return opening.format(wish="cook the meal that the cookbook describes, and eat it")
    told = [phrase(*step) for step in steps]
    if early:
        hidden = [i for i, pair in enumerate(pairwise(steps)) if _early(*pair)]
        told = [text for i, text in enumerate(told) if i not in hidden[:1]]
    return opening.format(wish=_joined(told))


def _joined(parts: list[str]) -> str:
    """The steps as one sentence."""
    if len(parts) < 3:
        return " and then ".join(parts)
    return f"{', '.join(parts[:-1])}, and finally {parts[-1]}"


def _closing(steps: list[_Call]) -> str:
    """The agent's last message."""
    last = phrase(*steps[-1])
    return f"The last step worked: I was to {last}, and that is done. Anything else?"
