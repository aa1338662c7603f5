"""What a new row may not repeat: the kept rows of the run, and nearly, them and the seeds.

The first of equal or nearly equal rows in plan order is the one that is kept. A row that was
rejected is no row to repeat, so what is rejected after it is the same whether the run was
interrupted between them or not.

Crash rule: nothing is kept but in memory; all of it is read from the committed shards again.
"""

from __future__ import annotations

from collections.abc import Sequence

from trajgen.firsts import Firsts
from trajgen.records import Reason, Seed
from trajgen.sketches import Copies, sketch

Mark = tuple[str, str]  # the fingerprint and the sketch of a row


class Known:
    """Fingerprints and sketches of what is committed, and sketches of the seeds.

    Without `at_least`, the share of word pairs in common, no near copies are looked for.
    """

    def __init__(self, seeds: Sequence[Seed] = (), at_least: float | None = None) -> None:
        self.seeds, self.at_least = seeds, at_least
        self._firsts = Firsts()
        self._copies = None if at_least is None else Copies(at_least)
        if self._copies is not None:
            for index, seed in enumerate(seeds):
                self._copies.add([sketch(seed.messages)], -1 - index)

    def add(self, fingerprints: Sequence[str], sketches: Sequence[str], shard: int) -> None:
        """Remember the kept rows of a shard."""
        self._firsts.add(fingerprints, shard)
        if self._copies is not None:
            self._copies.add(sketches, shard)

    def reasons(self, marks: Sequence[Mark], shard: int) -> list[Reason | None]:
        """For each row of a shard, in its order, why it is no new one, or None."""
        firsts = self._firsts.find([fingerprint for fingerprint, _ in marks])
        left = [_unless(first, mark) for first, (_, mark) in zip(firsts, marks, strict=True)]
        nears = self._near(left)
        repeats = self._repeats([_unless(n, mark) for n, mark in zip(nears, left, strict=True)])
        seen: set[str] = set()
        reasons: list[Reason | None] = []
        for place, (fingerprint, _) in enumerate(marks):
            first, reason = firsts[place], nears[place]
            if first is not None or fingerprint in seen:
                reason = _copy(
                    "exact_duplicate", f"as in shard {shard if first is None else first}"
                )
            elif reason is None and repeats[place] is not None:
                reason = _near_in(shard)
            if reason is None:
                seen.add(fingerprint)
            reasons.append(reason)
        return reasons

    def _repeats(self, sketches: Sequence[str]) -> list[int | None]:
        """Which row before it in the shard each row nearly is; an empty sketch is left out."""
        copies = self._copies
        return [None] * len(sketches) if copies is None else copies.repeats(sketches)

    def _near(self, sketches: Sequence[str]) -> list[Reason | None]:
        """Why each row is nearly a seed or a committed one, or None."""
        if self._copies is None:
            return [None] * len(sketches)
        return [self._near_to(found) for found in self._copies.find_all(sketches)]

    def _near_to(self, found: int | None) -> Reason | None:
        if found is None:
            return None
        if found < 0:
            return _copy("copy_of_seed", f"nearly the same as {self.seeds[-1 - found].id}")
        return _near_in(found)


def _unless(found: object, sketch_: str) -> str:
    """`sketch_`, left empty where it is known already what the row repeats."""
    return sketch_ if found is None else ""


def _near_in(shard: int) -> Reason:
    return _copy("near_duplicate", f"nearly as in shard {shard}")


def _copy(code: str, detail: str) -> Reason:
    return Reason(code, None, detail)
