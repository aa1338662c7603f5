"""A run's shards, as written, in the hands of TRL (slow: the real trainer on the CPU)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import trajgen

SMOKE = ["cluster.address=inline", "shards.rows=12"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_trl_takes_two_optimizer_steps_on_the_shards(tmp_path: Path) -> None:
    import torch
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from trajgen.models import local_path

    trajgen.run("pipelines/smoke.yaml", tmp_path / "run", 24, SMOKE)
    files = str(tmp_path / "run" / "shards" / "*.parquet")
    rows = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "hf"))
    folder = local_path("smollm2-135m")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = _with_tools()
    settings = SFTConfig(
        output_dir=str(tmp_path / "out"),
        max_steps=2,
        per_device_train_batch_size=1,
        max_length=512,
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        logging_steps=1,
    )
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    trainer = SFTTrainer(model=model, args=settings, train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    assert trainer.state.global_step == 2
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 2
    assert all(0 < loss < 20 for loss in losses)
    _tools_reached_the_text(tokenizer, rows[0])


def _tools_reached_the_text(tokenizer: object, row: dict[str, object]) -> None:
    text = tokenizer.apply_chat_template(  # type: ignore[attr-defined]
        row["messages"], tools=row["tools"], tokenize=False
    )
    calls = [m for m in row["messages"] if m.get("tool_calls")]  # type: ignore[attr-defined]
    for message in calls:
        for call in message["tool_calls"]:
            assert json.dumps(call["function"]["arguments"]) in text
    assert "None" not in text


def _with_tools() -> str:
    """A ChatML template that writes tools and calls: the small model's own knows none."""
    return (
        "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "{% for c in m.tool_calls or [] %}\n{{ c.function.name }} "
        "{{ c.function.arguments | tojson }}{% endfor %}<|im_end|>\n{% endfor %}"
    )
