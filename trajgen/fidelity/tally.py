"""Scores -> the figures of a world model. Crash rule: pure.

The precondition is scored on every call, effects and observation on those that really apply:
of a call that does not apply, it counts that it is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from trajgen.fidelity.score import Score
from trajgen.fidelity.steps import GOLDEN
from trajgen.records import Json

BUCKETS = ("0", "1", "2", "3-4", "5+")
NO_REPLAY: dict[str, Json] = {
    **dict.fromkeys(("n", "real", "world", "world_to_real"), 0),
    "consistency_ratio": None,
}


def figures(
    world: str, model: str, scores: Sequence[Score], replay: Mapping[str, Json] = NO_REPLAY
) -> dict[str, Json]:
    """The JSON of `trajgen fidelity`; counts are steps, `field_f1` is a mean, 0 of nothing."""
    tools, kinds = _by(scores, "tool"), _by((s for s in scores if s.kind != GOLDEN), "kind")
    sizes = {name: [s for s in scores if bucket(s.changed) == name] for name in BUCKETS}
    return {
        "world": world,
        "model": model,
        "steps": len(scores),
        "precondition": _precondition(scores),
        "effects": _effects(scores) | {"by_changed": {k: _effects(v) for k, v in sizes.items()}},
        "observation": _observation(scores),
        "per_tool": {name: _all(found) for name, found in tools.items()},
        "probes": {name: _precondition(found) for name, found in kinds.items()},
        "unanswered": dict(sorted(Counter(s.error for s in scores if s.error).items())),
        "replay": dict(replay),
    }


def rates(found: Mapping[str, Json]) -> dict[str, float | None]:
    """The figures that a bar can be set for; None where nothing was measured."""
    precondition, seen = found["precondition"], found["observation"]
    return {
        "precondition_applicable": share(precondition["applicable"], "correct"),
        "precondition_inapplicable": share(precondition["inapplicable"], "correct"),
        "effects_exact": share(found["effects"]),
        "observation_exact": share(seen),
        "observation_field_f1": seen["field_f1"] if seen["n"] else None,
        "consistency_ratio": found["replay"]["consistency_ratio"],
    }


def share(counts: Mapping[str, Json], key: str = "exact") -> float | None:
    """`key` as a part of n; None of nothing."""
    return counts[key] / counts["n"] if counts["n"] else None


def bucket(changed: int) -> str:
    """The group of calls that change this many fields."""
    return BUCKETS[min(changed, 3 if changed < 5 else 4)]


def _all(scores: Sequence[Score]) -> dict[str, Json]:
    return {
        "precondition": _precondition(scores),
        "effects": _effects(scores),
        "observation": _observation(scores),
    }


def _precondition(scores: Sequence[Score]) -> dict[str, Json]:
    split = {"applicable": True, "inapplicable": False}
    found = {name: [s.precondition for s in scores if s.applies == a] for name, a in split.items()}
    return {name: {"n": len(right), "correct": sum(right)} for name, right in found.items()}


def _effects(scores: Sequence[Score]) -> dict[str, Json]:
    right = [score.effects for score in scores if score.applies]
    return {"n": len(right), "exact": sum(right)}


def _observation(scores: Sequence[Score]) -> dict[str, Json]:
    seen = [score for score in scores if score.applies]
    mean = sum(score.f1 for score in seen) / len(seen) if seen else 0.0
    exact = sum(score.observation for score in seen)
    return {"n": len(seen), "exact": exact, "field_f1": round(mean, 4)}


def _by(scores: Iterable[Score], key: str) -> dict[str, list[Score]]:
    groups: dict[str, list[Score]] = {}
    for found in sorted(scores, key=lambda score: str(getattr(score, key))):
        groups.setdefault(getattr(found, key), []).append(found)
    return groups
