"""The clean set: real trajectories, each as a bare conversation and with stored steps."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import trajgen
from trajgen.errors import InputError, MachineError
from trajgen.filters.answers import is_failure
from trajgen.filters.reading import exchanges
from trajgen.importers import IMPORTERS
from trajgen.ledger import Ledger, node_hash
from trajgen.records import Domain, Json, Seed, Step, Trajectory
from trajgen.seeds import _load, initial_state

FOLDERS = ("seeds/retail_support", "seeds/household", "seeds/chemistry_lab")
IMPORTED = {
    "tau2": ("tau2:airline", "tau2:retail", "tau2:telecom"),
    "textworld": ("textworld:house", "textworld:coin", "textworld:cooking", "textworld:treasure"),
    "scienceworld": ("scienceworld:all",),
}
SMOKE = "pipelines/smoke.yaml"


@dataclass(frozen=True)
class Clean:
    """A real trajectory in both forms, and the domain that it is checked against."""

    source: str
    domain: Domain
    bare: Trajectory
    stepped: Trajectory | None


def names() -> list[str]:
    """Every source that this checkout can import."""
    found = [s for kind, sources in IMPORTED.items() if kind in IMPORTERS for s in sources]
    return [*found, *FOLDERS, SMOKE]


def clean(source: str) -> Iterator[Clean]:
    """The trajectories of one source; nothing when it is not installed."""
    if source == SMOKE:
        yield from _smoke()
        return
    try:
        domain, seeds, _ = _load(source, None)
    except (InputError, MachineError):
        return
    for seed in seeds:
        yield _both(source, domain, seed)


def _both(source: str, domain: Domain, seed: Seed) -> Clean:
    bare = Trajectory(
        id=str(seed.meta.get("name", seed.id)),
        domain=domain.name,
        messages=seed.messages,
        tools=domain.tools,
        state_initial=seed.state,
    )
    return Clean(source, domain, bare, with_steps(bare, domain, seed))


def with_steps(bare: Trajectory, domain: Domain, seed: Seed) -> Trajectory | None:
    """The trajectory as a rollout in the real world would have stored it."""
    effects = seed.meta.get("effects")
    if effects is None:
        return None
    state = initial_state(domain, seed)
    ledger = Ledger(state, _hash(id(state), domain, seed) if seed.state is None else None)
    applies, steps = seed.meta.get("applies", {}), []
    for call, _, text in exchanges(bare.messages):
        before, done = ledger.hash, effects.get(call.id, [])
        ledger.touch(ledger.relevant(call.arguments))
        ledger.apply(done)
        fits = bool(applies.get(call.id, not is_failure(text, domain)))
        steps.append(
            Step(
                call.message, call.id, call.tool, fits, "", tuple(done), "real", before, ledger.hash
            )
        )
    return replace(
        bare,
        steps=tuple(steps),
        state_initial=ledger.touched_initial(),
        state_final=ledger.touched_final(),
        n_tool_calls=len(steps),
    )


_hashes: dict[int, tuple[Json, int]] = {}


def _hash(key: int, domain: Domain, seed: Seed) -> int:
    state = initial_state(domain, seed)
    if key not in _hashes:
        _hashes[key] = state, node_hash("", {} if state is None else state)
    return _hashes[key][1]


@cache
def _smoke_rows() -> tuple[tuple[Trajectory, Domain], ...]:
    from trajgen.corpora import rows

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        trajgen.run(SMOKE, out=out)
        return tuple(row for _, row in rows(str(out), None) if isinstance(row, tuple))


def _smoke() -> Iterator[Clean]:
    for row, domain in _smoke_rows():
        bare = replace(row, steps=(), state_final=None, scores={})
        yield Clean(SMOKE, domain, bare, row)
