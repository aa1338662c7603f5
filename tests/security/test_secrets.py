"""A secret comes from the environment and goes to its server alone."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import trajgen
from tests.pipeline_files import job, load
from tests.small_pipeline import start, write_pipeline
from trajgen.cli import main
from trajgen.corpora import rows
from trajgen.engines.openai.connection import Connection
from trajgen.errors import InputError
from trajgen.ids import digest
from trajgen.loading import find
from trajgen.origin import run_seeds
from trajgen.run_record import existing_run
from trajgen.train.recipe import Recipe, load_recipe

KEY, PLACE, ASKED = "sk-canary-4d1f", "canary-path-77ab", "canary-query-e021"
CANARIES = (KEY, PLACE, ASKED)


class Telling(BaseHTTPRequestHandler):
    """A server that says everything it knows about a request, keys too."""

    def do_GET(self) -> None:
        self._answer(200, {"data": [{"id": "m"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        told = f"{self.path} {self.headers['Authorization']} refused"
        status = 302 if "again" in self.path else 401
        self._answer(status, {"error": {"message": told, "param": self.path}})

    def _answer(self, status: int, data: Any) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Location", f"http://{PLACE}/{self.headers['Authorization']}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    served = ThreadingHTTPServer(("127.0.0.1", 0), Telling)
    thread = threading.Thread(target=served.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    thread.join()
    served.server_close()


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("MY_PLACE", PLACE)
    monkeypatch.setenv("MY_QUERY", ASKED)


def pipeline(folder: Path, origin: str, **changes: Any) -> Path:
    """Everything about the server but its host comes from the environment."""
    engine = {
        "kind": "openai",
        "model": "m",
        "base_url": f"{origin}/${{MY_PLACE}}/v1?token=${{MY_QUERY}}",
        "api_key": "${MY_KEY}",
        "retries": 0,
        "start_timeout_s": 1,
    }
    return write_pipeline(folder, engines={"main": engine}, max_tasks=2, **changes)


def holding(folder: Path) -> list[str]:
    """The files that hold a secret."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if any(c.encode() in path.read_bytes() for c in CANARIES)]


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("place", ["", pytest.param("/again", marks=pytest.mark.slow)])
def test_a_server_that_says_the_key_back(
    server: str, place: str, tmp_path: Path, capsys: Any, caplog: Any
) -> None:
    path = pipeline(tmp_path / "job", server + place)
    code = main(["--debug", "run", str(path), "--out", str(tmp_path / "run")])
    told = capsys.readouterr()
    assert code == 0, told.err
    dead = (tmp_path / "run" / "dead" / "00000.jsonl").read_text()
    assert dead.count("the server answered") == 2
    assert holding(tmp_path) == []
    for text in (told.out, told.err, caplog.text):
        assert not [canary for canary in CANARIES if canary in text]
    saved = existing_run(tmp_path / "run")["pipeline"]["engines"]["main"]
    assert saved["base_url"] == f"{server}{place}/${{MY_PLACE}}/v1?token=${{MY_QUERY}}"
    assert "api_key" not in saved


@pytest.mark.usefixtures("secrets")
def test_a_server_that_is_not_there(tmp_path: Path, capsys: Any, caplog: Any) -> None:
    """--debug shows every error that led to the last one."""
    path = pipeline(tmp_path / "job", "http://127.0.0.1:9")
    assert main(["--debug", "run", str(path), "--out", str(tmp_path / "run")]) == 3
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "cannot be reached" in told
    assert not [canary for canary in CANARIES if canary in told + caplog.text]
    assert holding(tmp_path) == []


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("${MY_URL}", "http://canary-host.invalid:81/a-b/v1"),
        ("http://${MY_URL}/v1", "canary-host.invalid"),
        ("http://canary.example/${MY_URL}/v1", "p%20q with space"),
    ],
)
def test_no_part_of_an_address_from_the_environment_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, secret: str
) -> None:
    monkeypatch.setenv("MY_URL", secret)
    engines = {"main": {"kind": "openai", "model": "m", "base_url": url}}
    config = load(tmp_path / "p.yaml", job(engines=engines)).engines["main"]
    connection = Connection(config)
    said = connection.clean(f"Cannot connect to {connection._url.host}:81 {connection._url} x")
    for told in (said, connection.where):
        for part in (secret, "canary-host", "a-b", "p%20q", "p q", "with"):
            assert part not in told or part in url, told
    assert connection._url.host  # it is there, for whoever connects


def test_an_address_of_the_file_is_told(tmp_path: Path) -> None:
    engines = {"main": {"kind": "openai", "base_url": "http://127.0.0.1:8000/v1?token=x"}}
    config = load(tmp_path / "p.yaml", job(engines=engines)).engines["main"]
    assert Connection(config).where == "http://127.0.0.1:8000/v1"


