"""Axolotl 0.19: its data set settings, its chat template strategy, its labels."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import yaml
from transformers import AutoTokenizer

from tests.trainers import bare, stand_in

bare("axolotl", "axolotl.utils", "axolotl.utils.schemas", "axolotl.prompt_strategies")
stand_in("axolotl.utils.distributed", is_main_process=lambda: True)

from axolotl.prompt_strategies.chat_template import (  # noqa: E402
    ChatTemplatePrompter,
    ChatTemplateStrategy,
)
from axolotl.utils.schemas.datasets import SFTDataset  # noqa: E402


def main(view: str, model: str, template: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = Path(template).read_text("utf-8")
    settings = yaml.safe_load(Path(view, "train.yaml").read_text("utf-8"))
    rows = learnt = 0
    for described in (*settings["datasets"], *settings.get("test_datasets", ())):
        chosen = SFTDataset.model_validate(described)
        assert chosen.type == "chat_template"
        strategy = _strategy(tokenizer, chosen, settings["sequence_len"])
        for row in datasets.load_dataset(str(Path(view, chosen.path)), split=chosen.split):
            learnt += _checked(strategy, tokenizer, row)
            rows += 1
    sys.stdout.write(json.dumps({"rows": rows, "learnt": learnt}))


def _strategy(tokenizer: Any, chosen: Any, length: int) -> Any:
    prompter = ChatTemplatePrompter(
        tokenizer,
        chat_template=tokenizer.chat_template,
        max_length=length,
        message_field_training=chosen.message_field_training,
    )
    return ChatTemplateStrategy(
        prompter,
        tokenizer,
        train_on_inputs=False,
        sequence_len=length,
        roles_to_train=chosen.roles_to_train,
        train_on_eos=chosen.train_on_eos,
    )


def _checked(strategy: Any, tokenizer: Any, row: dict[str, Any]) -> int:
    """The whole text is the template's of the messages; what is learnt is what the agent says
    and calls. How many tokens that is."""
    made = strategy.tokenize_prompt(row)
    messages = [_message(m) for m in row["messages"]]
    text = tokenizer.apply_chat_template(messages, tools=json.loads(row["tools"]), tokenize=False)
    assert made["input_ids"] == tokenizer.encode(text, add_special_tokens=False), row["id"]
    pairs = zip(made["input_ids"], made["labels"], strict=True)
    learnt = [token for token, label in pairs if label != -100]
    assert tokenizer.decode(learnt) == "".join(_answers(tokenizer, messages)), row["id"]
    return len(learnt)


def _answers(tokenizer: Any, messages: list[dict[str, Any]]) -> Iterator[str]:
    """What the agent writes, turn by turn, with the token that ends it."""
    write = tokenizer.apply_chat_template
    for at, message in enumerate(messages):
        if message["role"] == "assistant":
            before = write(messages[:at], add_generation_prompt=True, tokenize=False)
            yield write(messages[: at + 1], tokenize=False).removeprefix(before).rstrip("\n")


def _message(message: dict[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in message.items() if v is not None and k != "train"}
    for call in kept.get("tool_calls", ()):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return kept


if __name__ == "__main__":
    main(*sys.argv[1:])
