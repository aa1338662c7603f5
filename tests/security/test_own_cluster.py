"""Our own Ray cluster lets nobody in."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.small_pipeline import environment, start, write_pipeline
from trajgen.cluster.own import alone

AUTH = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


class _FakeRay:
    """As much of Ray as is told; keeps what the environment said at each reading."""

    def __init__(self) -> None:
        self._private = self._raylet = self.ray_constants = self.Config = self
        self.node = self.Node = self
        self.AuthenticationTokenLoader = self
        self.ENABLE_RAY_CLUSTERS_ENV_VAR, self.ENABLE_RAY_CLUSTER = "RAY_CLUSTERS", True
        self.read: list[tuple[str | None, ...]] = []
        self.waited: list[int] = []

    def initialize(self, _: str) -> None:
        self.read.append(tuple(os.environ.get(name) for name in AUTH))

    def start_api_server(self) -> str:
        return "the dashboard"

    start_monitor = start_log_monitor = start_api_server

    def wait_for_persisted_port(self, *_: str, timeout_ms: int = 30_000) -> int:
        """As Ray's: it holds Python's lock for as long as it may wait."""
        self.waited.append(timeout_ms)
        if len(self.waited) < 4:
            raise RuntimeError("Timed out waiting for file")
        return 6379

    def instance(self) -> _FakeRay:
        return self

    def reset_cache(self) -> None:
        pass


def test_each_cluster_has_a_token_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in AUTH:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/of/another/cluster")
    ray: Any = _FakeRay()
    for _ in range(2):
        with alone(ray):
            assert ray.ENABLE_RAY_CLUSTER is False
            assert ray.start_api_server(include_dashboard=False) is None
            assert ray.start_monitor() is ray.start_log_monitor() is None
    (mode, first, path), after, (_, second, _), _ = ray.read
    assert (mode, path) == ("token", None)
    assert len(first) == len(second) == 64
    assert first != second
    assert after == ("disabled", None, "/of/another/cluster")
    assert ray.ENABLE_RAY_CLUSTER is True
    assert ray.start_api_server() == ray.start_log_monitor() == "the dashboard"
    assert "RAY_CLUSTERS" not in os.environ


def test_what_was_set_is_back_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    ray: Any = _FakeRay()
    with pytest.raises(RuntimeError, match="does not start"), alone(ray):
        raise RuntimeError("does not start")
    assert os.environ["RAY_AUTH_TOKEN"] == "mine"
    assert ray.read[-1][1] == "mine"


def test_ray_never_holds_pythons_lock_while_it_waits() -> None:
    """What stops a command has to run meanwhile; a Ray that is left may still be at it."""
    ray: Any = _FakeRay()
    with alone(ray):
        pass
    assert ray.wait_for_persisted_port("session", "node", "gcs", timeout_ms=1_000) == 6379
    assert ray.waited == [0, 0, 0, 0]
    ray.waited = []
    with alone(ray), pytest.raises(RuntimeError, match="Timed out"):
        ray.wait_for_persisted_port("session", "node", "gcs", timeout_ms=20)
    assert ray.waited == [0, 0]


# a real one


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psutil.Process]:
    """A run through Ray that is slow enough to be looked at."""
    folder = tmp_path_factory.mktemp("ray")
    script = {"delay_ms": 400}
    path = write_pipeline(
        folder, script, cluster={"address": "local"}, max_tasks=40_000, target=40_000
    )
    process = start("run", path, "--out", "run", cwd=folder)
    try:
        deadline = time.monotonic() + 120
        while not list(folder.glob("run/shards/*.parquet")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no shard within two minutes"
            time.sleep(0.2)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


@pytest.mark.slow
def test_every_socket_is_on_loopback(running: psutil.Process) -> None:
    listening = {
        (c.laddr.ip, c.laddr.port, p.name())
        for p in family(running)
        for c in p.net_connections("inet")
        if c.status == psutil.CONN_LISTEN
    }
    assert listening, "nothing listens: this is no cluster"
    here = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    assert {at for at in listening if at[0] not in here} == set()


def token_of(process: psutil.Process) -> str:
    (raylet,) = [p for p in family(process) if p.name() == "raylet"]
    return raylet.environ()["RAY_AUTH_TOKEN"]


@pytest.mark.slow
def test_the_token_is_in_no_command_line_and_no_log(running: psutil.Process) -> None:
    token = token_of(running)
    assert len(token) == 64
    said = [" ".join(p.cmdline()) for p in family(running)]
    assert not [line for line in said if token in line]
    (raylet,) = [p for p in family(running) if p.name() == "raylet"]
    session = next(a.split("=", 1)[1] for a in raylet.cmdline() if a.startswith("--session_dir="))
    logs = [path for path in Path(session).rglob("*") if path.is_file()]
    assert logs
    assert not [path for path in logs if token.encode() in path.read_bytes()]


ASK = """
import sys
from ray._raylet import GcsClient
try:
    nodes = GcsClient(address=sys.argv[1]).get_all_node_info(timeout=20)
    print("in", len(nodes))
except Exception as error:
    print("out", error)
"""


def answer(running: psutil.Process, token: str) -> str:
    """What the cluster's own server, which all who join ask first, says to a stranger."""
    (server,) = [p for p in family(running) if p.name() == "gcs_server"]
    port = next(c.laddr.port for c in server.net_connections("inet") if c.status == "LISTEN")
    theirs = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {}
    done = subprocess.run(
        [sys.executable, "-c", ASK, f"127.0.0.1:{port}"],
        env={k: v for k, v in environment(**theirs).items() if token or k not in AUTH},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.slow
def test_who_has_the_token_is_answered(running: psutil.Process) -> None:
    """Or nobody else would be refused for the want of it."""
    assert answer(running, token_of(running)).startswith("in 1")


@pytest.mark.slow
@pytest.mark.parametrize("token", ["", "0" * 64], ids=["none", "another"])
def test_nobody_else_joins(running: psutil.Process, token: str) -> None:
    said = answer(running, token)
    assert said.startswith("out")
    assert "token" in said.lower()
