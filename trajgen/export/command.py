"""`trajgen export`: a run's trajectories as a view for one trainer.

Crash rule: a view is made in a temporary folder and is there as a whole with one rename, its
manifest written last; killed before that, there is no view, and the same command makes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trajgen import __version__
from trajgen.durable import placed_folder, sha256_of
from trajgen.errors import InputError
from trajgen.export.card import card
from trajgen.export.choose import (
    NONE,
    TRAIN,
    Pick,
    Split,
    assigned,
    candidates,
    everything,
    sample,
)
from trajgen.export.crew import Crew, Maker
from trajgen.export.parts import REVIEW, Part
from trajgen.export.where import Where
from trajgen.export.write import REFUSED, Written, write_refused
from trajgen.exporters import Exporter, Unfit, View
from trajgen.loading import safe_name, user_path
from trajgen.plan_file import plan_tasks
from trajgen.records import Json, Trajectory
from trajgen.run_record import FIDELITY, existing_run, read_record, record_bytes
from trajgen.shards import COLUMNS

MANIFEST, README = "manifest.json", "README.md"
SHORTEST = 512  # max_length in what trains on a view, at least


@dataclass(frozen=True, slots=True)
class Exported:
    """A view that was written: its folder, rows and trajectories by split, how many the format
    could not hold, and how many stood between two splits."""

    path: Path
    rows: Mapping[str, int]
    trajectories: Mapping[str, int]
    refused: int
    left_out: int


def export(
    run: str | Path,
    format: str,
    out: str | Path,
    n: int | None = None,
    where: str | None = None,
    split: Sequence[str] = (),
    template: str | None = None,
    processes: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write the kept trajectories of `run` into the new folder `out` as `format`.

    Exactly `n` rows; those for which `where`, an SQL condition on columns, holds; whole seeds
    in each `name=share` of `split`; tokens counted in the chat `template` of a model. A large
    run is written by several `processes`, which a script that asks for them has to allow
    (`if __name__ == "__main__"`). Raises InputError for what cannot be done so, MachineError
    when the disk fails or the run is damaged.
    """
    folder, splits = _new(user_path(out)), [_split(text) for text in split]
    condition = Where(where, (*COLUMNS, REVIEW)) if where is not None else None
    maker = Maker.open(run, format, template)
    picks, left_out = _picks(maker, condition, splits, n)
    status = maker.run.status()
    if not status["complete"]:
        tell("this run has not ended; the view holds what is committed now")
    about = {
        **{key: status[key] for key in ("name", "run_id", "complete")},
        "format": format,
        "columns": _columns(maker.exporter),
        "where": where,
        "n": n,
        "split": splits,
        "left_out": left_out,
        "template": maker.template.name if maker.template else None,
        "counted": bool(maker.template and maker.template.counts),
        "versions": {"trajgen": __version__},
    }
    names = [TRAIN, *(name for name, _ in splits)]
    done = Written(rows=Counter(dict.fromkeys(names, 0)))
    with placed_folder(folder) as temporary:
        for part in Crew(maker, format, template, processes).write(temporary, picks, names):
            done.add(part)
        _refuse_empty(done, maker)
        write_refused(temporary, done)
        _finish(temporary, maker, about, done)
    return Exported(folder, dict(done.rows), dict(done.trajectories), len(done.refused), left_out)


def _new(folder: Path) -> Path:
    safe_name(folder.name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            "is there already and not empty",
            str(folder),
            "Name a new folder, or remove this one first; an export overwrites nothing.",
        )
    return folder


def _split(text: str) -> Split:
    """`eval=0.1` as a name and a share."""
    name, _, share = text.partition("=")
    try:
        value = float(share)
    except ValueError:
        value = 0.0
    if not 0 < value < 1 or name == TRAIN:
        raise InputError(f"{text!r} is no split", "--split", "Write name=share, as in eval=0.1.")
    return safe_name(name), value


def _picks(
    maker: Maker, where: Where | None, splits: Sequence[Split], n: int | None
) -> tuple[dict[int, list[Pick]], int]:
    """What goes where, by part, and how many trajectories stand between two splits."""
    run, reader = maker.run.path, maker.reader
    partners = {t.id: t.partner for t in plan_tasks(run) if t.partner} if splits else {}
    found = candidates(maker.parts, reader, where, partners)
    if not found:
        why = "No trajectory fulfils --where." if where else "The run has kept none yet."
        raise InputError("there is nothing to export", str(run), why)
    of = assigned(found, splits)

    def count(part: Part, rows: Sequence[int]) -> list[int]:
        return [_size(maker.exporter, made) for made in reader.trajectories(part, rows)]

    picks = everything(found, of) if n is None else sample(found, of, n, maker.parts, count)
    return picks, of.count(NONE)


def _size(exporter: Exporter, trajectory: Trajectory) -> int:
    """How many rows a trajectory becomes; none where the format cannot hold it."""
    try:
        return sum(1 for _ in exporter.rows(trajectory))
    except Unfit:
        return 0


def _refuse_empty(done: Written, maker: Maker) -> None:
    where = str(maker.run.path)
    if not done.rows.total():
        raise InputError(f"there is nothing to export: {maker.exporter.without_rows}", where)
    for name, rows in done.rows.items():
        if not rows:
            fix = "Ask for more rows, or give it a larger share."
            raise InputError(f"the split {name!r} would be empty", where, fix)


def _finish(folder: Path, maker: Maker, about: Mapping[str, Json], done: Written) -> None:
    """Write what stands beside the rows: what trains on them, the card, the manifest."""
    length = max(SHORTEST, 1 << max(done.longest - 1, 0).bit_length())
    model = maker.template.model if maker.template else ""
    files = maker.exporter.files(View(about["name"], dict(done.rows), model, length))
    run = maker.run.path
    found = {
        "record": existing_run(run),
        "status": maker.run.status(),
        "fidelity": (read_record(run / FIDELITY) or {}).get("figures"),
    }
    for name, text in {**files, README: card(about, done, found, files)}.items():
        (folder / safe_name(name)).write_text(text, "utf-8", errors="replace")
    names = [*files, README, *([REFUSED] if done.refused else [])]
    entries = {name: _entry(folder / name) for name in names}
    counts = {"rows": dict(done.rows), "trajectories": dict(done.trajectories)}
    manifest = {**about, **counts, "refused": len(done.refused)}
    data = record_bytes({**manifest, "files": {**done.files, **entries}})
    (folder / MANIFEST).write_bytes(data)


def _entry(path: Path) -> dict[str, Json]:
    return {"sha256": sha256_of(path), "bytes": path.stat().st_size}


def _columns(exporter: Exporter) -> dict[str, str]:
    """Its Parquet columns with their types; none for JSON Lines."""
    return {field.name: str(field.type) for field in exporter.schema or ()}
