"""Runs in Data Designer's environment: `python in_data_designer.py ORIGIN CONVERSATIONS FOLDER`.

A row is a conversation, and an async custom column sends one request after the other. Tuned: one
row group, every row in flight, as many parallel requests as connections, no early shutdown.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import data_designer.config as dd
import pandas as pd
from data_designer.engine.models.utils import ChatMessage
from data_designer.interface import DataDesigner

CONVERSATIONS: list[list[dict]] = []
PASSED_ON = ("max_tokens", "temperature", "top_p", "seed", "response_format")


@dd.custom_column_generator(required_columns=["number"], model_aliases=["mock"])
async def texts(row, generator_params, models):
    """The texts of the answers, as JSON."""
    said = []
    for body in CONVERSATIONS[int(row["number"])]:
        messages = [ChatMessage(m["role"], m["content"]) for m in body["messages"]]
        sampling = {key: body[key] for key in PASSED_ON if key in body}
        answer = await models["mock"].acompletion(messages, **sampling)
        said.append(answer.message.content)
    return {**row, "texts": json.dumps(said)}


def main() -> None:
    """Play a file of conversations."""
    origin, path, folder = sys.argv[1:]
    lines = Path(path).read_text("utf-8").splitlines()
    CONVERSATIONS.extend(json.loads(line) for line in lines)
    model = dd.ModelConfig(
        alias="mock",
        model="mock",
        provider="mock",
        skip_health_check=True,
        inference_parameters=dd.ChatCompletionInferenceParams(
            max_parallel_requests=64, timeout=120
        ),
    )
    provider = dd.ModelProvider(name="mock", endpoint=f"{origin}/v1")
    designer = DataDesigner(artifact_path=Path(folder), model_providers=[provider])
    designer.set_run_config(
        dd.RunConfig(
            buffer_size=len(lines),
            disable_early_shutdown=True,
            otel_metrics_port=None,
            progress_interval=3600.0,
        )
    )
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    numbers = pd.DataFrame({"number": range(len(lines))})
    builder.with_seed_dataset(dd.DataFrameSeedSource(df=numbers))
    builder.add_column(dd.CustomColumnConfig(name="texts", generator_function=texts))
    designer.create(builder, num_records=len(lines), dataset_name="texts")


if __name__ == "__main__":
    main()
