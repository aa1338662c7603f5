"""The figures of a training folder with how many transitions had been seen at each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trajgen.train.recipe import load_recipe


def collected(folder: Path) -> dict[str, Any]:
    """`points`: the figures in the order of `seen`, the transitions learnt from until then."""
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    recipe = json.loads((folder / "recipe.json").read_text("utf-8"))
    data = json.loads((folder / "data.json").read_text("utf-8"))
    seen = {entry["step"]: entry["examples"].get("world", 0) for entry in log}
    points = []
    for path in (folder / "figures").glob("*.json"):
        step = _step(path.stem, max(seen))
        figures = json.loads(path.read_text("utf-8"))
        points.append({"point": path.stem, "step": step, "seen": seen.get(step, 0), **figures})
    return {
        "name": recipe["name"],
        "data": data["roles"],
        "steps": max(seen),
        "minutes": round(sum(entry["seconds"] for entry in log) / 60, 1),
        "loss": [[entry["step"], round(entry["loss"], 4)] for entry in log],
        "points": sorted(points, key=lambda point: point["step"]),
    }


def shipped(recipe: Path, figures: Path, begun: dict[str, Any] | None = None) -> dict[str, Any]:
    """The points of an adapter that `recipe` had taught and that was measured by itself:
    FIGURES/result.json and FIGURES/untaught.json, as `trajgen fidelity --json` prints them;
    between them those of `begun`, a training of the beginning alone."""
    config, _ = load_recipe(str(recipe))
    world = config.data.world
    if world is None:
        raise SystemExit(f"{recipe}: teaches no world")
    points = {point["point"]: point for point in begun["points"]} if begun else {}
    if last := points.pop("result", None):
        points[f"step-{last['step']}"] = last
    for path in sorted(figures.glob("*.json")):
        seen = world.examples if path.stem == "result" else 0
        points[path.stem] = {"seen": seen, **json.loads(path.read_text("utf-8"))}
    ordered = [{**point, "point": name} for name, point in points.items()]
    return {"name": config.name, "points": sorted(ordered, key=lambda point: point["seen"])}


def _step(name: str, last: int) -> int:
    known = {"untaught": 0, "result": last}
    return known[name] if name in known else int(name.removeprefix("step-"))
