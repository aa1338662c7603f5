"""The floor: `python -m benchmarks.endpoint.floor URL CONVERSATIONS`.

A bare aiohttp loop. The bytes of every request are ready before the first is sent; answers are
read and thrown away. Within a conversation one request follows the answer to the last one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp

from benchmarks.endpoint.run_ours import CONNECTIONS

BEGUN = 80  # conversations at once, as many as `trajgen run` begins for so many connections


async def play(url: str, conversations: Iterator[list[bytes]]) -> None:
    """Send everything."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def one_after_the_other() -> None:
            for requests in conversations:  # shared: each takes the next one
                for body in requests:
                    async with session.post(f"{url}/chat/completions", data=body) as answer:
                        await answer.read()

        await asyncio.gather(*(one_after_the_other() for _ in range(BEGUN)))


def main() -> None:
    """Play a file of conversations."""
    url, path = sys.argv[1:]
    lines = Path(path).read_text("utf-8").splitlines()
    ready = [[json.dumps(body).encode() for body in json.loads(line)] for line in lines]
    asyncio.run(play(url, iter(ready)))


if __name__ == "__main__":
    main()
