"""Trajectories in the forms that trainers take; one file a format.

An exporter turns one trajectory into the rows of its view: none, one, or several. What the
format cannot hold is refused with the reason, never cut or guessed: `trajectories chosen =
written + refused`. Which trajectories those are, and how they reach the disk, is none of its
business (export/).

Crash rule: pure but for what a constructor reads.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from trajgen.errors import InputError
from trajgen.loading import load_object
from trajgen.records import Json, Trajectory

if TYPE_CHECKING:
    import pyarrow as pa

    from trajgen.exporters.templates import Template
    from trajgen.review.run import Run


class Unfit(Exception):
    """A trajectory that a format cannot hold; the text says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a view is made of: a run and, where one was named, a chat template."""

    run: Run
    template: Template | None = None


@dataclass(frozen=True, slots=True)
class View:
    """A view as its own files speak of it: `splits` are rows by split, each a folder of its
    name; `model` is the one that was named, or ""; `max_length` is a power of two that the
    longest trajectory fits in, in tokens."""

    name: str
    splits: Mapping[str, int]
    model: str
    max_length: int


class Exporter(Protocol):
    """Made once an export from its `Source`; may raise InputError for one it cannot use."""

    reads: tuple[str, ...] = ("messages", "tools")  # columns of the run, beside the short ones
    rejected: bool = False  # whether rejected trajectories are given to it too
    schema: pa.Schema | None = None  # of its Parquet files; None writes JSON Lines
    without_rows: str = "the format can hold none of its trajectories"

    def rows(self, trajectory: Trajectory) -> Iterable[dict[str, Json]]:
        """The rows that `trajectory` becomes; a column of Arrow JSON takes JSON text.

        Raises Unfit when the format cannot hold it.
        """
        ...

    def files(self, view: View) -> Mapping[str, str]:
        """Further files by name, such as what trains on the view; `train.*` is shown in the
        card."""
        return {}


EXPORTERS: dict[str, str] = {
    "trl": "trajgen.exporters.trl:Trl",
    "trl-unroll": "trajgen.exporters.trl:TrlUnroll",
    "sharegpt": "trajgen.exporters.sharegpt:ShareGpt",
    "swift": "trajgen.exporters.swift:Swift",
    "axolotl": "trajgen.exporters.axolotl:Axolotl",
    "verl": "trajgen.exporters.verl:Verl",
    "openai": "trajgen.exporters.openai:OpenAi",
    "text": "trajgen.exporters.text:Text",
    "atif": "trajgen.exporters.atif:Atif",
    "world-model": "trajgen.exporters.world_model:WorldModel",
    "preference": "trajgen.exporters.preference:Preference",
}


def make_exporter(name: str, source: Source) -> Exporter:
    """The exporter of format `name`, or your own by `module:Class`.

    Raises InputError for an unknown name, with the nearest, and as the exporter does.
    """
    if name not in EXPORTERS and ":" not in name:
        near = difflib.get_close_matches(name, EXPORTERS, 1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        known = ", ".join(EXPORTERS)
        raise InputError(f"unknown format {name!r}", fix=f"{guess}Known: {known}, module:Class")
    made: Exporter = load_object(EXPORTERS.get(name, name))(source)
    return made
