"""A tiny model, its recipe and its examples; as a program, a training that can be killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from trajgen import cli
from trajgen.train import command
from trajgen.train.examples import Example
from trajgen.train.progress import Progress

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
RECIPE = """
name: small
model: {model}
pipeline: pipelines/smoke.yaml
data: {{world: {{from: [there]}}, agent: {{from: [here]}}}}
tune: {tune}
optimizer: {{batch: 4, accumulate: 2, epochs: 2, learning_rate: 3.0e-2, warmup: 0.1}}
precision: float32
checkpoints: {{every: 4}}
"""
STEPS = 50  # of 200 examples, twice, 8 a step


def message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def examples(*_: Any) -> list[Example]:
    """A world that reverses a word; an agent that counts on, in two turns."""
    made = []
    for i in range(100):
        word = "abcdefgh"[i % 8] * (i % 5 + 1) + "z"
        told = (message("system", "reverse"), message("user", word))
        made.append(Example("world", (*told, message("assistant", word[::-1]))))
        asked = [message("user", str(i)), message("assistant", str(i + 1))]
        more = [message("user", str(i + 2)), message("assistant", str(i + 3))]
        made.append(Example("agent", (*asked, *more)))
    return made


def save_model(folder: Path) -> Path:
    """A random two-layer llama with a byte tokenizer, as a folder that can be loaded."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def write_recipe(path: Path, model: Path | str, tune: str = "{method: lora, r: 4}") -> Path:
    path.write_text(RECIPE.format(model=model, tune=tune))
    return path


def main(recipe: str, out: str, *overrides: str) -> int:
    """`trajgen train` on `examples`, slowly enough to be killed at a step; the exit code."""
    step = Progress.step

    def slow(self: Progress, *values: Any) -> None:
        step(self, *values)
        time.sleep(0.01)

    command.make_examples = examples
    Progress.step = slow  # type: ignore[method-assign]
    sets = (part for override in overrides for part in ("--set", override))
    return cli.main(["train", recipe, "--out", out, *sets])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
