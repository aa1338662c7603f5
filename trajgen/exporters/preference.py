"""Pairs for DPO: two trajectories that are the same up to a turn of the agent, one of which
was kept, and one rejected for that very turn.

Such pairs come from branched or resampled steps. A run without them has none: trajectories of
different tasks hardly ever begin alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from trajgen.exporters import Exporter, Source, View
from trajgen.exporters.columns import JSON_LIST, Tools, json_texts
from trajgen.json_text import canonical
from trajgen.records import Json, Message, Trajectory
from trajgen.transitions import WRONG

_TRAIN = """\
# python train.py   (TRL 1.10 or newer, in this folder)
from datasets import load_dataset
from trl import DPOConfig, DPOTrainer

rows = load_dataset("parquet", data_files={files})
DPOTrainer(
    model={model},
    args=DPOConfig(max_length={max_length}, output_dir="out"),
    train_dataset=rows["train"],
).train()
"""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A turn that a trajectory was rejected for."""

    id: str
    code: str
    message: Message


class Preference(Exporter):
    """`prompt`, `chosen` and `rejected`, one turn of the agent each."""

    schema = pa.schema(
        {
            "prompt": JSON_LIST,
            "chosen": JSON_LIST,
            "rejected": JSON_LIST,
            "tools": JSON_LIST,
            "reason": pa.string(),
            "id": pa.string(),
            "rejected_id": pa.string(),
        }
    )
    without_rows = (
        "it has no branched or resampled steps, that is, no trajectory that was rejected for a "
        "turn of the agent before which it was the same as one that was kept"
    )

    def __init__(self, source: Source) -> None:
        self._tools = Tools(json_texts)
        self._turns: dict[bytes, list[_Turn]] = {}
        for trajectory in source.run.rows(rejected=True):
            self._add(trajectory)

    def rows(self, trajectory: Trajectory) -> Iterator[dict[str, Json]]:
        written = json_texts(trajectory.messages)
        for at, before in enumerate(_beginnings(trajectory)):
            chosen = trajectory.messages[at]
            for turn in self._turns.get(before, ()):
                if chosen["role"] == "assistant" and turn.message != chosen:
                    yield {
                        "prompt": written[:at],
                        "chosen": written[at : at + 1],
                        "rejected": json_texts([turn.message]),
                        "tools": self._tools(trajectory.tools),
                        "reason": turn.code,
                        "id": trajectory.id,
                        "rejected_id": turn.id,
                    }

    def files(self, view: View) -> Mapping[str, str]:
        train = _TRAIN.format(
            files=json.dumps({split: f"{split}/*.parquet" for split in view.splits}),
            model=json.dumps(view.model or "Qwen/Qwen2.5-0.5B-Instruct"),
            max_length=view.max_length,
        )
        return {"train.py": train}

    def _add(self, rejected: Trajectory) -> None:
        """Remember the turn that was to blame first, if it was one of the agent."""
        reasons = (rejected.scores or {}).get("reasons", ())
        blamed = [(r["at"], r["code"]) for r in reasons if r["at"] is not None]
        at, code = min(blamed, default=(len(rejected.messages), ""))
        if at >= len(rejected.messages):
            return
        message = rejected.messages[at]
        worlds = code in WRONG and "tool_calls" in message  # said of a call, not of a word
        if message["role"] == "assistant" and not worlds:
            before = list(_beginnings(rejected))[at]
            turns = self._turns.setdefault(before, [])
            turns.append(_Turn(rejected.id, code, message))


def _beginnings(trajectory: Trajectory) -> Iterator[bytes]:
    """For each message a digest of the domain and of everything before it."""
    seen = hashlib.sha256(canonical(trajectory.domain).encode())
    for message in trajectory.messages:
        yield seen.digest()
        seen.update(canonical(message).encode("utf-8", "surrogatepass"))
