"""Objects below one prefix of a bucket: S3, GCS or Azure. The only file that imports obstore.

An object is put whole, in one request, or not at all, and only over what the caller has seen
there: over nothing, or over one version. Whoever comes second gets Conflict.

Every call ends, with an answer or as a MachineError at its limit. Each runs in a thread that
nobody waits for, so a store that hangs holds up neither Ctrl-C nor the end of the process. The
library's calls with `async` are not used: its own threads then enter Python, and abort the
process when Python is about to end.

Crash rule: a request that was under way when the driver died takes effect whole or not at all,
and maybe late; over a version that is gone by then it takes none.
"""

from __future__ import annotations

import asyncio
import atexit
import math
import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from trajgen.errors import Conflict, InputError, MachineError

T = TypeVar("T")

SCHEMES = ("s3", "gs", "az")
LIMIT_S = 30.0  # of one call, its tries included
BYTES_A_SECOND = 1 << 20  # a call with much to carry may take longer
_SAID = 500  # characters of a store's answer in an error
_SLICE_S = 0.1  # how soon a wait hears that it has to end
_LAST_S = 0.3  # for answers that are on their way when Python ends
_CLIENT = {"timeout": "10m", "connect_timeout": "5s", "allow_http": True}  # where asked for
_RETRY = {
    "max_retries": 6,
    "retry_timeout": timedelta(seconds=25),
    "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5)},
}
_PENDING: set[Future[Any]] = set()
_ACCOUNT = "AZURE_STORAGE_ACCOUNT_NAME"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*")


@dataclass(frozen=True, slots=True)
class Version:
    """One content of an object, as the store names it."""

    etag: str | None
    number: str | None = None


@dataclass(frozen=True, slots=True)
class Meta:
    """What a store knows of an object: version, bytes, and when by its own clock it came."""

    version: Version
    size: int
    modified: datetime


