"""`trajgen train`: a recipe from end to end.

Crash rule: a training run is its folder. The same command goes on from the last complete
checkpoint; when the result is there it does nothing.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trajgen import __version__, telemetry
from trajgen.durable import place_bytes, placed_folder
from trajgen.engines.tokens import load_tokenizer
from trajgen.errors import InputError, MachineError
from trajgen.ids import digest
from trajgen.loading import user_path
from trajgen.models import local_path
from trajgen.train.card import model_card
from trajgen.train.evaluate import Evaluation
from trajgen.train.examples import make_examples
from trajgen.train.folder import TrainFolder
from trajgen.train.order import row_order
from trajgen.train.progress import Progress, counted
from trajgen.train.recipe import Recipe, load_recipe
from trajgen.train.rows import Row, Rows

Tell = Callable[[str], None]
PACKAGES = ("torch", "transformers", "trl", "peft")


def train(path: str, out: str | None, overrides: Sequence[str], tell: Tell) -> Path:
    """Train as the recipe at `path` says, or go on, and measure what it asks for; the folder
    of the adapter or model. Raises InputError, MachineError, RunLocked or CommitError.
    """
    recipe, near = load_recipe(path, overrides)
    folder = TrainFolder(user_path(out) if out else recipe.folder, _record(recipe))
    asked = recipe.evaluate
    measured = Evaluation(recipe, asked, near, folder.path, tell) if asked else None
    if folder.result is None:
        result = _train_now(recipe, near, folder, measured, tell)
    else:
        tell(f"{recipe.name} is trained already: {folder.result}")
        result = folder.result
    if measured:
        figures = measured.finish(result, folder.checkpoints)
        write_card(folder, result, folder.data(), figures)
    return result


def _train_now(
    recipe: Recipe, near: Path, folder: TrainFolder, measured: Evaluation | None, tell: Tell
) -> Path:
    _check_installed()
    if measured:
        measured.check()
    tokenizer = load_tokenizer(local_path(recipe.model))
    rows = _rows(recipe, near, tokenizer, tell)
    with folder.owned(_data(recipe, rows)):
        return _train(recipe, folder, rows, tokenizer, tell, measured)


def _train(
    recipe: Recipe,
    folder: TrainFolder,
    rows: list[Row],
    tokenizer: Any,
    tell: Tell,
    measured: Evaluation | None,
) -> Path:
    telemetry.off()
    from trajgen.train.sft import Job, fit, state_files

    steps = folder.steps()
    resume = folder.checkpoint(steps[-1]) if steps else None
    folder.rewind(steps[-1] if steps else 0)
    lengths = [len(row.input_ids) for row in rows]
    how = recipe.optimizer
    order = row_order(lengths, how.epochs, how.batch, how.accumulate, recipe.seed)
    seen = [rows[i] for i in order]
    progress = Progress(folder, seen, recipe.per_step, tell)
    tell(_opening(recipe, rows, progress.steps, steps))

    def on_checkpoint(path: Path) -> None:
        folder.retire(state_files, recipe.checkpoints.keep)
        if measured:
            measured.checkpoint(path)

    target = folder.path / ("model" if recipe.tune.method == "full" else "adapter")
    job = Job(recipe, seen, tokenizer, folder.checkpoint, resume, progress.step, on_checkpoint)
    write = fit(job)
    with placed_folder(target) as temporary:
        write(temporary)
        write_card(folder, temporary, _data(recipe, rows))
    tell(f"{recipe.name} is trained: {target}")
    return target


def write_card(
    folder: TrainFolder,
    target: Path,
    data: Mapping[str, Any],
    figures: Mapping[str, Any] | None = None,
) -> None:
    """README.md of the result in `target`."""
    text = model_card(folder.record, data, folder.log(), figures)
    place_bytes(target / "README.md", text.encode())


def _rows(recipe: Recipe, near: Path, tokenizer: Any, tell: Tell) -> list[Row]:
    made = Rows(tokenizer).of(make_examples(recipe, near))
    longest = recipe.optimizer.max_length
    rows = [row for row in made if len(row.input_ids) <= longest]
    if len(rows) < len(made):
        tell(f"{len(made) - len(rows):,} examples are longer than {longest} tokens: left out")
    if not rows:
        raise InputError(
            "there is nothing to learn from" if not made else "every example is too long",
            recipe.name,
            "See `data` and `optimizer.max_length` of the recipe.",
        )
    return rows


def _record(recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "digest": digest(recipe.decisive()),
        "recipe": recipe.saved(),
        "versions": _versions(),
    }


def _data(recipe: Recipe, rows: Iterable[Row]) -> dict[str, Any]:
    """What data.json holds: counts, sources and digests by role, and one digest over all."""
    roles: dict[str, Any] = {}
    by_role: dict[str, list[Row]] = {role: [] for role in recipe.data.taught()}
    for row in rows:
        by_role.setdefault(row.role, []).append(row)
    for role, its in by_role.items():
        config = recipe.data.taught().get(role)
        roles[role] = {
            "from": list(config.sources) if config else [],
            **counted(its),
            "digest": digest([[row.input_ids, row.labels] for row in its]),
        }
    return {"digest": digest({role: found["digest"] for role, found in roles.items()})} | {
        "roles": roles
    }


def _opening(recipe: Recipe, rows: list[Row], steps: int, done: list[int]) -> str:
    counts = counted(rows)
    text = (
        f"{recipe.name}: {counts['examples']:,} examples, {counts['tokens']:,} tokens of which "
        f"{counts['learnt']:,} are learnt, {recipe.optimizer.epochs} epochs, {steps:,} steps"
    )
    return f"{text}; going on after step {done[-1]:,}" if done else text


def _check_installed() -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise MachineError(
            f"training needs {', '.join(missing)}", fix='Run: pip install "trajgen[train]"'
        )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "trajgen": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
