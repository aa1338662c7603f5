"""Runs the filters over clean and corrupted trajectories and counts."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.detection.editing import Kind
from benchmarks.detection.sources import Clean
from trajgen import filters
from trajgen.ids import stream
from trajgen.records import Domain, Json, Reason, Trajectory


@dataclass
class Count:
    """Corrupted trajectories of one kind and form."""

    n: int = 0
    caught: int = 0
    right_step: int = 0
    right_code: int = 0
    missed: list[Json] = field(default_factory=list)
    elsewhere: list[Json] = field(default_factory=list)

    def json(self) -> dict[str, Json]:
        return {
            "n": self.n,
            "caught": self.caught,
            "right_step": self.right_step,
            "right_code": self.right_code,
            "missed": self.missed[:20],
            "elsewhere": self.elsewhere[:20],
        }


def rejected(cleans: Iterable[Clean], form: str) -> Iterator[tuple[Clean, list[Reason]]]:
    """Clean trajectories that a filter rejects."""
    for clean in cleans:
        trajectory = _form(clean, form)
        if trajectory and (reasons := filters.check(trajectory, clean.domain)):
            yield clean, reasons


def recall(
    cleans: Sequence[Clean], kinds: Mapping[str, Kind], form: str, per: int
) -> dict[str, Count]:
    """Each kind tried on each trajectory `per` times; only those clean before count."""
    counts: dict[str, Count] = defaultdict(Count)
    for clean in cleans:
        trajectory = _form(clean, form)
        if trajectory is None or filters.check(trajectory, clean.domain):
            continue
        for name, kind in kinds.items():
            for n in range(per):
                _one(
                    counts[name], name, kind, trajectory, clean, stream(name, clean.bare.id, str(n))
                )
    return dict(counts)


def _one(
    count: Count, name: str, kind: Kind, trajectory: Trajectory, clean: Clean, rng: random.Random
) -> None:
    broken = kind(trajectory, rng, clean.domain)
    if broken is None:
        return
    reasons = filters.check(broken.trajectory, clean.domain)
    where = f"{clean.source} {clean.bare.id} {broken.at}"
    count.n += 1
    count.caught += bool(reasons)
    if not reasons:
        count.missed.append(where)
        return
    right = reasons[0].at in broken.at or (reasons[0].at is None and not broken.at)
    count.right_step += right
    count.right_code += any(r.code in broken.codes for r in reasons)
    if not right:
        first = reasons[0].json()
        count.elsewhere.append({"where": where, "found": first})


def _form(clean: Clean, form: str) -> Trajectory | None:
    return clean.stepped if form == "steps" else clean.bare


def speed(domain: Domain, trajectories: Sequence[Trajectory], seconds: float = 2.0) -> float:
    """Trajectories a second on one core, each checked as if for the first time."""
    done, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for trajectory in trajectories:
            filters.check(trajectory, domain)
        done += len(trajectories)
    return done / (time.perf_counter() - begin)
