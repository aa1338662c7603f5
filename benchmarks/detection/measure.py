"""Runs the filters over clean and corrupted trajectories and counts."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.detection.editing import Broken, Kind
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


@dataclass(frozen=True)
class Posed:
    """A trajectory in one form: as it is corrupted (`real`) and as it is checked (`given`)."""

    trajectory: Trajectory
    real: Domain
    given: Domain


def posed(clean: Clean, form: str) -> Posed | None:
    """`bare` has the domain as it is, `alone` neither a state nor kinds of tools, `steps` the
    stored steps."""
    if form == "steps":
        return clean.stepped and Posed(clean.stepped, clean.domain, clean.domain)
    if form == "bare":
        return Posed(clean.bare, clean.domain, clean.domain)
    stateless = replace(clean.domain, state=None)
    bare = replace(clean.bare, state_initial=None)
    return Posed(bare, stateless, replace(stateless, kinds={}))


def rejected(cleans: Iterable[Clean], form: str) -> Iterator[tuple[Clean, list[Reason]]]:
    """Clean trajectories that a filter rejects."""
    for clean in cleans:
        one = posed(clean, form)
        if one and (reasons := filters.check(one.trajectory, one.given)):
            yield clean, reasons


def recall(
    cleans: Sequence[Clean], kinds: Mapping[str, Kind], form: str, per: int
) -> dict[str, Count]:
    """Each kind tried on each trajectory `per` times; only those clean before count."""
    counts: dict[str, Count] = defaultdict(Count)
    for clean in cleans:
        one = posed(clean, form)
        if one is None or filters.check(one.trajectory, one.given):
            continue
        for name, kind in kinds.items():
            for n in range(per):
                rng = stream(name, clean.bare.id, str(n))
                _one(counts[name], kind(one.trajectory, rng, one.real), one, clean)
    return dict(counts)


def _one(count: Count, broken: Broken | None, one: Posed, clean: Clean) -> None:
    if broken is None:
        return
    reasons = filters.check(broken.trajectory, one.given)
    where = f"{clean.source} {clean.bare.id} {broken.at}"
    count.n += 1
    count.caught += bool(reasons)
    if not reasons:
        count.missed.append(where)
        return
    right = reasons[0].at in broken.at
    count.right_step += right
    count.right_code += any(r.code in broken.codes for r in reasons)
    if not right:
        count.elsewhere.append({"where": where, "found": reasons[0].json()})


def speed(domain: Domain, trajectories: Sequence[Trajectory], seconds: float = 2.0) -> float:
    """Trajectories a second of processor time, each checked as if for the first time."""
    done, begin = 0, time.process_time()
    while time.process_time() - begin < seconds:
        for trajectory in trajectories:
            filters.check(trajectory, domain)
        done += len(trajectories)
    return done / (time.process_time() - begin)
