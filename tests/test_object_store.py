"""The door to object stores: what a URL may be, and that every call ends with an error of ours."""

from __future__ import annotations

import asyncio
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from memory_store import memory

from trajgen.errors import Conflict, InputError, MachineError
from trajgen.loading import user_path
from trajgen.object_store import ObjectStore, Version, open_store
from trajgen.objects import place_of

SECRET = "hunter2"


@contextmanager
def answering(
    status: int, monkeypatch: pytest.MonkeyPatch, heard: list[Message] | None = None
) -> Iterator[ObjectStore]:
    """A store whose server gives every request this status; 0: no answer at all. What it is
    sent is `heard`."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            if heard is not None:
                heard.append(self.headers)
            if status == 0:
                over.wait(20)
                return
            body = f"<Error><Code>Told</Code><Key>{status}</Key></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    try:
        yield open_store("s3://bucket/runs/x").twin(0.5)
    finally:
        over.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "url",
    [
        *("s3://", "s3://bucket//x", "s3://bucket/../x", "s3://bucket/./x", "s3://bucket/a b"),
        *(f"s3://key:{SECRET}@bucket/x", f"s3://bucket/x?secret={SECRET}", "s3://bucket/x#y"),
        *("s3://bucket/%2e%2e", "s3://bucket/x*", "http://host/x", "file:///x", "://x"),
    ],
)
def test_a_url_is_a_bucket_and_a_prefix_and_nothing_else(url: str) -> None:
    """Whatever else it holds is refused, and not repeated: it may be a secret."""
    with pytest.raises(InputError, match="bucket/prefix") as refused:
        place_of(url)
    assert SECRET not in str(refused.value)


def test_only_a_run_may_lie_in_a_store() -> None:
    with pytest.raises(InputError, match="only a run") as refused:
        user_path(f"s3://key:{SECRET}@bucket/x")
    assert SECRET not in str(refused.value)
    assert user_path("runs/x") == place_of("runs/x")


@pytest.mark.parametrize(
    ("url", "kind"), [("s3://b/x", "S3"), ("gs://b/x", "GCS"), ("az://b/x", "Azure")]
)
def test_every_scheme_is_opened(url: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "somebody")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "aGVsbG8=")
    store = open_store(f"{url}/")
    assert store.url == url
    assert kind in repr(store._raw)


def test_an_azure_account_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(InputError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        open_store("az://b/x")


def test_versions_are_kept_apart() -> None:
    """Over nothing, or over the version that was seen: who comes second has a conflict."""
    store = memory().store
    first = store.put("a", b"1", None)
    with pytest.raises(Conflict):
        store.put("a", b"2", None)
    second = store.put("a", b"2", first)
    for stale in (first, Version('"99"')):
        with pytest.raises(Conflict):
            store.put("a", b"3", stale)
    with pytest.raises(Conflict):
        store.put("b", b"3", second)
    assert store.get("a")[0] == b"2"


def test_what_is_not_there_is_not_found_and_may_be_deleted() -> None:
    store = memory().store
    with pytest.raises(FileNotFoundError, match="memory://run/a"):
        store.get("a")
    with pytest.raises(FileNotFoundError):
        store.head("a")
    store.delete("a")


def test_a_guard_stands_before_every_change_and_no_reading() -> None:
    store = memory().store
    store.put("a", b"1", None)

    def refuse() -> None:
        raise Conflict("no")

    store.guard = refuse
    for change in (
        lambda: store.put("b", b"", None),
        lambda: store.copy("a", "b"),
        lambda: store.delete("a"),
    ):
        with pytest.raises(Conflict, match="no"):
            change()
    assert store.list("") == ([], {"a": 1})


def test_a_store_that_refuses_is_a_machine_error_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with answering(403, monkeypatch) as store:
        for call in (lambda: store.get("a"), lambda: store.put("a", b"", None)):
            with pytest.raises(MachineError, match=r"403 Forbidden.*<Key>403") as failed:
                call()
            assert SECRET not in str(failed.value)
            assert not isinstance(failed.value, Conflict)


def test_a_put_says_what_has_to_arrive_and_over_what(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its SHA-256, and that nothing, or this version, may be there; in one request."""
    heard: list[Message] = []
    data = bytes(range(256)) * 50_000
    with answering(403, monkeypatch, heard) as store:
        for over in (None, Version('"tag"')):
            with pytest.raises(MachineError):
                store.put("a", data, over)
    first, second = heard
    assert first["x-amz-checksum-sha256"] == b64encode(sha256(data).digest()).decode()
    assert first["Content-Length"] == str(len(data))
    assert (first["If-None-Match"], second["If-Match"]) == ("*", '"tag"')


def test_a_silent_store_is_left_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(0, monkeypatch) as store:
        began = time.monotonic()
        with pytest.raises(MachineError, match="does not answer in time"):
            store.put("a", b"", None)
        assert 0.4 < time.monotonic() - began < 10


def test_calls_under_way_and_later_ones_end_with_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What `end` is for: a driver that has to stop waits no limit out."""
    with answering(0, monkeypatch) as store:
        store.limit_s = 1e6
        ended: list[BaseException] = []

        def call() -> None:
            try:
                store.get("a")
            except MachineError as error:
                ended.append(error)

        waiting = threading.Thread(target=call)
        waiting.start()
        time.sleep(0.1)
        store.end(0.2)
        waiting.join(30)
        call()
        assert len(ended) == 2


def test_a_wait_that_blocks_an_event_loop_hears_of_a_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Ctrl-C cancels the task that runs a pipeline."""

    async def read(store: ObjectStore) -> None:
        task = asyncio.current_task()
        assert task is not None
        threading.Timer(0.2, task.cancel).start()
        store.get("a")

    with answering(0, monkeypatch) as store:
        store.limit_s = 1e6
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(read(store))
