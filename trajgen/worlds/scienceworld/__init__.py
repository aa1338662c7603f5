"""ScienceWorld's laboratory as a world: `world: {kind: scienceworld, domain: boil}`.

An episode begins in the task that its seed names, as `scienceworld:<domain>` imports them.
All episodes share one Java process, which ends with the world.

Crash rule: an episode is a simulation in play; nothing of it outlives the rollout.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from trajgen.worlds import Scene
from trajgen.worlds.games import GameEpisode, begin, task_of
from trajgen.worlds.scienceworld.play import Play
from trajgen.worlds.scienceworld.server import Server, check_package
from trajgen.worlds.scienceworld.tasks import check_domain

if TYPE_CHECKING:
    from trajgen.config import WorldConfig


class ScienceWorldWorld:
    """Begins episodes of one task's variations, or of `all` tasks.

    Raises InputError for any other name, and when the package is not installed.
    """

    takes_state = False

    def __init__(self, config: WorldConfig) -> None:
        check_package()
        check_domain(config.domain)
        self.name = f"scienceworld:{config.domain}"
        self._server = Server()
        self._end = weakref.finalize(self, self._server.close)

    def begin(self, scene: Scene) -> GameEpisode:
        """A fresh simulation. Raises RequestError when the seed is of no task, or of
        another; MachineError when there is no Java runtime."""
        return begin(scene, Play(self._server, task_of(scene)))
