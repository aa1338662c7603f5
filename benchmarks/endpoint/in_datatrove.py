"""Runs in datatrove's environment: `python in_datatrove.py ORIGIN CONVERSATIONS FOLDER`.

A document is a conversation, and its rollout sends one request after the other. Tuned: as many
documents as `trajgen run` begins rollouts, as many generations as connections, no compression.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.writers import JsonlWriter


async def rollout(document, generate, requests):
    """The texts of the answers."""
    return [(await generate(dict(body))).text for body in requests[int(document.id)]]


def main() -> None:
    """Play a file of conversations."""
    origin, path, folder = sys.argv[1:]
    lines = Path(path).read_text("utf-8").splitlines()
    config = InferenceConfig(
        server_type="endpoint",
        model_name_or_path="mock",
        endpoint_url=origin,
        max_concurrent_generations=64,
        max_concurrent_documents=80,
        metric_interval=3600,
    )
    runner = InferenceRunner(
        rollout,
        config,
        JsonlWriter(folder, compression=None),
        shared_context={"requests": [json.loads(line) for line in lines]},
    )
    runner.run(Document(text="-", id=str(number)) for number in range(len(lines)))


if __name__ == "__main__":
    main()
