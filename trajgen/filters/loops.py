"""Calls that go in circles: the same again, with nothing in between that could change it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trajgen.filters.answers import is_failure
from trajgen.filters.reading import Exchange, exchanges
from trajgen.json_text import canonical
from trajgen.records import Domain, Reason, Trajectory


def repeats(trajectory: Trajectory, domain: Domain) -> Iterator[Reason]:
    """Loops without a user turn inside: the same read twice, the same 1-3 calls thrice.

    A call that failed may be tried again; a planned fault does not count at all, and a
    call after which the state is another one is progress, whatever its answer says.
    """
    faults = {step.call_id for step in trajectory.steps if step.fault is not None}
    states = {step.call_id: step.state_after for step in trajectory.steps}
    looked = Repeats(domain)
    for exchange in exchanges(trajectory.messages):
        if exchange.call.id in faults or exchange.at is None:
            continue
        state = states.get(exchange.call.id, "")
        if reason := looked.after(exchange, state, trajectory.messages):
            yield reason


class Repeats:
    """`repeats`, one exchange after the other as they happen; `domain` is the conversation's."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self._turn = 0
        self._begin()

    def after(self, exchange: Exchange, state: str, messages: Sequence[Any]) -> Reason | None:
        """Whether this answered call closes a loop; `state` is the state's hash after it, the
        `messages` are those up to it at least."""
        call = exchange.call
        between = messages[self._turn : call.message]
        if any(isinstance(m, dict) and m.get("role") == "user" for m in between):
            self._begin()
        self._turn = call.message
        text = (call.tool, canonical(call.arguments), f"{state} {exchange.observation}")
        reason = None
        if _read_again(text, exchange, self._texts, self._stretch, self.domain):
            reason = Reason("repeated_call", call.message, f"{call.tool} again, nothing in between")
        elif _looping(text, self._texts, self._runs):
            what = f"{call.tool}: the third round of a loop"
            reason = Reason("repeated_call", call.message, what)
        self._stretch.append(exchange)
        self._texts.append(text)
        return reason

    def _begin(self) -> None:
        """Where the user spoke, what came before is no part of a loop."""
        self._stretch: list[Exchange] = []
        self._texts: list[tuple[str, str, str]] = []
        self._runs = [0, 0, 0]


def _read_again(
    text: tuple[str, str, str],
    exchange: Exchange,
    texts: list[tuple[str, str, str]],
    stretch: list[Exchange],
    domain: Domain,
) -> bool:
    if not texts or texts[-1][:2] != text[:2] or domain.kinds.get(text[0]) != "read":
        return False
    return not is_failure(stretch[-1].observation, domain)


def _looping(
    text: tuple[str, str, str], texts: list[tuple[str, str, str]], runs: list[int]
) -> bool:
    """Whether this call ends the third round of a loop of one, two or three calls."""
    found = False
    for period in (1, 2, 3):
        same = len(texts) >= period and texts[-period] == text
        runs[period - 1] = runs[period - 1] + 1 if same else 0
        found = found or runs[period - 1] == 2 * period
    return found
