"""Names from data never lead out of a folder, and never to what is no plain file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from crash.small_run import open_run, run_all

import trajgen
from tests.pipeline_files import job, mistake
from trajgen.errors import InputError, MachineError
from trajgen.loading import at_home, find, plain_file
from trajgen.run_record import read_manifest, read_record, record_bytes
from trajgen.seeds import load_seeds
from trajgen.status import status
from trajgen.verify import verify

HOUSEHOLD = find("seeds/household")


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/../../x", "a/..", "/etc/passwd", "//etc", "a\0b", "\0"),
        *("out", "out/secret"),
    ],
)
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    (tmp_path / "elsewhere").mkdir()
    home.mkdir()
    (home / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError):
        at_home(home, name)


def test_a_name_inside_is_that_path(tmp_path: Path) -> None:
    (tmp_path / "home" / "a").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "home")  # the home itself may be a link
    for home in (tmp_path / "home", tmp_path / "link"):
        assert at_home(home, "a/b.jsonl") == home / "a" / "b.jsonl"
        assert at_home(home, "..a") == home / "..a"


@pytest.mark.parametrize("what", ["folder", "pipe", "device"])
def test_what_is_read_is_a_plain_file(tmp_path: Path, what: str) -> None:
    if what == "folder":
        (tmp_path / "x").mkdir()
    elif what == "pipe":
        os.mkfifo(tmp_path / "x")
    else:
        (tmp_path / "x").symlink_to("/dev/zero")
    with pytest.raises(InputError):
        plain_file(tmp_path, "x")
    assert plain_file(tmp_path, "not_there") == tmp_path / "not_there"


@pytest.mark.parametrize(
    "name", ["domain.yaml", "policy.md", "tools.json", "state.json", "trajectories.jsonl"]
)
def test_a_domain_cannot_show_a_file_of_somebody_else(tmp_path: Path, name: str) -> None:
    """A policy that is a link to a private key would go to the model, word for word."""
    (tmp_path / "private").write_text("a private key")
    domain = Path(shutil.copytree(HOUSEHOLD, tmp_path / "domain"))
    (domain / name).unlink(missing_ok=True)
    (domain / name).symlink_to(tmp_path / "private")
    with pytest.raises(InputError, match="link out of its folder") as caught:
        load_seeds((str(domain),))
    assert caught.value.where == str(domain / name)


@pytest.mark.parametrize("name", ["../out", "/tmp/x", "a/b", "a\0", "..", "~root", "-rf", "nul\n"])
def test_the_name_of_a_run_is_one_folder(tmp_path: Path, name: str) -> None:
    assert "cannot name a folder" in mistake(tmp_path / "p.yaml", job(name=name))


# run folders that somebody else made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "run"
    run_all(path)
    return path


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def rewritten(run: Path, **changes: Any) -> None:
    """The manifest with changes, sealed anew as anybody can."""
    record = read_record(run / "manifest.json")
    assert record is not None
    (run / "manifest.json").write_bytes(record_bytes(record | changes))


@pytest.mark.parametrize(
    "name",
    [
        *("/etc/passwd", "../secret", "shards/../../secret", "shards/x.parquet", "logs/x", ""),
        *("/dev/zero", "shards/train-00000.parquet\0", "dead/00000.parquet"),
    ],
)
def test_a_manifest_names_files_of_its_run_alone(run: Path, name: str) -> None:
    files = (read_manifest(run) or {})["files"]
    rewritten(run, files={**files, name: {"sha256": "0" * 64, "bytes": 0}})
    assert read_manifest(run) is None
    assert {"file": "manifest.json", "what": "is damaged"} in verify(run)
    with pytest.raises(MachineError, match="is damaged"):
        trajgen.open(run)


@pytest.mark.parametrize(
    "changes",
    [
        *({"files": {}}, {"files": []}, {"files": {"run.json": 1}}, {"totals": {}}, {"totals": 1}),
        *({"name": None}, {"digest": 1}, {"run_id": []}),
    ],
)
def test_a_manifest_of_another_form_is_damaged(run: Path, changes: dict[str, Any]) -> None:
    rewritten(run, **changes)
    assert status(run)["complete"] is False
    assert {"file": "manifest.json", "what": "is damaged"} in verify(run)


@pytest.mark.parametrize(
    "changes", [{"pipeline": {}}, {"pipeline": {"shards": {"rows": 0}}}, {"planned": "1"}]
)
def test_a_run_of_another_form_is_damaged(run: Path, changes: dict[str, Any]) -> None:
    record = read_record(run / "run.json")
    assert record is not None
    (run / "run.json").write_bytes(record_bytes(record | changes))
    with pytest.raises(InputError, match="is damaged"):
        status(run)


@pytest.mark.parametrize(
    "name",
    [
        *("run.json", "shards", "logs/driver.lock", "shards/.tmp-train-00001.parquet"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                *("manifest.json", "plan.parquet", "quarantine.jsonl", "rejects", "dead", "logs"),
                *("shards/train-00001.parquet", "dead/00000.jsonl", "corrupt"),
            )
        ),
    ],
)
def test_no_part_of_a_run_is_a_link(run: Path, name: str, tmp_path: Path) -> None:
    """What is written to a link lands elsewhere: a lock file cuts its target to nothing."""
    victim = tmp_path / "victim"
    path = run / name
    if path.is_dir():
        path.rename(victim)
    else:
        victim.write_text("precious")
        path.unlink(missing_ok=True)
    path.symlink_to(victim)
    for read in (status, verify, trajgen.open, open_run):
        with pytest.raises(InputError, match="no plain file") as caught:
            read(run)
        assert caught.value.where == str(path)
    assert victim.is_dir() or victim.read_text() == "precious"


def test_a_pipe_in_a_run_does_not_stop_its_reader(run: Path) -> None:
    (run / "shards" / "train-00001.parquet").unlink()
    os.mkfifo(run / "shards" / "train-00001.parquet")
    with pytest.raises(InputError, match="no plain file"):
        verify(run)


def test_a_run_folder_as_a_whole_may_be_a_link(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run)
    assert verify(tmp_path / "link") == []
    assert len(trajgen.open(tmp_path / "link")) == len(trajgen.open(run))
