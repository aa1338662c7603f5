"""ScienceWorld's tasks -> seeds, by the gold paths that it finds for them.

About every third path tries a closed door first, sees it and opens it: so seeds show how
the laboratory refuses.

Crash rule: nothing is kept; the Java process ends with the import.
"""

from __future__ import annotations

from contextlib import closing
from itertools import pairwise
from random import Random

from trajgen.ids import stream
from trajgen.importers import Imported
from trajgen.importers.walk import Walk
from trajgen.records import Domain, Json, Seed
from trajgen.worlds.scienceworld.play import Play
from trajgen.worlds.scienceworld.server import Server
from trajgen.worlds.scienceworld.tasks import LONG, check_domain, chosen
from trajgen.worlds.scienceworld.tools import FAILURES, call_of, kinds, phrase, tools

MOST_STEPS = 40
POLICY = """\
You work for the user in a simulated laboratory, one call at a time, and tell them how it went.

- Look around in every room, and read each answer before the next call: it says what is here, what
  holds it, and which doors are open. Name things as the answers do; where several have one name,
  say which: "wood cup in kitchen", "thermometer in inventory".
- A door has to be open before you go through it. You can only use what is in your room or carried
  by you. A liquid is moved in a container, or poured; it cannot be picked up.
- Focus on a thing only when the task says so, and only on the right one: a wrong focus fails it.
- Heating, cooling and growing take time: wait, look again, measure with the thermometer.
- A call that fails changes nothing. Find out why, mend that, and then try again.
- Say that something is done only after you have seen it.
"""
_SAYS = ("I will {it}.", "Now I {it}.", "Next I {it}.", "")
_Call = tuple[str, dict[str, Json]]


def import_scienceworld(argument: str) -> Imported:
    """The domain and seeds of one task's variations, or of `all` tasks.

    Raises InputError for any other name and when the package is not installed, MachineError
    when there is no Java runtime.
    """
    check_domain(argument)
    domain = _domain(argument)
    seeds: list[Seed] = []
    refused: list[dict[str, Json]] = []
    with closing(Server()) as server:
        for number, task in enumerate(chosen(argument), 1):
            found = _seed(domain, server, task)
            if isinstance(found, Seed):
                seeds.append(found)
            else:
                source = f"scienceworld:{argument}"
                refused.append({"file": source, "line": number, "reason": f"{task}: {found}"})
    return Imported(domain, tuple(seeds), tuple(refused))


def _domain(name: str) -> Domain:
    return Domain(
        name=f"scienceworld_{name}",
        policy=POLICY,
        tools=tools(),
        description="A laboratory of ten rooms, with school science tasks. From ScienceWorld.",
        license="Apache-2.0",
        kinds=kinds(),
        failure_prefixes=FAILURES,
    )


def _seed(domain: Domain, server: Server, task: str) -> Seed | str:
    """The seed of one task, or why there is none."""
    if task.rpartition("-")[0] in LONG:
        return f"its gold path has far more than {MOST_STEPS} steps"
    with closing(Play(server, task, gold=True)) as finder:
        lines = finder.gold
    if len(lines) > MOST_STEPS:
        return f"its gold path has {len(lines)} steps; at most {MOST_STEPS} are taken"
    calls = [call_of(line) for line in lines]
    steps = [call for call in calls if call is not None]
    if len(steps) < len(lines):
        return f"no tool stands for {lines[calls.index(None)]!r}"
    with closing(Play(server, task)) as game:
        walk = Walk(domain.name, task, game)
        wish = _wish(game.description)
        walk.ask(wish)
        _take(walk, game, steps, stream("scienceworld", task))
        if not game.won():
            return "its gold path does not complete it"
        return walk.seed(_closing(wish), ({"path": "/task/score", "at_least": 100},))


def _take(walk: Walk, game: Play, steps: list[_Call], draw: Random) -> None:
    """Look, and take the steps until the task is completed; maybe a closed door first."""
    early = draw.random() < 0.4
    if steps[0][0] != "look_around":
        walk.call("look_around", {}, "Let me look around first.")
    for (tool, arguments), (after, wanted) in pairwise([*steps, ("", {})]):
        if game.won():
            return
        if early and tool == "open" and after == "go":
            walk.call(after, wanted, f"I will {phrase(after, wanted)}.")
            say = f"That does not work yet, so first I {phrase(tool, arguments)}."
            early = False
        else:
            say = draw.choice(_SAYS).format(it=phrase(tool, arguments))
        walk.call(tool, arguments, say)


def _wish(description: str) -> str:
    """The task's description as the user says it."""
    text = " ".join(description.replace("Task description:", "").split())
    return text.replace("Your task is to ", "Please ", 1)


def _closing(wish: str) -> str:
    """The agent's last message."""
    first = wish.partition(". ")[0].removeprefix("Please ").rstrip(".")
    return f"The task is completed; it was to {first}. Anything else?"
