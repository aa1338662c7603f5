"""verl: Parquet of plain dicts, and the class that reads them.

pandas, which verl reads with, fills absent keys with nulls, and no column can hold the
arguments of different tools as dicts without lending each the keys of the others. So
arguments and tools are JSON text, and `trajectories.py` gives verl the messages as they were.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pyarrow as pa

from trajgen.exporters import Exporter, Source, View
from trajgen.exporters.columns import TEXT_LIST, Tools, plain, plain_messages, texts
from trajgen.records import Json, Trajectory

_DATASET = '''\
"""Trajectories for verl: nulls are absent keys, arguments and tools are JSON text."""

import json

from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset


class Trajectories(MultiTurnSFTDataset):
    def _read_files_and_process(self):
        super()._read_files_and_process()
        self.messages = [[message_of(m) for m in messages] for messages in self.messages]
        self.tools = [[json.loads(tool) for tool in tools] for tools in self.tools]

    def _build_messages(self, example):
        return [message_of(message) for message in super()._build_messages(example)]


def message_of(message):
    kept = {key: value for key, value in message.items() if value is not None}
    for call in kept.get("tool_calls", ()):
        if isinstance(call["function"]["arguments"], str):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return kept
'''
_TRAIN = """\
# bash train.sh   (verl 0.9, in this folder)
torchrun --nproc_per_node=1 -m verl.trainer.sft_trainer \\
  model.path={model} \\
  data.train_files="[$(ls train/*.parquet | paste -sd,)]" \\
{evaluated}  data.custom_cls.path=trajectories.py data.custom_cls.name=Trajectories \\
  data.max_length={max_length} \\
  trainer.project_name={name} trainer.experiment_name=sft
"""


class Verl(Exporter):
    """`messages` as plain dicts with `arguments` as JSON text, `tools` as a list of text."""

    schema = pa.schema(
        {
            "messages": plain_messages(),
            "tools": TEXT_LIST,
            "id": pa.string(),
            "n_tokens": pa.int32(),
        }
    )

    def __init__(self, source: Source) -> None:
        self._tools = Tools(texts)

    def rows(self, trajectory: Trajectory) -> Iterator[dict[str, Json]]:
        yield {
            "messages": plain(trajectory.messages),
            "tools": self._tools(trajectory.tools),
            "id": trajectory.id,
            "n_tokens": trajectory.n_tokens,
        }

    def files(self, view: View) -> Mapping[str, str]:
        others = [split for split in view.splits if split != "train"]
        evaluated = f'  data.val_files="[$(ls {others[0]}/*.parquet | paste -sd,)]" \\\n'
        train = _TRAIN.format(
            model=json.dumps(view.model or "Qwen/Qwen2.5-7B-Instruct"),
            evaluated=evaluated if others else "",
            name=view.name,
            max_length=view.max_length,
        )
        return {"trajectories.py": _DATASET, "train.sh": train}
