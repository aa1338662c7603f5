"""ms-swift's own form: every message is a role and text; calls and results are roles.

Each call is a `tool_call` with JSON text, each result a `tool_response`; text beside calls is
an assistant message before them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pyarrow as pa

from trajgen.exporters import Exporter, Source, View
from trajgen.exporters.columns import Tools, as_json
from trajgen.exporters.turns import Turn, system_of, text_and_calls_alone, turns, wanted
from trajgen.records import Json, Trajectory

_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
_TRAIN = """\
# bash train.sh   (ms-swift 4, in this folder; --agent_template is that of your model)
swift sft \\
  --model {model} \\
  --dataset train/*.parquet \\
{evaluated}  --agent_template hermes \\
  --tuner_type lora \\
  --max_length {max_length} \\
  --loss_scale default
"""


class Swift(Exporter):
    """`messages` of {"role", "content"}, `tools` as text."""

    schema = pa.schema(
        {
            "messages": pa.list_(pa.field("element", _MESSAGE)),
            "tools": pa.string(),
            "id": pa.string(),
            "n_tokens": pa.int32(),
        }
    )

    def __init__(self, source: Source) -> None:
        self._tools = Tools(lambda tools: as_json(list(tools)))

    def rows(self, trajectory: Trajectory) -> Iterator[dict[str, Json]]:
        system, messages = system_of(trajectory.messages)
        said = [("system", system)] if system else []
        said += [entry for turn in turns(messages) for entry in _entries(turn)]
        yield {
            "messages": [{"role": role, "content": content} for role, content in said],
            "tools": self._tools(trajectory.tools),
            "id": trajectory.id,
            "n_tokens": trajectory.n_tokens,
        }

    def files(self, view: View) -> Mapping[str, str]:
        others = " ".join(f"{split}/*.parquet" for split in view.splits if split != "train")
        train = _TRAIN.format(
            model=json.dumps(view.model or "Qwen/Qwen2.5-7B-Instruct"),
            evaluated=f"  --val_dataset {others} \\\n" if others else "",
            max_length=view.max_length,
        )
        return {"train.sh": train}


def _entries(turn: Turn) -> Iterator[tuple[str, str]]:
    text_and_calls_alone(turn)
    message = turn.message
    calls = message.get("tool_calls", ())
    if message["content"] or not calls:
        yield message["role"], message["content"]
    for call in calls:
        yield "tool_call", as_json(wanted(call))
    for answer in turn.answers:
        yield "tool_response", answer["content"]
