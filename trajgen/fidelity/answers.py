"""Each answer of a world model beside the true one, as a line of JSON for people to read.

Crash rule: the file is there whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from trajgen.durable import place_bytes
from trajgen.fidelity.score import Score
from trajgen.fidelity.steps import Asked
from trajgen.records import Json, Seed
from trajgen.worlds import Answer


@dataclass(frozen=True, slots=True)
class Marked:
    """What was asked along `seed`, what was `said`, an answer or why there is none, and its
    `score`."""

    seed: Seed
    asked: Asked
    said: Answer | str
    score: Score

    def line(self) -> dict[str, Json]:
        """The seed, the kind of question and after how many real calls it was asked; the call;
        the true answer and the model's, or null; what is right about it."""
        score = asdict(self.score)
        right = ("precondition", "effects", "observation", "f1")
        return {
            "seed_id": self.seed.id,
            "kind": self.asked.kind,
            "after": self.asked.after,
            "call": {"name": self.asked.call.tool, "arguments": dict(self.asked.call.arguments)},
            "truth": _answer(self.asked.truth),
            "said": None if isinstance(self.said, str) else _answer(self.said),
            "changed": self.score.changed,
            "right": {name: score[name] for name in right},
            "error": self.score.error,
        }


def _answer(answer: Answer) -> dict[str, Json]:
    return {
        "applies": answer.applies,
        "why": answer.why,
        "effects": list(answer.effects),
        "observation": answer.observation,
        "verdicts": [verdict.code for verdict in answer.verdicts],
    }


def write_answers(path: Path, answers: Iterable[Marked]) -> None:
    """A line for each answer, seed by seed, over whatever is there. Raises MachineError."""
    lines = (json.dumps(each.line(), ensure_ascii=False) for each in answers)
    place_bytes(path, "".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
