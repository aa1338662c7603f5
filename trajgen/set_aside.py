"""Files taken out of a run and kept.

Damaged ones lie in corrupt/, those beyond its end in logs/surplus/; what lies there already
is never overwritten.

Crash rule: of a shard the kept rows go first: that undoes the commit.
"""

from __future__ import annotations

from trajgen.durable import move
from trajgen.objects import Place
from trajgen.shards import dead_path, rejects_path, shard_path


def shard_aside(folder: Place, number: int, target: Place) -> None:
    """Move what there is of a shard's three files to `target`."""
    for path in (shard_path, rejects_path, dead_path):
        file_aside(path(folder, number), target)


def file_aside(path: Place, target: Place) -> None:
    """Move a file to `target`, under a name that says what it was."""
    part = path.parent.name
    move(path, target / (f"{part}-{path.name}" if part in ("rejects", "dead") else path.name))
