"""Whether so much of a run came to nothing that more of it is a waste.

The counts are those of shards in plan order, so the answer does not depend on timing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trajgen.config.stop import StopConfig

NAMED = 3  # reasons that are told


@dataclass(frozen=True, slots=True)
class Passed:
    """A threshold that was passed: `count` of `ended` tasks are `what`, `most` of them may be."""

    what: str
    count: int
    ended: int
    most: float

    def __str__(self) -> str:
        share = _percent(self.count / self.ended)
        return (
            f"{self.count} of the {self.ended} tasks that ended are {self.what} ({share}); "
            f"stop.{self.what} allows {_percent(self.most)}"
        )

    def reasons(self, counts: Iterable[tuple[str, int]]) -> str:
        """The most frequent reasons with their shares of the tasks that ended."""
        first = sorted(counts, key=lambda pair: (-pair[1], pair[0]))[:NAMED]
        return ", ".join(f"{code} {n} ({_percent(n / self.ended)})" for code, n in first)


def passed(stop: StopConfig | None, kept: int, rejected: int, dead: int) -> Passed | None:
    """The threshold that these counts of ended tasks pass, deaths first; or None."""
    ended = kept + rejected + dead
    if stop is None or ended < stop.after:
        return None
    for what, count, most in (("dead", dead, stop.dead), ("rejected", rejected, stop.rejected)):
        if most is not None and count > most * ended:
            return Passed(what, count, ended, most)
    return None


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
