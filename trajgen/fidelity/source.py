"""`--world X`: a real world, and the seeds whose calls are known to be right in it.

tau2:retail                     a real environment and the import source of the same name
declared:seeds/household        a domain folder, its tools answered by its own declarations
my_world:LampWorld:seeds/lamps  a world of your own, then a domain folder or import source
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trajgen.config import WorldConfig
from trajgen.errors import InputError
from trajgen.seeds import SeedSet, load_seeds
from trajgen.stage import check_world
from trajgen.worlds import KINDS


@dataclass(frozen=True, slots=True)
class Real:
    """A real world by name, how it is made, and its seeds."""

    name: str
    config: WorldConfig
    seeds: SeedSet


def load_real(name: str, near: Path | None = None) -> Real:
    """The real world `name` with its seeds; folders are looked for `near` too.

    Raises InputError when there is no such world, no usable seed in it, or a tool that it
    cannot answer.
    """
    config, source = parse_world(name)
    seeds = load_seeds((source,), near)
    check_world(config, seeds.domains)
    return Real(name, config, seeds)


def parse_world(name: str) -> tuple[WorldConfig, str]:
    """The `world:` section of `name`, and where its seeds come from. Raises InputError."""
    kind, _, rest = name.partition(":")
    if kind in KINDS and rest:
        return WorldConfig(kind=kind, domain=rest), rest if kind == "declared" else name
    attribute, _, source = rest.partition(":")
    if kind in KINDS or not (kind and attribute and source):
        known = ", ".join(f"{kind}:…" for kind in KINDS)
        raise InputError(
            f"{name!r} names no real world", "--world", f"Known: {known}, module:Class:SEEDS"
        )
    return WorldConfig(kind=f"{kind}:{attribute}"), source
