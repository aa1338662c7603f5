"""The model card of what was trained: deterministic, no clock, host or folder of a machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from trajgen.models import EMBEDDED


def model_card(
    recipe: Mapping[str, Any],
    data: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Any] | None = None,
) -> str:
    """README.md from recipe.json, data.json, log.jsonl and, where it was measured, its figures."""
    settings = recipe["recipe"]
    parts = [_front(settings), f"# {settings['name']}", _summary(settings, log)]
    parts += [_data(data)]
    parts += [f"## Figures\n\n{_fenced('json', figures)}"] if figures else []
    parts += [f"## Recipe\n\n{_fenced('yaml', settings)}", _lineage(recipe, data)]
    return "\n\n".join(parts) + "\n"


def _front(settings: Mapping[str, Any]) -> str:
    model = settings["model"]
    embedded = EMBEDDED.get(model)
    data: dict[str, Any] = {"base_model": embedded.hub_id if embedded else model}
    if embedded:
        data["license"] = embedded.license.lower()
    if settings["tune"]["method"] == "lora":
        data["library_name"] = "peft"
    data |= {"pipeline_tag": "text-generation", "tags": ["world-model", "agent", "trajgen"]}
    return f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}---"


def _summary(settings: Mapping[str, Any], log: Sequence[Mapping[str, Any]]) -> str:
    tune = settings["tune"]
    how = "all weights" if tune["method"] == "full" else f"LoRA of rank {tune['r']}"
    text = f"`{settings['model']}`, taught by `trajgen train` ({how})."
    if log:
        last = [entry["loss"] for entry in log[-20:]]
        text += (
            f" {log[-1]['step']:,} steps; loss {log[0]['loss']:.3f} at the first, "
            f"{sum(last) / len(last):.3f} over the last {len(last)}."
        )
    return text


def _data(data: Mapping[str, Any]) -> str:
    lines = ["| role | examples | tokens | learnt | from |", "|---|---|---|---|---|"]
    for role, found in data["roles"].items():
        sources = ", ".join(f"`{source}`" for source in found["from"])
        counts = (found["examples"], found["tokens"], found["learnt"])
        lines.append(f"| {role} | {' | '.join(f'{n:,}' for n in counts)} | {sources} |")
    return "## Data\n\n" + "\n".join(lines)


def _lineage(recipe: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    rows = [("recipe", recipe["digest"]), ("data", data["digest"])]
    rows += [(f"{role} data", found["digest"]) for role, found in data["roles"].items()]
    lines = ["| digest | |", "|---|---|", *(f"| {name} | `{value}` |" for name, value in rows)]
    versions = ", ".join(f"{name} {version}" for name, version in recipe["versions"].items())
    return "## Lineage\n\n" + "\n".join(lines) + f"\n\nMade with {versions}."


def _fenced(kind: str, value: Any) -> str:
    text = (
        json.dumps(value, indent=2, ensure_ascii=False)
        if kind == "json"
        else yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True).rstrip()
    )
    return f"```{kind}\n{text}\n```"
