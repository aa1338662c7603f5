"""Weights are read from safetensors alone: a pickle runs the code of whoever made it."""

from __future__ import annotations

from pathlib import Path

from trajgen.errors import InputError

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def refuse_pickles(folder: Path) -> None:
    """Raise InputError when the weights in `folder` are pickles; those beside safetensors are not
    read."""
    if any(folder.glob("*.safetensors")):
        return
    found = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if found:
        raise InputError(
            f"the weights here are pickles ({', '.join(found[:3])}), which can run code when read",
            str(folder),
            "Save them as safetensors, as `save_pretrained` of transformers and PEFT does.",
        )
