"""The data set card of a view: README.md in Hugging Face form.

Deterministic, and data never becomes markup, as in the card of a run (card.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from trajgen.card import code, fidelity_table, lineage_table, listed, size_category, table
from trajgen.export.write import REFUSED, Written
from trajgen.records import Json

_BAR = 24
_LANGUAGES = {"py": "python", "sh": "bash", "yaml": "yaml"}


def card(
    view: Mapping[str, Json], done: Written, run: Mapping[str, Any], files: Mapping[str, str]
) -> str:
    """README.md of a view: what manifest.json says of it, what was written, the run that it
    was made of (its run.json, status and fidelity), and its further files."""
    parts = [_front(view, done), f"# {view['name']}: {view['format']}", _about(view, done)]
    parts += [_splits(done), _training(files), _made(view), _yield(run["status"])]
    if run["fidelity"]:
        parts.append(fidelity_table(run["fidelity"]))
    parts += [_tokens(done, view), _mix(done), lineage_table(run["record"]), _files(done, files)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front(view: Mapping[str, Json], done: Written) -> str:
    licenses = sorted({name.lower() for name in done.licenses if name}) or ["unknown"]
    ending = "parquet" if view["columns"] else "jsonl"
    data = {
        "pretty_name": f"{view['name']} ({view['format']})",
        "license": licenses if len(licenses) > 1 else licenses[0],
        "task_categories": ["text-generation"],
        "tags": ["agent", "tool-calling", "sft", "synthetic", "trajgen"],
        "size_categories": [size_category(done.rows.total())],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"{split}/*.{ending}"} for split in done.rows
                ],
            }
        ],
    }
    return f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}---"


def _about(view: Mapping[str, Json], done: Written) -> str:
    text = (
        f"{done.rows.total():,} rows of {done.trajectories.total():,} trajectories, written by "
        f"trajgen as {code(view['format'])} from the run {code(view['run_id'])}."
    )
    if not view["complete"]:
        text += " The run had not ended."
    if done.refused:
        text += f" The format cannot hold {done.refused:,} more; {code(REFUSED)} says why."
    return text


def _splits(done: Written) -> str:
    rows = [
        (code(split), f"{n:,}", f"{done.trajectories[split]:,}", f"{len(done.seeds[split]):,}")
        for split, n in done.rows.items()
    ]
    lines = ["| split | rows | trajectories | seeds |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, *(["", "No seed is in two splits."] if len(rows) > 1 else [])])


def _training(files: Mapping[str, str]) -> str:
    """The files that train on the view, as they are."""
    shown = [name for name in files if name.startswith("train.")]
    return "\n\n".join(
        f"{code(name)}:\n\n```{_LANGUAGES[name.partition('.')[2]]}\n{files[name]}```"
        for name in shown
    )


def _made(view: Mapping[str, Json]) -> str:
    rows = [("format", code(view["format"]))]
    rows += [(f"column {code(name)}", code(kind)) for name, kind in view["columns"].items()]
    for key in ("where", "template", "n"):
        if view[key] is not None:
            rows.append((key, code(view[key])))
    if view["split"]:
        rows.append(("split", listed(f"{name}={share:g}" for name, share in view["split"])))
        if view["left_out"]:
            what = "trajectories of two seeds in different splits, left out"
            rows.append((what, f"{view['left_out']:,}"))
    return table(("this view", ""), rows)


def _yield(status: Mapping[str, Json]) -> str:
    text = (
        f"Of the run, {status['kept']:,} of {status['done']:,} trajectories were kept, "
        f"{status['rejected']:,} rejected by filters; {status['dead']:,} tasks could not be run."
    )
    reasons = sorted(status["reasons"].items(), key=lambda item: (-item[1], item[0]))
    if not reasons:
        return text
    counts = [(code(name), f"{n:,}") for name, n in reasons]
    return f"{text}\n\n{table(('reason', 'rejected rows'), counts)}"


def _tokens(done: Written, view: Mapping[str, Json]) -> str:
    """Trajectories by tokens, a row for each power of two."""
    most = max(done.tokens.values(), default=1)
    rows = []
    for bits in range(min(done.tokens, default=1), max(done.tokens, default=0) + 1):
        n = done.tokens[bits]
        rows.append((f"{1 << (bits - 1):,} to {(1 << bits) - 1:,}", f"{n:,} {_bar(n, most)}"))
    whose = (
        f"in the template of {code(view['template'])}"
        if view["counted"]
        else ("in the agent model's template")
    )
    return f"Tokens of the trajectories, {whose}:\n\n{table(('tokens', 'trajectories'), rows)}"


def _bar(n: int, most: int) -> str:
    return "█" * -(-n * _BAR // most)


def _mix(done: Written) -> str:
    rows = [(f"strategy {code(k)}", f"{n:,}") for k, n in sorted(done.strategies.items())]
    named = ((k or "unknown", n) for k, n in sorted(done.licenses.items()))
    rows += [(f"licence {code(k)}", f"{n:,}") for k, n in named]
    return table(("trajectories of", ""), rows)


def _files(done: Written, files: Mapping[str, str]) -> str:
    more = f" {listed(files)} come with it." if files else ""
    return f"{code('manifest.json')} has the sha256 and rows of every file.{more}"
