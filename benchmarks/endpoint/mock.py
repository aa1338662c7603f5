"""The mock endpoint, a process of its own: `python -m benchmarks.endpoint.mock ANSWERS`.

It prints its port. Answers are found by the request's sampling seed, and how long one takes
depends on that seed alone: 20 ms, for one in five 200 ms. `GET /stats` tells what was served since
it was last asked. It speaks no more HTTP than its clients need, so that on a small machine it
takes little of what they are measured by.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

QUICK_S, SLOW_S, ONE_IN = 0.02, 0.2, 5
_SEED = re.compile(rb'"seed":\s?(\d+)')
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)")
Answers = dict[bytes, bytes]


def latency_s(seed: bytes) -> float:
    """Seconds until the answer to the request with this sampling seed."""
    return SLOW_S if zlib.crc32(seed) % ONE_IN == 0 else QUICK_S


def read_answers(path: Path) -> Answers:
    """Sampling seed, in digits -> the whole body of the answer."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {str(line["seed"]).encode(): _completion(line) for line in lines}


def _completion(line: dict[str, object]) -> bytes:
    message = {"role": "assistant", "content": line["text"]}
    usage = {"prompt_tokens": line["prompt"], "completion_tokens": line["generated"]}
    usage |= {"total_tokens": sum(usage.values())}  # type: ignore[arg-type]
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "mock", "object": "chat.completion", "created": 0, "model": "mock"}
    return json.dumps(head | {"choices": [choice], "usage": usage}).encode()


@dataclass(slots=True)
class Served:
    """What was served: moments in seconds since the epoch, and how many requests."""

    first: float = 0.0
    last: float = 0.0
    answered: int = 0
    unknown: int = 0
    busiest: int = 0
    latencies_s: float = 0.0
    now: int = 0


class Book:
    """What is served, and where requests are kept, if anywhere."""

    def __init__(self, answers: Answers, kept: IO[bytes] | None) -> None:
        self.answers, self.kept, self.served = answers, kept, Served()

    def stats(self) -> bytes:
        """What was served since this was last asked."""
        served, self.served = self.served, Served()
        return json.dumps(asdict(served)).encode()


class Conversation(asyncio.Protocol):
    """One connection: a request at a time, kept open unless the client wants it closed."""

    def __init__(self, book: Book) -> None:
        self.book, self.unread = book, bytearray()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.unread += data
        while (end := self.unread.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.unread[:end]).lower()
            found = _LENGTH.search(head)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self.unread) < whole:
                return
            body = bytes(self.unread[end + 4 : whole])
            del self.unread[:whole]
            self._serve(head, body)

    def _serve(self, head: bytes, body: bytes) -> None:
        close = b"\r\nconnection: close" in head
        if head.startswith(b"get /stats"):
            self._send(b"200 OK", self.book.stats(), close)
        elif head.startswith(b"get"):
            self._send(b"200 OK", b'{"object": "list", "data": [{"id": "mock"}]}', close)
        else:
            self._asked(body, close)

    def _asked(self, body: bytes, close: bool) -> None:
        book, served = self.book, self.book.served
        served.first = served.first or time.time()
        found = _SEED.search(body)
        seed = found[1] if found else b""
        answer = book.answers.get(seed)
        if answer is None:
            served.unknown += 1
            self._send(b"404 Not Found", b'{"error": {"message": "an unknown seed"}}', close)
            return
        if book.kept is not None:
            book.kept.write(body + b"\n")
            book.kept.flush()
        served.now += 1
        served.busiest = max(served.busiest, served.now)
        served.latencies_s += latency_s(seed)
        asyncio.get_running_loop().call_later(latency_s(seed), self._answer, answer, served, close)

    def _answer(self, answer: bytes, served: Served, close: bool) -> None:
        served.now -= 1
        served.answered += 1
        served.last = time.time()
        self._send(b"200 OK", answer, close)

    def _send(self, status: bytes, body: bytes, close: bool) -> None:
        if self.transport.is_closing():
            return
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
        self.transport.write(head % (status, len(body), b"Connection: close\r\n" * close) + body)
        if close:
            self.transport.close()


async def serve(book: Book) -> None:
    """Until it is ended; prints the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(book), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve the answers of a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endpoint.mock")
    parser.add_argument("answers", type=Path)
    parser.add_argument("--keep", type=Path, help="where to write every request, one a line")
    given = parser.parse_args()
    kept = given.keep.open("wb") if given.keep else None
    asyncio.run(serve(Book(read_answers(given.answers), kept)))


if __name__ == "__main__":
    main()
