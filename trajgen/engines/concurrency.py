"""How many requests an engine is given at once.

As many as it is set up for, and fewer once it says that they are too many. An endpoint says so
with 429 or 503, vLLM by preempting requests: the KV cache is full, and what was computed of them
is computed again. Then the limit falls by a quarter, and it rises one by one while all goes well:
the additive increase and multiplicative decrease of TCP (RFC 5681). Many requests fail of one
crowd, so until what was under way has ended, the limit falls no further.

Crash rule: nothing is kept; a fresh engine begins with the highest limit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from fractions import Fraction

IN_FLIGHT_PER_SEQ = 1.25  # requests for an engine, over what it batches: none waits for us
LEFT = Fraction(3, 4)  # of the requests under way, when they are too many
ROUNDS = 2  # answers for each request of the limit before it rises by one


class ConcurrencyLimit:
    """`limit` requests at once, at most `most`. `async with` waits in order of arrival."""

    def __init__(self, most: int) -> None:
        self.most = self.limit = most
        self._inside = 0
        self._earlier = 0  # requests still to end that began before the limit last fell
        self._answers = 0  # since the limit last changed
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def share(self) -> float:
        """The limit over the highest one: 0 to 1."""
        return self.limit / self.most

    def crowded(self) -> None:
        """The engine has more than it can take."""
        if self._earlier == 0:
            under_way = min(self.limit, max(1, self._inside))
            self.limit = max(1, int(under_way * LEFT))
            self._earlier, self._answers = self._inside, 0

    def answered(self) -> None:
        """The engine answered one request as it should."""
        if self.limit == self.most or self._earlier:
            return
        self._answers += 1
        if self._answers >= ROUNDS * self.limit:
            self.limit, self._answers = self.limit + 1, 0
            self._call()

    async def __aenter__(self) -> None:
        if self._inside < self.limit and not self._waiting:
            self._inside += 1
            return
        called = asyncio.get_running_loop().create_future()
        self._waiting.append(called)
        try:
            await called
        except asyncio.CancelledError:
            if called.cancelled():
                with suppress(ValueError):  # it may have been passed over since
                    self._waiting.remove(called)
            else:  # called in the same moment: the next one goes in
                self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        self._inside -= 1
        self._earlier = max(0, self._earlier - 1)
        self._call()

    def _call(self) -> None:
        while self._waiting and self._inside < self.limit:
            called = self._waiting.popleft()
            if not called.done():
                self._inside += 1
                called.set_result(None)
