"""Systems measured in turn, and what came out as tables, JSON and a plot.

Every system is measured once in each round, and each round begins with the next one, so that a
machine that slows down, warms up or is shared slows all of them alike. What counts is the median.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BUSY = 0.5  # load a core at the start over which figures are provisional
Figures = dict[str, float]
Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure and what it has to be: at least, or at most, a value."""

    name: str
    found: float | None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        """False too where nothing was found."""
        if self.found is None:
            return False
        low, high = self.at_least, self.at_most
        return (low is None or self.found >= low) and (high is None or self.found <= high)

    def json(self) -> Found:
        """The bar with what was found."""
        limit = {"at_least": self.at_least, "at_most": self.at_most}
        kept = {key: value for key, value in limit.items() if value is not None}
        return {"name": self.name, "found": self.found, **kept, "met": self.met}


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark: its name, its options, and how its figures are taken and shown."""

    name: str
    about: str
    options: Callable[[argparse.ArgumentParser], object]
    measure: Callable[[argparse.Namespace], Found]
    tables: Callable[[Found], str]
    draw: Callable[[Found, Path], object]
    timed: bool = True  # else its figures are counts, which a busy machine does not change

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """The command. Exit code 1 when a bar is missed."""
        parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks.{self.name}", description=self.about
        )
        parser.add_argument("--json", type=Path, metavar="FILE")
        parser.add_argument("--plot", type=Path, metavar="FILE.png")
        parser.add_argument(
            "--page", action="store_true", help="take the figures into docs/performance.md"
        )
        self.options(parser)
        given = parser.parse_args(arguments)
        found = {"machine": machine(self.timed), **self.measure(given)}
        sys.stdout.write(self.text(found) + "\n")
        if given.json:
            save(given.json, found)
        if given.plot:
            self.draw(found, given.plot)
        if given.page:
            self.take(found)
        return 0 if all(bar["met"] for bar in found["bars"]) else 1

    def text(self, found: Found) -> str:
        """What was found, as Markdown."""
        return "\n\n".join((_taken(found["machine"]), self.tables(found), bars(found["bars"])))

    def take(self, found: Found) -> None:
        """Put the figures where docs/performance.md has a place for them."""
        folder = PAGE.with_suffix("")
        folder.mkdir(exist_ok=True)
        save(folder / f"{self.name}.json", found)
        self.draw(found, folder / f"{self.name}.png")
        block = re.compile(rf"(<!-- figures: {self.name} -->\n).*?(<!-- end -->)", re.DOTALL)
        filled = f"{self.text(found)}\n\n![{self.name}](performance/{self.name}.png)\n"
        page = PAGE.read_text("utf-8")
        PAGE.write_text(block.sub(lambda b: f"{b[1]}\n{filled}\n{b[2]}", page), "utf-8")


def machine(timed: bool = True) -> Found:
    """What the figures are taken on, and how busy it is with other work before they are."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cpus = os.cpu_count() or 1
    return {
        "cpus": cpus,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "load_before": round(load, 2),
        "provisional": timed and load > BUSY * cpus,
    }


def in_turn(systems: Mapping[str, Callable[[], Figures]], rounds: int) -> dict[str, list[Figures]]:
    """The figures of each system, one a round; the order moves on by one each round."""
    found: dict[str, list[Figures]] = {name: [] for name in systems}
    names = list(systems)
    for number in range(rounds):
        first = number % max(1, len(names))
        for name in names[first:] + names[:first]:
            figures = systems[name]()
            found[name].append(figures)
            shown = ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
            sys.stderr.write(f"round {number + 1} of {rounds}: {name}: {shown}\n")
    return found


def median(runs: Sequence[Figures], key: str) -> float | None:
    """The median of one figure; None where it was never measured."""
    values = [run[key] for run in runs if key in run]
    return statistics.median(values) if values else None


def spread(runs: Sequence[Figures], key: str, form: str = ",.3g") -> str:
    """The smallest and the largest of one figure."""
    values = [run[key] for run in runs if key in run]
    return f"{min(values):{form}} to {max(values):{form}}" if values else "–"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def bars(found: Sequence[Found]) -> str:
    """The bars, as `Bar.json` gives them, as a Markdown table."""
    rows = []
    for bar in found:
        least = f"at least {bar['at_least']:g}" if "at_least" in bar else ""
        wanted = least or f"at most {bar['at_most']:g}"
        value = "not measured" if bar["found"] is None else f"{bar['found']:.3g}"
        rows.append((bar["name"], wanted, value, "yes" if bar["met"] else "no"))
    return table(("bar", "wanted", "found", "met"), rows)


def plot(path: Path, title: str, unit: str, runs: Mapping[str, Sequence[float]]) -> None:
    """Medians as bars, each run as a dot."""
    from matplotlib.figure import Figure

    names = [name for name, values in runs.items() if values]
    figure = Figure(figsize=(8, 1.2 + 0.5 * len(names)), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(names):
        axes.barh(place, statistics.median(runs[name]), color="#9bbbe0", height=0.6)
        axes.plot(runs[name], [place] * len(runs[name]), "o", color="#2f6db3", markersize=4)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(title)
    figure.savefig(path, dpi=110)


def save(path: Path, found: Found) -> None:
    """Write what was found as JSON."""
    path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def _taken(on: Found) -> str:
    told = f"Taken on {on['cpus']} cores ({on['machine']}), Python {on['python']}."
    if on["provisional"]:
        told += f" **Provisional: the machine was busy, its load was {on['load_before']}.**"
    return told
