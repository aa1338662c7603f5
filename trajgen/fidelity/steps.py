"""What is asked: real calls and probes, each with the real world's answer."""

from __future__ import annotations

from dataclasses import dataclass

from trajgen.records import Call, Seed
from trajgen.worlds import Answer

GOLDEN = "golden"


@dataclass(frozen=True, slots=True)
class Asked:
    """A call and what the real world answers to it.

    `kind` is GOLDEN for a call of the seed, else the kind of probe. It is made when the
    seed's first `after` calls have been.
    """

    kind: str
    after: int
    call: Call
    truth: Answer


@dataclass(frozen=True, slots=True)
class Lesson:
    """All that is asked along one seed, in order: probes first, then the next real call."""

    seed: Seed
    asked: tuple[Asked, ...]