class ObjectStore:
    """The objects below a URL, by their names relative to it, such as `shards/a.parquet`.

    `guard` is called before anything is changed, and may refuse it. Calls raise
    FileNotFoundError for what is not there, Conflict where another version is there than the
    one that was named, MachineError for a store that fails, refuses or is silent.
    """

    def __init__(self, raw: Any, url: str, limit_s: float = LIMIT_S) -> None:
        self.url, self.limit_s = url, limit_s
        self.guard: Callable[[], None] = lambda: None
        self._raw = raw
        self._ends = math.inf

    def twin(self, limit_s: float) -> ObjectStore:
        """The same objects, without the guard, with a limit and an end of its own."""
        return ObjectStore(self._raw, self.url, limit_s)

    def get(self, name: str) -> tuple[bytes, Meta]:
        """A whole object."""
        return self._get(name, {})

    def part(self, name: str, start: int, end: int, version: Version) -> bytes:
        """Bytes [start, end) of one version; `end` may lie beyond the last."""
        tag = {"if_match": version.etag} if version.etag else {}
        return self._get(name, {"range": (start, end), **tag})[0]

    def head(self, name: str) -> Meta:
        """What the store knows of an object."""
        import obstore

        return _meta(self._call(name, lambda: obstore.head(self._raw, name)))

    def put(self, name: str, data: bytes, over: Version | None) -> Version:
        """Put an object over nothing (None), or over this version and no other."""
        import obstore

        self.guard()
        mode: Any = "create" if over is None else _named(over)
        try:
            found = self._call(
                name,
                lambda: obstore.put(self._raw, name, data, mode=mode, use_multipart=False),
                len(data),
            )
        except FileNotFoundError as error:
            raise Conflict("this object is gone", f"{self.url}/{name}") from error
        return Version(found["e_tag"], found["version"])

    def copy(self, name: str, target: str) -> None:
        """Copy an object within the store, over whatever is there."""
        import obstore

        self.guard()
        self._call(name, lambda: obstore.copy(self._raw, name, target))

    def delete(self, name: str) -> None:
        """Delete an object, which may be gone already."""
        import obstore

        self.guard()
        try:
            self._call(name, lambda: obstore.delete(self._raw, name))
        except FileNotFoundError:
            return

    def list(self, folder: str) -> tuple[list[str], dict[str, int]]:
        """What lies directly in `folder` ("" for the top), by full names: folders, and
        objects with their bytes."""
        import obstore

        found = self._call(folder, lambda: obstore.list_with_delimiter(self._raw, folder or None))
        objects = {str(entry["path"]): int(entry["size"]) for entry in found["objects"]}
        return [str(prefix) for prefix in found["common_prefixes"]], objects

    def end(self, within_s: float) -> None:
        """Whatever is under way, or begins from now on, has to be over in so many seconds."""
        self._ends = min(self._ends, time.monotonic() + within_s)

    def _get(self, name: str, options: Any) -> tuple[bytes, Meta]:
        import obstore

        found = self._call(name, lambda: obstore.get(self._raw, name, options=options))
        size = found.range[1] - found.range[0]
        return bytes(self._call(name, found.bytes, size)), _meta(found.meta)

    def _call(self, name: str, call: Callable[[], T], size: int = 0) -> T:
        """What `call` gives, within the limit and with errors of ours."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        where = f"{self.url}/{name}"
        try:
            return self._wait(_begun(call), self.limit_s + size / BYTES_A_SECOND)
        except TimeoutError as error:
            raise _failure("does not answer in time", where) from error
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{where}: there is no such object") from error
        except (AlreadyExistsError, PreconditionError) as error:
            raise Conflict("somebody else has written this object", where) from error
        except (BaseError, ValueError) as error:
            raise _failure(f"fails ({_said(error)})", where) from error

    def _wait(self, future: Future[T], limit_s: float) -> T:
        """The result by the limit, and by the end. A wait that blocks an event loop ends when the
        task that waits is cancelled, as Ctrl-C does. A request that nobody waits for any more
        goes on to its own end."""
        task, over = _running_task(), time.monotonic() + limit_s
        while not wait([future], _SLICE_S).done:
            if task is not None and task.cancelling():
                raise asyncio.CancelledError
            if time.monotonic() > min(over, self._ends):
                raise TimeoutError
        return future.result()


def open_store(url: str) -> ObjectStore:
    """The store of a URL such as `s3://bucket/prefix`; credentials, endpoint and region come
    from the environment.

    Raises InputError for a URL that is none of ours or holds more than names, or when obstore
    is not installed.
    """
    scheme, names = _names(url)
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError as error:
        advice = 'Install the extra: pip install ".[objects]"'
        raise InputError("needs obstore, which is not installed", scheme, advice) from error
    whole = f"{scheme}://{'/'.join(names)}"
    config = _config(scheme)
    client: Any = _CLIENT
    retry: Any = _RETRY
    try:
        raw = from_url(whole, config=config, client_options=client, retry_config=retry)
    except (BaseError, ValueError) as error:
        raise InputError(f"cannot be opened ({_said(error)})", whole) from error
    return ObjectStore(raw, whole)


def _names(url: str) -> tuple[str, list[str]]:
    """Scheme, then bucket and prefix in characters that no store writes in another way."""
    scheme, _, rest = url.partition("://")
    names = rest.rstrip("/").split("/")
    if scheme in SCHEMES and all(map(_NAME.fullmatch, names)):
        return scheme, names
    raise InputError(
        f"an object store is {', '.join(f'{known}://bucket/prefix' for known in SCHEMES)}, in "
        "names of letters, digits and . _ = + -, and nothing else",
        scheme,  # the rest may hold a password
        "Credentials come from the environment, such as AWS_ACCESS_KEY_ID.",
    )


def _config(scheme: str) -> Any:
    if scheme == "s3":
        return {"checksum_algorithm": "sha256"}  # S3 holds what arrives against it
    if scheme != "az":
        return None
    account = os.environ.get(_ACCOUNT)
    if not account:
        raise InputError("the account is not named", "az://", f"Set {_ACCOUNT}.")
    return {"account_name": account}  # without it the library panics


def _begun(call: Callable[[], T]) -> Future[T]:
    """The result to come of `call`, in a thread of its own that no process waits for."""
    from obstore.exceptions import BaseError

    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except (BaseError, OSError, ValueError) as error:
            future.set_exception(error)

    _await_last_answers()
    _PENDING.add(future)
    future.add_done_callback(_PENDING.discard)
    threading.Thread(target=run, name="object-store", daemon=True).start()
    return future


@cache
def _await_last_answers() -> None:
    """A call that came back while Python ends would abort the process."""
    atexit.register(lambda: wait(_PENDING, _LAST_S))


def _running_task() -> asyncio.Task[Any] | None:
    """The task whose event loop a wait in this thread blocks."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _named(version: Version) -> dict[str, str]:
    named = {"e_tag": version.etag, "version": version.number}
    return {key: value for key, value in named.items() if value is not None}


def _meta(found: Any) -> Meta:
    version = Version(found["e_tag"], found["version"])
    return Meta(version, int(found["size"]), found["last_modified"])


def _failure(what: str, where: str) -> MachineError:
    return MachineError(
        f"the object store {what}",
        where,
        "Look at the network, the bucket and the credentials of this environment, then run the "
        "same command: what is committed stays.",
    )


def _said(error: Exception) -> str:
    """What the library and the store say, without the library's inner values."""
    return " ".join(str(error).partition("Debug source:")[0].split())[:_SAID]
