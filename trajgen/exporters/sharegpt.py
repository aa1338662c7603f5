"""LLaMA-Factory's ShareGPT form: odd turns human or observation, even ones gpt or function_call.

Several calls of one turn are one function_call with a list, and one observation, joined as
LLaMA-Factory joins them itself. Text beside a call stands before `<tool_call>` marks, which
its templates look for; `<` inside the JSON is escaped where it could be taken for such a mark.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pyarrow as pa

from trajgen.exporters import Exporter, Source, Unfit, View
from trajgen.exporters.columns import Tools, as_json
from trajgen.exporters.turns import Turn, system_of, text_and_calls_alone, turns, wanted
from trajgen.records import Json, Trajectory

JOINED = "\n</tool_response>\n<tool_response>\n"
CALL, END = "<tool_call>", "</tool_call>"
MARKS = (CALL, END, "<think>", "</think>")  # what LLaMA-Factory looks for in a function_call
_TURN = pa.struct([("from", pa.string()), ("value", pa.string())])
_TRAIN = """\
# llamafactory-cli train train.yaml   (LLaMA-Factory 0.9.5, in this folder)
model_name_or_path: {model}
template: qwen
stage: sft
do_train: true
finetuning_type: lora
lora_target: all
dataset_dir: .
dataset: {name}
{evaluated}cutoff_len: {max_length}
output_dir: saves/{name}
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 1.0
"""


class ShareGpt(Exporter):
    """`conversations` of {"from", "value"}, `system` and `tools` as text."""

    schema = pa.schema(
        {
            "conversations": pa.list_(pa.field("element", _TURN)),
            "system": pa.string(),
            "tools": pa.string(),
            "id": pa.string(),
            "n_tokens": pa.int32(),
        }
    )

    def __init__(self, source: Source) -> None:
        self._tools = Tools(lambda tools: as_json(list(tools)) if tools else "")

    def rows(self, trajectory: Trajectory) -> Iterator[dict[str, Json]]:
        system, messages = system_of(trajectory.messages)
        said = [entry for turn in turns(messages) for entry in _entries(turn)]
        yield {
            "conversations": [{"from": role, "value": value} for role, value in said],
            "system": system,
            "tools": self._tools(trajectory.tools),
            "id": trajectory.id,
            "n_tokens": trajectory.n_tokens,
        }

    def files(self, view: View) -> Mapping[str, str]:
        names = {split: _dataset(view.name, split) for split in view.splits}
        told = {
            names[split]: {
                "file_name": split,
                "formatting": "sharegpt",
                "columns": {"messages": "conversations", "system": "system", "tools": "tools"},
            }
            for split in view.splits
        }
        others = [name for split, name in names.items() if split != "train"]
        train = _TRAIN.format(
            model=json.dumps(view.model or "Qwen/Qwen2.5-7B-Instruct"),
            name=names["train"],
            evaluated=f"eval_dataset: {','.join(others)}\n" if others else "",
            max_length=view.max_length,
        )
        return {"dataset_info.json": json.dumps(told, indent=2) + "\n", "train.yaml": train}


def _dataset(name: str, split: str) -> str:
    return name if split == "train" else f"{name}_{split}"


def _entries(turn: Turn) -> Iterator[tuple[str, str]]:
    text_and_calls_alone(turn)
    message = turn.message
    if message["role"] == "user":
        yield "human", message["content"]
    elif not turn.answers:
        yield "gpt", message["content"]
    else:
        calls = [wanted(call) for call in message["tool_calls"]]
        yield "function_call", _calls(message["content"], calls)
        yield "observation", _joined([answer["content"] for answer in turn.answers])


def _calls(text: str, calls: list[Json]) -> str:
    made = as_json(calls if len(calls) > 1 else calls[0])
    if any(mark in made for mark in MARKS):
        made = made.replace("<", "\\u003c")
    if not text:
        return made
    if any(mark in text for mark in MARKS):
        raise Unfit("text beside a call holds marks that LLaMA-Factory reads as its own")
    return f"{text}\n{CALL}{made}{END}"


def _joined(observed: list[str]) -> str:
    if len(observed) > 1 and any(JOINED in text for text in observed):
        raise Unfit("an observation holds the mark that joins those of parallel calls")
    return JOINED.join(observed)
