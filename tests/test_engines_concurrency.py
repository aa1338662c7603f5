"""The concurrency limit: fewer requests at once where an engine says that they are too many."""

from __future__ import annotations

import asyncio

import pytest

from trajgen.engines.concurrency import LEFT, ROUNDS, ConcurrencyLimit

TICKS = 5  # of the event loop: enough for all that can go on to do so


class Crowd:
    """Requests that are under way until they are told to end."""

    def __init__(self, limited: ConcurrencyLimit) -> None:
        self.limited, self.inside, self.ends = limited, list[int](), dict[int, asyncio.Event]()
        self.tasks: dict[int, asyncio.Task[None]] = {}

    async def come(self, *names: int) -> None:
        for name in names:
            self.ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.ensure_future(self._be(name))
        await settle()

    async def go(self, *names: int) -> None:
        for name in names:
            self.ends[name].set()
        await settle()

    async def _be(self, name: int) -> None:
        async with self.limited:
            self.inside.append(name)
            try:
                await self.ends[name].wait()
            finally:
                self.inside.remove(name)


async def settle() -> None:
    for _ in range(TICKS):
        await asyncio.sleep(0)


def test_who_waits_goes_in_by_order_of_arrival_and_one_at_a_time() -> None:
    async def play() -> None:
        crowd = Crowd(ConcurrencyLimit(2))
        await crowd.come(1, 2, 3, 4)
        assert crowd.inside == [1, 2]
        await crowd.go(1)
        assert crowd.inside == [2, 3]
        await crowd.come(5)
        await crowd.go(2, 3)
        assert crowd.inside == [4, 5]

    asyncio.run(play())


def test_one_crowd_lowers_the_limit_once_and_nobody_is_put_out() -> None:
    async def play() -> None:
        limited = ConcurrencyLimit(8)
        crowd = Crowd(limited)
        await crowd.come(*range(10))
        for _ in range(8):
            limited.crowded()
        assert limited.limit == 8 * LEFT == 6
        assert limited.share == 0.75
        assert crowd.inside == list(range(8))
        await crowd.go(0, 1)
        assert crowd.inside == [2, 3, 4, 5, 6, 7]
        await crowd.go(2)
        assert crowd.inside == [3, 4, 5, 6, 7, 8]

    asyncio.run(play())


def test_a_crowd_of_later_requests_lowers_it_further_and_never_to_none() -> None:
    async def play() -> None:
        limited = ConcurrencyLimit(4)
        for number in range(20):
            crowd = Crowd(limited)
            await crowd.come(*range(4))
            limited.crowded()
            await crowd.go(*range(4))
            await crowd.go(*range(4))
            assert limited.limit == [3, 2, 1][min(number, 2)]
            assert not crowd.inside

    asyncio.run(play())


def test_it_falls_from_what_is_under_way() -> None:
    async def play() -> None:
        limited = ConcurrencyLimit(100)
        crowd = Crowd(limited)
        await crowd.come(*range(8))
        limited.crowded()
        assert limited.limit == 6

    asyncio.run(play())


def test_it_rises_one_by_one_while_all_goes_well() -> None:
    async def play() -> None:
        limited = ConcurrencyLimit(4)
        crowd = Crowd(limited)
        await crowd.come(*range(4))
        limited.crowded()
        limited.answered()  # of before: tells nothing of the limit since
        await crowd.go(*range(4))
        needed = 0
        while limited.limit < 4:
            limited.answered()
            needed += 1
        assert needed == ROUNDS * 3
        for _ in range(100):
            limited.answered()
        assert limited.limit == 4

    asyncio.run(play())


def test_when_it_rises_the_next_one_goes_in_at_once() -> None:
    async def play() -> None:
        limited = ConcurrencyLimit(2)
        crowd = Crowd(limited)
        await crowd.come(1, 2)
        limited.crowded()
        await crowd.come(3)
        await crowd.go(1)
        await crowd.go(2)
        assert crowd.inside == [3]
        await crowd.come(4)
        for _ in range(ROUNDS):
            limited.answered()
        await settle()
        assert crowd.inside == [3, 4]

    asyncio.run(play())


@pytest.mark.parametrize("when", ["waiting", "passed over", "called"])
def test_who_gives_up_waiting_takes_nothing_away(when: str) -> None:
    async def play() -> None:
        crowd = Crowd(ConcurrencyLimit(1))
        await crowd.come(1, 2, 3)
        if when == "waiting":
            crowd.tasks[2].cancel()
            await settle()
        crowd.ends[1].set()
        if when == "passed over":  # cancelled when 1 leaves, and has not run since
            crowd.tasks[2].cancel()
        if when == "called":  # by 1, and cancelled before it runs
            asyncio.get_running_loop().call_soon(crowd.tasks[2].cancel)
        with pytest.raises(asyncio.CancelledError):
            await crowd.tasks[2]
        await settle()
        assert crowd.inside == [3]
        await crowd.go(3)
        await crowd.come(4)
        assert crowd.inside == [4]

    asyncio.run(play())
