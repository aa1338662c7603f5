"""The data set card of a run: README.md in Hugging Face form, from the run and its totals.

Deterministic: no clock, host or folder. Names come from run.json and are data, so they
stand in code spans and never become markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
ABOUT = (
    "Tool-use trajectories expanded from seed trajectories: language models play user, agent "
    "and world; code keeps the world's state and checks every step."
)
_COLUMNS = (
    ("`id`", "the task's content id"),
    ("`domain`, `seed_id`, `strategy`, `persona`, `fault`", "where the trajectory came from"),
    ("`messages`", "OpenAI-style messages; `arguments` are objects, absent keys are absent"),
    ("`tools`", "OpenAI function schemas"),
    ("`steps`", "per tool call: precondition, effects on the state, hashes, verdicts"),
    ("`state_initial`, `state_final`", "JSON: the part of the state that was touched"),
    ("`outcome`", "success, failure or refusal"),
    ("`scores`", "JSON: how it ended, judge and agreement scores"),
    ("`n_turns`, `n_tool_calls`", "user turns and tool calls"),
    ("`n_tokens`, `n_target_tokens`", "in the agent model's template; target = assistant turns"),
    ("`agent_model`, `user_model`, `world_model`", "who played"),
    ("`run_id`, `prompt_digest`, `seed_license`, `schema_version`", "lineage"),
    ("`reasons`", "reject codes; empty for kept rows"),
)


def card(
    run: Mapping[str, Any], totals: Mapping[str, Any], fidelity: Mapping[str, Any] | None = None
) -> str:
    """README.md of a run, from run.json's data, the manifest's totals and, where the run
    required it, how its world model did against a real world."""
    parts = [_front(run, totals), f"# {run['name']}", _yield(run, totals), _load()]
    parts += [fidelity_table(fidelity)] if fidelity else []
    parts += [lineage_table(run), table(("column", "holds"), _COLUMNS), _files()]
    return "\n\n".join(parts) + "\n"


def size_category(rows: int) -> str:
    """The hub's name for this many rows."""
    return next((name for bound, name in _SIZES if rows < bound), "n>1M")


def _front(run: Mapping[str, Any], totals: Mapping[str, Any]) -> str:
    licenses = [name for name in totals["licenses"] if name] or ["unknown"]
    data = {
        "pretty_name": run["name"],
        "license": [name.lower() for name in licenses]
        if len(licenses) > 1
        else licenses[0].lower(),
        "task_categories": ["text-generation"],
        "tags": ["agent", "tool-calling", "sft", "synthetic", "trajgen"],
        "size_categories": [size_category(totals["kept"])],
        "configs": [
            _config("default", "train", "shards/*.parquet", default=True),
            _config("rejected", "rejected", "rejects/*.parquet"),
        ],
    }
    return f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}---"


def _config(name: str, split: str, path: str, default: bool = False) -> dict[str, Any]:
    config: dict[str, Any] = {"config_name": name, "data_files": [{"split": split, "path": path}]}
    return {**config, "default": True} if default else config


def _yield(run: Mapping[str, Any], totals: Mapping[str, Any]) -> str:
    text = (
        f"{run.get('about', ABOUT)}\n\n"
        f"{totals['kept']:,} of {totals['done']:,} trajectories were kept "
        f"({totals['yield']:.1%}), {totals['rejected']:,} rejected by filters; "
        f"{totals['dead']:,} tasks could not be run. Kept rows have {totals['n_tokens']:,} "
        f"tokens, {totals['n_target_tokens']:,} of them trained on."
    )
    tables = (("outcome", "kept rows", "outcomes"), ("reason", "rejected rows", "reasons"))
    for name, count, key in tables:
        if totals[key]:
            rows = sorted(totals[key].items(), key=lambda item: (-item[1], item[0]))
            text += "\n\n" + table((name, count), [(code(k), f"{n:,}") for k, n in rows])
    return text


def _load() -> str:
    return (
        "```python\nfrom datasets import load_dataset\n\n"
        'rows = load_dataset("parquet", data_files="shards/*.parquet", split="train")\n```\n\n'
        "`messages` and `tools` are ready for TRL's `SFTTrainer` (`datasets` 4.7 or newer)."
    )


def fidelity_table(found: Mapping[str, Any]) -> str:
    """The figures against a real world, each with its count."""
    applies, refused = (found["precondition"][key] for key in ("applicable", "inapplicable"))
    effects, seen, replay = found["effects"], found["observation"], found["replay"]
    rows = [
        ("calls that apply, not refused", f"{applies['correct']:,} of {applies['n']:,}"),
        ("calls that do not apply, refused", f"{refused['correct']:,} of {refused['n']:,}"),
        ("effects exact", f"{effects['exact']:,} of {effects['n']:,}"),
        ("observations exact", f"{seen['exact']:,} of {seen['n']:,}"),
        ("fields of observations, F1", f"{seen['field_f1']:.3f}"),
    ]
    if replay["consistency_ratio"] is not None:
        rows.append(("consistency ratio", f"{replay['consistency_ratio']:.2f}"))
    text = f"Before the run its world model was measured against {code(found['world'])}:"
    return f"{text}\n\n{table(('world model', 'right'), rows)}"


def lineage_table(run: Mapping[str, Any]) -> str:
    """What a run was made of, from run.json's data."""
    pipeline = run["pipeline"]
    rows = [("run", code(run["run_id"])), ("seeds", listed(pipeline.get("seeds", ())))]
    for role, setting in pipeline.get("roles", {}).items():
        engine = setting if isinstance(setting, str) else setting["engine"]
        adapter = "" if isinstance(setting, str) else setting.get("adapter") or ""
        model = pipeline.get("engines", {}).get(engine, {})
        names = [model.get("model") or model.get("kind", engine), model.get("revision"), adapter]
        rows.append((f"{role} model", listed([name for name in names if name])))
    rows += [(f"{name} digest", code(value)) for name, value in run.get("digests", {}).items()]
    rows += [(f"{name} version", code(v)) for name, v in run.get("versions", {}).items()]
    return table(("lineage", ""), rows)


def _files() -> str:
    return (
        "`shards/` holds kept rows, `rejects/` rejected ones with reason codes, `dead/` tasks "
        "that could not be run. `plan.parquet` lists every task, `run.json` the settings, and "
        "`manifest.json` the sha256 and rows of every file."
    )


def listed(values: Iterable[Any]) -> str:
    """Values in code spans, with commas between."""
    return ", ".join(code(value) for value in values)


def code(value: Any) -> str:
    """A value in a code span, in which it can be no markup."""
    text = " ".join(str(value).replace("`", "'").replace("|", "\\|").split())
    return f"`{text}`" if text else ""


def table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    """A table of two columns."""
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows)])
