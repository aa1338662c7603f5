"""The figures of a world model as lines of 80 columns. Crash rule: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trajgen.fidelity.tally import share
from trajgen.records import Json

NAME = 30  # columns of a tool's name
CHANGED = {"0": "no field", "1": "1 field", "2": "2 fields", "3-4": "3 or 4", "5+": "5 or more"}


def table(found: Mapping[str, Json]) -> str:
    """What `trajgen fidelity` prints: each figure with its count, then tools and probes."""
    head = f"{found['model']} against {found['world']}: {found['steps']} steps"
    parts = [[head], list(_whole(found)), list(_tools(found["per_tool"]))]
    parts += [list(_probes(found["probes"])), list(_unanswered(found)), _replayed(found["replay"])]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _whole(found: Mapping[str, Json]) -> Iterator[str]:
    yes, no = (found["precondition"][key] for key in ("applicable", "inapplicable"))
    yield _line("call that applies: not refused", yes, "correct")
    yield _line("call that does not apply: refused", no, "correct")
    yield _line("effects", found["effects"])
    for size, counts in found["effects"]["by_changed"].items():
        yield _line(f"  {CHANGED[size]} changed", counts)
    yield _line("observation", found["observation"])
    if found["observation"]["n"]:
        yield f"{'  fields found (F1)':<34}{found['observation']['field_f1']:>8.3f}"


def _line(name: str, counts: Mapping[str, Json], key: str = "exact") -> str:
    right = share(counts, key)
    shown = "        -" if right is None else f"{right:>8.1%}"
    return f"{name:<34}{shown:>8}   {counts[key]} of {counts['n']}"


def _tools(tools: Mapping[str, Json]) -> Iterator[str]:
    head = ("applies", "refused", "effects", "observed")
    if tools:
        yield f"{'tool':<{NAME}} {' '.join(f'{name:>9}' for name in head)} {'F1':>6}"
    for name, of in tools.items():
        yes, no = (of["precondition"][key] for key in ("applicable", "inapplicable"))
        cells = [_part(yes, "correct"), _part(no, "correct")]
        cells += [_part(of["effects"]), _part(of["observation"])]
        f1 = f"{of['observation']['field_f1']:.3f}" if of["observation"]["n"] else "-"
        yield f"{_cut(name)} {' '.join(f'{cell:>9}' for cell in cells)} {f1:>6}"


def _probes(probes: Mapping[str, Json]) -> Iterator[str]:
    if probes:
        yield f"{'probe':<{NAME}} {'applies':>9} {'refused':>9}"
    for name, of in probes.items():
        yes, no = (_part(of[key], "correct") for key in ("applicable", "inapplicable"))
        yield f"{_cut(name)} {yes:>9} {no:>9}"


def _part(counts: Mapping[str, Json], key: str = "exact") -> str:
    return f"{counts[key]}/{counts['n']}" if counts["n"] else "-"


def _cut(name: str) -> str:
    return f"{name if len(name) <= NAME else name[: NAME - 1] + '…':<{NAME}}"


def _unanswered(found: Mapping[str, Json]) -> Iterator[str]:
    if lost := found["unanswered"]:
        listed = ", ".join(f"{error} {n}" for error, n in lost.items())
        yield f"no answer, counted as wrong: {listed}"


def _replayed(replay: Mapping[str, Json]) -> list[str]:
    if not replay["n"]:
        return []
    ratio = replay["consistency_ratio"]
    shown = "none, as the agent reaches no goal in the real world" if ratio is None else ratio
    return [
        f"goals reached in {replay['n']} rollouts each",
        f"  in the real world               {replay['real']:>4}",
        f"  in the model's world            {replay['world']:>4}",
        f"  the model's, made in the real   {replay['world_to_real']:>4}",
        f"  consistency ratio               {shown:>4}",
    ]
