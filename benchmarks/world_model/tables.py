"""The figures as Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Found = Mapping[str, Any]


def curve(found: Found) -> str:
    """Accuracy against transitions seen, one row a checkpoint."""
    lines = [
        "| transitions seen | applies: not refused | does not apply: refused | effects exact "
        "| observation exact | observation F1 |",
        "|---|---|---|---|---|---|",
    ]
    for point in found["points"]:
        seen = "0 (untaught)" if point["point"] == "untaught" else f"{point['seen']:,}"
        lines.append(f"| {seen} | {' | '.join(_row(point))} | {point['observation']['field_f1']} |")
    return "\n".join(lines)


def changed(found: Found) -> str:
    """Exact effects by the number of fields that the call really changes, before and after."""
    before, after = _ends(found)
    lines = ["| fields changed | before | after |", "|---|---|---|"]
    for size, counts in after["effects"]["by_changed"].items():
        if counts["n"]:
            old = before["effects"]["by_changed"][size] if before else None
            lines.append(f"| {size} | {_share(old, 'exact')} | {_share(counts, 'exact')} |")
    return "\n".join(lines)


def tools(found: Found) -> str:
    """What is right by tool, before and after."""
    before, after = _ends(found)
    lines = [
        "| tool | applies: not refused | does not apply: refused | effects exact "
        "| observation exact |",
        "|---|---|---|---|---|",
    ]
    for name, figures in sorted(after["per_tool"].items()):
        old = before["per_tool"].get(name) if before else None
        then = _row(old) if old else ["–"] * 4
        cells = [f"{a} → {b}" for a, b in zip(then, _row(figures), strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def replay(found: Found) -> str:
    """Goals reached in both worlds, before and after."""
    lines = [
        "| | tasks | agent in the real world | agent in the model's world "
        "| the model's world, replayed in the real one | consistency ratio |",
        "|---|---|---|---|---|---|",
    ]
    for name, point in zip(("untaught", "taught"), _ends(found), strict=True):
        if point and (again := point["replay"])["n"]:
            ratio = "–" if again["consistency_ratio"] is None else again["consistency_ratio"]
            cells = (again["n"], again["real"], again["world"], again["world_to_real"], ratio)
            lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[Any], str]] = {
    "curve": curve,
    "changed": changed,
    "tools": tools,
    "replay": replay,
}


def _ends(found: Found) -> tuple[Found | None, Found]:
    by_name = {point["point"]: point for point in found["points"]}
    return by_name.get("untaught"), by_name["result"]


def _row(figures: Found) -> list[str]:
    yes, no = (figures["precondition"][key] for key in ("applicable", "inapplicable"))
    return [
        _share(yes, "correct"),
        _share(no, "correct"),
        _share(figures["effects"], "exact"),
        _share(figures["observation"], "exact"),
    ]


def _share(counts: Found | None, key: str) -> str:
    if not counts or not counts["n"]:
        return "–"
    return f"{counts[key] / counts['n']:.1%} ({counts[key]} of {counts['n']})"
