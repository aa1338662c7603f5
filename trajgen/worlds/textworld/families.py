"""Families of generated games: a name and a number make one game, everywhere the same.

Games are made when they are first needed and kept in the cache folder, outside any run.

Crash rule: a game is made in a temporary folder and moved into the cache, its `.z8` last:
what is there is whole, what is missing is made again.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trajgen.errors import InputError, MachineError
from trajgen.ids import stream
from trajgen.models import cache_folder
from trajgen.scratch import scratch

MAPS = 20  # tried for one game
MAPS_APART = 100_000  # their seeds: games of lower numbers share no map
EDITION = "1"  # another number when a family's settings change


def task_name(domain: str, number: int) -> str:
    """The task of game `number`."""
    return f"{domain}-{number}"


def check_domain(domain: str) -> None:
    """Raises InputError when there is no such family."""
    if domain not in FAMILIES:
        raise InputError(
            f"textworld has no domain {domain!r}",
            f"textworld:{domain}",
            f"Known: {', '.join(FAMILIES)}.",
        )


def game_file(task: str) -> Path:
    """The game of a task such as `house-12`; made when the cache does not hold it.

    Raises InputError for an unknown task or without the package, MachineError when the
    game cannot be made.
    """
    domain, _, number = task.rpartition("-")
    check_domain(domain)
    if not (number.isascii() and number.isdecimal() and len(number) < 7):
        raise InputError(f"no game {task!r}", "meta.task", "A task is such as house-12.")
    package()
    folder = cache_folder() / f"textworld-{version('textworld')}-{EDITION}"
    path = folder / f"{domain}-{int(number)}.z8"
    if not path.is_file():
        _make(domain, int(number), path)
    return path


def package() -> Any:
    """The package textworld. Raises InputError when it is not installed."""
    try:
        import textworld
    except ImportError as error:
        raise InputError(
            f"needs the package textworld ({error})",
            "textworld",
            'Install the extra: pip install ".[textworld]"',
        ) from error
    return textworld


@contextmanager
def quietly() -> Iterator[None]:
    """Without the interpreter's warning that it does not know a game by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _make(domain: str, number: int, path: Path) -> None:
    from textworld.generator import compile_game

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with quietly(), scratch(path.parent) as room:
            game, options = _generated(domain, number, room / path.name)
            compile_game(game, options)
            for made in (path.with_suffix(".json"), path):
                os.replace(room / made.name, made)
    except (OSError, RuntimeError) as error:
        raise MachineError(
            f"the game could not be made ({error})",
            f"textworld {domain}-{number}",
            "Free the disk, or set TRAJGEN_CACHE to a folder that can be written.",
        ) from error


def _generated(domain: str, number: int, path: Path) -> tuple[Any, Any]:
    """A game and its options. A map that has no room for its quest gives way to the next."""
    from textworld.generator.chaining import QuestGenerationError

    for further in range(MAPS):
        options = _options(number + further * MAPS_APART, path)
        try:
            return FAMILIES[domain](number, options), options
        except QuestGenerationError:
            continue
    raise InputError(f"no map of {MAPS} has room for the quest", f"textworld {domain}-{number}")


def _options(number: int, path: Path) -> Any:
    options = package().GameOptions()
    options.seeds, options.path, options.file_ext = number, str(path), ".z8"
    return options


def _house(number: int, options: Any) -> Any:
    draw = stream("textworld", "house", number)
    options.nb_rooms = draw.randint(2, 6)
    options.nb_objects = draw.randint(6, 12)
    options.quest_length = draw.randint(3, 7)
    return package().generator.make_game(options)


def _coin(number: int, options: Any) -> Any:
    draw = stream("textworld", "coin", number)
    level = draw.choice((0, 100)) + draw.randint(3, 10)
    return _challenge("tw-coin_collector", {"level": level}, options)


def _treasure(number: int, options: Any) -> Any:
    level = stream("textworld", "treasure", number).randint(3, 10)
    return _challenge("tw-treasure_hunter", {"level": level}, options)


def _cooking(number: int, options: Any) -> Any:
    draw = stream("textworld", "cooking", number)
    recipe = draw.randint(1, 2)
    settings = {
        "recipe": recipe,
        "take": draw.randint(1, recipe),
        "go": draw.choice((1, 6)),
        "open": True,
        "cook": draw.random() < 0.6,
        "cut": draw.random() < 0.6,
        "drop": False,
        "recipe_seed": number + 1,
        "split": "train",
    }
    return _challenge("tw-cooking", settings, options)


def _challenge(name: str, settings: dict[str, Any], options: Any) -> Any:
    from textworld.challenges import CHALLENGES

    _, make, _ = CHALLENGES[name]
    return make(settings, options)


FAMILIES: dict[str, Callable[[int, Any], Any]] = {
    "house": _house,
    "coin": _coin,
    "treasure": _treasure,
    "cooking": _cooking,
}