# what is saved


def test_every_variable_is_saved_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X", "value-of-x")
    engines = {"main": {"kind": "vllm", "model": "org/${X}", "revision": "${X}"}}
    roles = {"user": "main", "agent": {"engine": "main", "adapter": "${X}"}, "world": "main"}
    variations = {"personas": ["plain", "a ${X}"]}
    data = job(seeds="${X}/seeds", engines=engines, roles=roles, variations=variations)
    made = load(tmp_path / "p.yaml", data, "prompts=${X}", limit=3)
    assert made.engines["main"].model == "org/value-of-x"
    assert made.variations.personas == ("plain", "a value-of-x")
    saved = made.saved()
    assert "value-of-x" not in json.dumps(saved)
    assert saved["seeds"] == ["${X}/seeds"]
    assert saved["engines"]["main"]["model"] == "org/${X}"
    assert saved["variations"]["personas"] == ["plain", "a ${X}"]
    assert saved["prompts"] == saved["roles"]["agent"]["adapter"] == "${X}"
    assert saved["max_tasks"] == 3


def test_the_value_decides_the_run_and_not_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = job(engines={"main": {"kind": "vllm", "model": "${X}"}})
    plain = job(engines={"main": {"kind": "vllm", "model": "one"}})
    digests = []
    for value in ("one", "two"):
        monkeypatch.setenv("X", value)
        digests.append(digest(load(tmp_path / "p.yaml", data).decisive()))
    assert digests[0] == digest(load(tmp_path / "q.yaml", plain).decisive())
    assert digests[0] != digests[1]


def test_a_recipe_is_saved_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X", "value-of-x")
    text = {
        "name": "one",
        "model": "${X}",
        "pipeline": "p.yaml",
        "data": {"world": {"from": ["${X}/run", "seeds/household"]}},
    }
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(text))
    recipe, _ = load_recipe(str(tmp_path / "r.yaml"))
    assert isinstance(recipe, Recipe)
    assert recipe.model == recipe.decisive()["model"] == "value-of-x"
    assert recipe.saved()["model"] == "${X}"
    assert recipe.saved()["data"]["world"]["from"] == ["${X}/run", "seeds/household"]


@pytest.mark.slow
def test_a_run_finds_its_seeds_by_the_variable_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(find("seeds/household"), tmp_path / "data" / "household")
    monkeypatch.setenv("DATA", str(tmp_path / "data"))
    path = write_pipeline(tmp_path, seeds="${DATA}/household")
    run = tmp_path / "run"
    trajgen.run(path, run, limit=2)
    assert existing_run(run)["pipeline"]["seeds"] == ["${DATA}/household"]
    assert set(run_seeds(run).domains) == {"household"}
    assert all(not isinstance(row, str) for _, row in rows(str(run), None))
    monkeypatch.setenv("DATA", str(tmp_path / "other"))
    with pytest.raises(InputError, match=r"\$\{DATA\}/household: no such file") as caught:
        run_seeds(run)
    assert str(tmp_path / "other") not in str(caught.value)
    monkeypatch.delenv("DATA")
    with pytest.raises(InputError, match=r"\$\{DATA\} is not set"):
        run_seeds(run)


@pytest.mark.slow
def test_another_value_is_another_run_and_says_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pipeline(tmp_path, variations={"personas": ["a ${WHO}"]})
    monkeypatch.setenv("WHO", "sailor")
    trajgen.run(path, tmp_path / "run", limit=2)
    monkeypatch.setenv("WHO", "baker")
    with pytest.raises(InputError, match=r"\$\{VAR\} may have another value"):
        trajgen.run(path, tmp_path / "run", limit=2)


# processes


@pytest.mark.slow
@pytest.mark.usefixtures("secrets")
def test_no_process_of_a_run_through_ray_shows_a_secret(server: str, tmp_path: Path) -> None:
    path = pipeline(tmp_path / "job", server, cluster={"address": "local"})
    process = start("--debug", "run", path, "--out", "run", cwd=tmp_path)
    sessions, said = set[Path](), list[str]()
    while process.poll() is None:
        for one in psutil.Process(process.pid).children(recursive=True):
            try:
                line = one.cmdline()
            except psutil.Error:
                continue
            said.append(" ".join(line))
            sessions |= {Path(a.split("=", 1)[1]) for a in line if a.startswith("--session_dir=")}
        for session in sessions:
            logs = [path for path in session.rglob("*") if path.is_file()]
            said += [
                path.read_text("utf-8", "replace") for path in logs if os.access(path, os.R_OK)
            ]
        time.sleep(1)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert sessions, "Ray was not seen"
    for text in (*said, out, err):
        assert not [canary for canary in CANARIES if canary in text]
    assert holding(tmp_path / "run") == []
