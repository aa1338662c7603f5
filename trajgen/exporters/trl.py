"""TRL: the shards' own columns, and one row for each turn of the agent.

Stock templates of reasoning models leave the thoughts of earlier turns out; with a row a turn
each is the last one once, and is learnt.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pyarrow as pa

from trajgen.exporters import Exporter, Source, View
from trajgen.exporters.columns import JSON_LIST, Tools, json_texts
from trajgen.records import Json, Trajectory

_TRAIN = """\
# python train.py   (TRL 1.10 or newer, in this folder)
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

rows = load_dataset("parquet", data_files={files})
SFTTrainer(
    model={model},
    args=SFTConfig(
        {loss}=True,
        max_length={max_length},
        output_dir="out",
    ),
    train_dataset=rows["train"],
{evaluated}).train()
"""


def training_script(view: View, loss: str, model: str) -> str:
    """A script that trains on a view; `loss` is the setting that says on what."""
    others = [split for split in view.splits if split != "train"]
    return _TRAIN.format(
        files=json.dumps({split: f"{split}/*.parquet" for split in view.splits}),
        model=json.dumps(view.model or model),
        loss=loss,
        max_length=view.max_length,
        evaluated=f"    eval_dataset=rows[{json.dumps(others[0])}],\n" if others else "",
    )


class Trl(Exporter):
    """`messages` and `tools` as lists of Arrow JSON."""

    schema = pa.schema(
        {"messages": JSON_LIST, "tools": JSON_LIST, "id": pa.string(), "n_tokens": pa.int32()}
    )

    def __init__(self, source: Source) -> None:
        self._tools = Tools(json_texts)

    def rows(self, trajectory: Trajectory) -> Iterator[dict[str, Json]]:
        yield {
            "messages": json_texts(trajectory.messages),
            "tools": self._tools(trajectory.tools),
            "id": trajectory.id,
            "n_tokens": trajectory.n_tokens,
        }

    def files(self, view: View) -> Mapping[str, str]:
        model = "Qwen/Qwen2.5-0.5B-Instruct"
        return {"train.py": training_script(view, "assistant_only_loss", model)}


class TrlUnroll(Exporter):
    """`prompt`, everything before a turn of the agent, and `completion`, that turn."""

    schema = pa.schema(
        {
            "prompt": JSON_LIST,
            "completion": JSON_LIST,
            "tools": JSON_LIST,
            "id": pa.string(),
            "turn": pa.int32(),
        }
    )

    def __init__(self, source: Source) -> None:
        self._tools = Tools(json_texts)

    def rows(self, trajectory: Trajectory) -> Iterator[dict[str, Json]]:
        written = json_texts(trajectory.messages)
        for at, message in enumerate(trajectory.messages):
            if message["role"] == "assistant" and at:
                yield {
                    "prompt": written[:at],
                    "completion": written[at : at + 1],
                    "tools": self._tools(trajectory.tools),
                    "id": trajectory.id,
                    "turn": at,
                }

    def files(self, view: View) -> Mapping[str, str]:
        return {"train.py": training_script(view, "completion_only_loss", "Qwen/Qwen3-0.6B")}
