"""A LoRA adapter merged into its model's weights, for engines that serve adapters slowly.

Crash rule: the merged folder is there whole or not at all.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from trajgen import telemetry
from trajgen.durable import placed_folder
from trajgen.errors import InputError, MachineError
from trajgen.process import run_module
from trajgen.weights import refuse_pickles


def merge(model: Path, adapter: Path, out: Path) -> None:
    """Write the model in folder `model` with `adapter` merged in to the new folder `out`:
    bfloat16 safetensors and the tokenizer.

    Raises InputError when a folder is not what it has to be, MachineError when it fails.
    """
    for folder, holds in ((model, "config.json"), (adapter, "adapter_config.json")):
        if not (folder / holds).is_file():
            raise InputError(f"there is no {holds}", str(folder))
        refuse_pickles(folder)
    if out.exists():
        raise InputError("this exists already", str(out))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    with placed_folder(out) as temporary:
        command = ["trajgen.merging", str(model), str(adapter), str(temporary)]
        if problem := run_module(command, environment):
            raise MachineError(
                f"the adapter could not be merged: {problem}", str(adapter), "See `trajgen doctor`."
            )


def _merge_here(model: str, adapter: str, out: str) -> None:
    telemetry.off()
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # float32 until the end: the sum is rounded once
    whole = AutoModelForCausalLM.from_pretrained(
        model, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
    )
    merged = PeftModel.from_pretrained(whole, adapter).merge_and_unload(safe_merge=True)
    merged.to(torch.bfloat16).save_pretrained(out)
    AutoTokenizer.from_pretrained(model, trust_remote_code=False).save_pretrained(out)


if __name__ == "__main__":
    _merge_here(*sys.argv[1:4])
