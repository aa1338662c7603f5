"""Axolotl's `type: chat_template`: plain messages, each with whether it is trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pyarrow as pa

from trajgen.exporters import Exporter, Source, View
from trajgen.exporters.columns import Tools, as_json, plain, plain_messages
from trajgen.records import Json, Trajectory

_TRAIN = """\
# axolotl train train.yaml   (in this folder)
base_model: {model}
datasets:
{train}{evaluated}sequence_len: {max_length}
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
micro_batch_size: 1
gradient_accumulation_steps: 8
num_epochs: 1
optimizer: adamw_torch
learning_rate: 0.0001
output_dir: out
"""
_DATASET = """\
  - path: {split}
    split: train
    type: chat_template
    roles_to_train: []
    message_field_training: train
    train_on_eos: turn
"""


class Axolotl(Exporter):
    """`messages` with `arguments` as JSON text and a `train` each, `tools` as text."""

    schema = pa.schema(
        {
            "messages": plain_messages(train=pa.bool_()),
            "tools": pa.string(),
            "id": pa.string(),
            "n_tokens": pa.int32(),
        }
    )

    def __init__(self, source: Source) -> None:
        self._tools = Tools(lambda tools: as_json(list(tools)))

    def rows(self, trajectory: Trajectory) -> Iterator[dict[str, Json]]:
        yield {
            "messages": [
                {**message, "train": message["role"] == "assistant"}
                for message in plain(trajectory.messages)
            ],
            "tools": self._tools(trajectory.tools),
            "id": trajectory.id,
            "n_tokens": trajectory.n_tokens,
        }

    def files(self, view: View) -> Mapping[str, str]:
        others = [_DATASET.format(split=split) for split in view.splits if split != "train"]
        train = _TRAIN.format(
            model=json.dumps(view.model or "Qwen/Qwen2.5-7B-Instruct"),
            train=_DATASET.format(split="train"),
            evaluated=f"test_datasets:\n{''.join(others)}" if others else "",
            max_length=view.max_length,
        )
        return {"train.yaml": train}
