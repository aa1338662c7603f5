"""Episodes of games: a real engine answers, code follows its state.

A game begins where its seed's task does. Every call gives the engine's own text and, as
typed effects, the difference between the game's states before and after it.

Crash rule: a game lives in its episode; when it is lost, its rollout is planned again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from trajgen.diff import difference
from trajgen.errors import RequestError
from trajgen.pointers import equal
from trajgen.records import Call, Json
from trajgen.worlds import Answer, Scene


class Game(Protocol):
    """A game in play. `state` is a value of its own after every act: old ones stay valid."""

    state: Json

    def act(self, tool: str, arguments: dict[str, Json]) -> tuple[bool, str]:
        """Whether the call applied, and what the engine said. Without, nothing changes."""

    def won(self) -> bool:
        """Whether the goal of the task is reached."""

    def close(self) -> None:
        """Free what the game holds; twice does no harm."""


@dataclass(slots=True)
class GameEpisode:
    """One rollout's game."""

    game: Game

    async def step(self, call: Call) -> Answer:
        """Make the call in the game."""
        return answer(self.game, call)

    def observe(self, call: Call, answer: Answer) -> None:
        """A planned fault never reached the game; all else it knows."""

    def reached(self) -> bool | None:
        """Whether the game is won."""
        return self.game.won()

    def close(self) -> None:
        """End the game."""
        self.game.close()


def begin(scene: Scene, game: Game) -> GameEpisode:
    """An episode of `game`, which must stand where the scene does.

    Raises RequestError when the scene's state is not the one that the game begins in.
    """
    if not equal(scene.ledger.state, game.state):
        game.close()
        raise RequestError(
            "the game begins in another state than its seed",
            task_of(scene),
            "Import the seeds again with the version of the game that is installed here.",
        )
    return GameEpisode(game)


def task_of(scene: Scene) -> str:
    """The task that the scene's seed was made from. Raises RequestError when it names none."""
    task = scene.seed.meta.get("task")
    if not isinstance(task, str):
        raise RequestError(
            "the seed names no task of a game (meta.task)",
            scene.seed.id,
            "Use an import source as seeds, such as textworld:house for the world textworld.",
        )
    return task


def answer(game: Game, call: Call) -> Answer:
    """The game's answer to one call, with its effects."""
    before = game.state
    applies, text = game.act(call.tool, call.arguments)
    effects = tuple(difference(before, game.state))
    why = "the game carried it out" if applies else text.partition("\n")[0]
    return Answer(applies, why, effects, text, "real")
