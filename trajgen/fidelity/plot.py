"""The figures of a world model as a picture. Crash rule: pure but for the file it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trajgen.errors import InputError
from trajgen.fidelity.tally import share
from trajgen.records import Json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 24  # tools, those with most steps
COLOURS = BLUE, ORANGE, GREEN, _ = "#2f6db3", "#d98c21", "#2e9e5b", "#777777"
KINDS = ("applies, not refused", "does not apply, refused", "effects exact", "observation F1")
QUARTERS, IN_PERCENT = [0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"]
Bars = Sequence[tuple[str, Mapping[str, Json], str]]


def save_plot(found: Mapping[str, Json], path: Path) -> None:
    """Write `plot(found)` to `path`; its ending says the format. Raises InputError."""
    figure = plot(found)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be written ({error})", str(path), "Name a .png file.") from error


def plot(found: Mapping[str, Json]) -> Figure:
    """Precondition both ways, effects by changed fields, and both per tool. Raises InputError
    when matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            "plotting needs matplotlib, which is not installed", fix="pip install matplotlib"
        ) from error
    tools = _tools(found)
    figure = Figure(figsize=(9, 4.2 + 0.5 * len(tools)), layout="constrained")
    figure.suptitle(f"{found['model']} against {found['world']}, {found['steps']} steps")
    ratios = [3.4, 0.8 + 0.5 * len(tools)]
    left, right, below = figure.subplot_mosaic("PE;TT", height_ratios=ratios).values()
    _precondition(left, found)
    _effects(right, found)
    _per_tool(below, tools)
    handles, labels = below.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    return figure


def _precondition(axes: Axes, found: Mapping[str, Json]) -> None:
    yes, no = (found["precondition"][key] for key in ("applicable", "inapplicable"))
    _columns(
        axes,
        [("applies,\nnot refused", yes, "correct"), ("does not apply,\nrefused", no, "correct")],
        (BLUE, ORANGE),
    )
    axes.set_title("Precondition")
    axes.set_ylabel("right")


def _effects(axes: Axes, found: Mapping[str, Json]) -> None:
    sizes = found["effects"]["by_changed"]
    _columns(axes, [(name, counts, "exact") for name, counts in sizes.items()], (GREEN,))
    axes.set_title("Effects")
    axes.set_xlabel("fields that the call really changes")


def _columns(axes: Axes, bars: Bars, colours: Sequence[str]) -> None:
    """Upright bars from 0 to 100 %, each with its share and count; a dash for nothing."""
    shares = [share(counts, key) for _, counts, key in bars]
    places = list(range(len(bars)))
    axes.bar(places, [s or 0.0 for s in shares], color=list(colours), width=0.6)
    for place, (value, (_, counts, key)) in enumerate(zip(shares, bars, strict=True)):
        text = "–" if value is None else f"{value:.0%}\n{counts[key]} of {counts['n']}"
        axes.text(place, (value or 0.0) + 0.02, text, ha="center", va="bottom", fontsize="small")
    axes.set_xticks(places, [name for name, _, _ in bars])
    axes.set_xlim(-0.65, len(bars) - 0.35)
    axes.set_ylim(0, 1.2)
    axes.set_yticks(QUARTERS, IN_PERCENT)


def _tools(found: Mapping[str, Json]) -> list[tuple[str, Mapping[str, Json]]]:
    """The tools with most steps, in order of their names."""

    def steps(item: tuple[str, Mapping[str, Json]]) -> int:
        return sum(counts["n"] for counts in item[1]["precondition"].values())

    most = sorted(found["per_tool"].items(), key=lambda item: (-steps(item), item[0]))
    return sorted(most[:SHOWN])


def _per_tool(axes: Axes, tools: Sequence[tuple[str, Mapping[str, Json]]]) -> None:
    """Four lying bars a tool; where there is nothing to measure there is no bar."""
    for row, (label, colour) in enumerate(zip(KINDS, COLOURS, strict=True)):
        places = [at + (row - 1.5) * 0.2 for at in range(len(tools))]
        shares = [_shares(of)[row] for _, of in tools]
        axes.barh(places, [s or 0.0 for s in shares], height=0.18, color=colour, label=label)
        for place, got in zip(places, shares, strict=True):
            text = "" if got is None else f"{got:.0%}"
            axes.text((got or 0.0) + 0.005, place, text, va="center", fontsize="xx-small")
    axes.set_yticks(range(len(tools)), [name for name, _ in tools])
    axes.set_xlim(0, 1.08)
    axes.set_ylim(len(tools) - 0.4, -0.6)
    axes.set_title("By tool")
    axes.set_xticks(QUARTERS, IN_PERCENT)


def _shares(of: Mapping[str, Json]) -> list[float | None]:
    """What the bars of a tool show, in the order of KINDS."""
    yes, no = (share(of["precondition"][k], "correct") for k in ("applicable", "inapplicable"))
    seen = of["observation"]
    return [yes, no, share(of["effects"]), seen["field_f1"] if seen["n"] else None]
