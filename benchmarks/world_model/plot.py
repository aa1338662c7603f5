"""The figures as one picture: the curve, and before and after by changed fields and by tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#2f6db3", "#d98c21", "#2e9e5b", "#b3402f", "#b9b9b9"
LINES = (
    ("applies, not refused", ("precondition", "applicable"), "correct", BLUE, "o"),
    ("does not apply, refused", ("precondition", "inapplicable"), "correct", ORANGE, "s"),
    ("effects exact", ("effects",), "exact", GREEN, "^"),
    ("observation exact", ("observation",), "exact", RED, "D"),
)


def save(found: Mapping[str, Any], path: Path) -> None:
    """Write the picture of one training run to `path`."""
    points = {point["point"]: point for point in found["points"]}
    before, after = points.get("untaught"), points["result"]
    figure = Figure(figsize=(9, 7.5), layout="constrained")
    figure.suptitle(f"{after['model']}, against {after['world']}")
    top, left, right = figure.subplot_mosaic("CC;ST", height_ratios=[1.1, 1]).values()
    _curve(top, found["points"])
    sizes = [size for size, counts in after["effects"]["by_changed"].items() if counts["n"]]
    _pairs(left, sizes, *(_effects(p, "by_changed", sizes) for p in (before, after)))
    left.set_title("Effects exact, by fields that the call changes")
    tools = sorted(name for name, of in after["per_tool"].items() if of["effects"]["n"])
    _pairs(right, tools, *(_effects(p, "per_tool", tools) for p in (before, after)))
    right.set_title("Effects exact, by tool")
    right.tick_params(axis="x", rotation=60)
    figure.savefig(path, dpi=110)


def _curve(axes: Axes, points: Sequence[Mapping[str, Any]]) -> None:
    for label, keys, right, colour, marker in LINES:
        counts = [_inside(point, keys) for point in points]
        shares = [c[right] / c["n"] if c["n"] else None for c in counts]
        seen = [point["seen"] for point in points]
        axes.plot(seen, shares, color=colour, marker=marker, label=label, markersize=5)
    seen = sorted({point["seen"] for point in points})
    if len(seen) > 2:  # each step to the right doubles what was seen
        axes.set_xscale("symlog", base=2, linthresh=seen[1])
        axes.set_xticks(seen, [f"{count:,}" for count in seen])
        axes.minorticks_off()
    axes.set_xlabel("transitions seen in training (0: the model as it comes)")
    axes.set_ylim(-0.03, 1.05)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 0.9, 1], ["0 %", "25 %", "50 %", "75 %", "90 %", "100 %"])
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="best", fontsize="small")
    axes.set_title("Right answers on unseen tasks")


def _pairs(
    axes: Axes,
    names: Sequence[str],
    before: Sequence[float | None],
    after: Sequence[float | None],
) -> None:
    for offset, shares, colour, label in (
        (-0.2, before, GREY, "before"),
        (0.2, after, GREEN, "after"),
    ):
        places = [at + offset for at in range(len(names))]
        axes.bar(places, [s or 0.0 for s in shares], width=0.38, color=colour, label=label)
        for place, share in zip(places, shares, strict=True):
            text = "–" if share is None else f"{share * 100:.0f}"
            axes.text(place, (share or 0) + 0.02, text, ha="center", fontsize="x-small")
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, 1.22)
    axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    axes.legend(loc="upper right", ncols=2, fontsize="x-small")


def _effects(
    point: Mapping[str, Any] | None, group: str, names: Sequence[str]
) -> list[float | None]:
    """The share of exact effects of each of `names`; None where nothing was measured."""
    if point is None:
        return [None] * len(names)
    by_name = point["effects"][group] if group == "by_changed" else point[group]
    counts = [by_name.get(name) for name in names]
    counts = [c["effects"] if c and "effects" in c else c for c in counts]
    return [c["exact"] / c["n"] if c and c["n"] else None for c in counts]


def _inside(value: Mapping[str, Any], keys: Sequence[str]) -> Mapping[str, Any]:
    for key in keys:
        value = value[key]
    return value
