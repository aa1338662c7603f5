"""TextWorld's generated games as a world: `world: {kind: textworld, domain: house}`.

A game's text is its engine's own, its state the facts that the engine keeps. An episode
begins in the game that its seed's task names, as `textworld:<domain>` imports them.

Crash rule: an episode is a game in play; nothing of it outlives the rollout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trajgen.worlds import Scene
from trajgen.worlds.games import GameEpisode, begin, task_of
from trajgen.worlds.textworld.families import check_domain, package
from trajgen.worlds.textworld.play import Play

if TYPE_CHECKING:
    from trajgen.config import WorldConfig


class TextWorldWorld:
    """Begins episodes of the games of one domain: house, coin, treasure or cooking.

    Raises InputError for any other name, and when the package is not installed.
    """

    takes_state = False

    def __init__(self, config: WorldConfig) -> None:
        check_domain(config.domain)
        package()
        self.name = f"textworld:{config.domain}"

    def begin(self, scene: Scene) -> GameEpisode:
        """A fresh game. Raises RequestError when the seed is of no game, or of another."""
        return begin(scene, Play(task_of(scene)))
