"""A conversation as turns: each message of user or agent, with the answers to its calls.

For formats that know calls and answers by their places alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from trajgen.exporters import Unfit
from trajgen.records import Json, Message

CONTENT = frozenset({"role", "content"})


class Turn(NamedTuple):
    """A message of user or agent, and the tool messages that answer its calls, in the order of
    the calls."""

    message: Message
    answers: tuple[Message, ...]


def system_of(messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    """The text of a system message at the beginning, or "", and the other messages."""
    if messages and messages[0]["role"] == "system":
        return messages[0]["content"], messages[1:]
    return "", messages


def answered(messages: Sequence[Message]) -> Iterator[tuple[int, Message, list[Message]]]:
    """Each message that is no tool's: its index, itself, and the tool messages right behind it.
    Raises Unfit for tool messages before any other."""
    at = 0
    while at < len(messages):
        end = at + 1
        while end < len(messages) and messages[end]["role"] == "tool":
            end += 1
        if messages[at]["role"] == "tool":
            raise Unfit(f"message {at} answers no call")
        yield at, messages[at], list(messages[at + 1 : end])
        at = end


def turns(messages: Sequence[Message]) -> Iterator[Turn]:
    """The turns of `messages`, which begin with the user, alternate with whatever is answered,
    and end with the agent. Raises Unfit where they do not."""
    expected = "user"
    for at, message, results in answered(messages):
        if message["role"] != expected:
            raise Unfit(f"message {at} is of role {message['role']!r}, not {expected!r}")
        turn = Turn(message, _answers(message, results, at))
        said = expected == "assistant" and not turn.answers
        expected = "user" if said else "assistant"
        yield turn
    if expected != "user" or not messages:
        raise Unfit("the conversation does not end with what the agent says")


def text_and_calls_alone(turn: Turn) -> None:
    """Raises Unfit when a message holds more than its text and its calls."""
    for message in (turn.message, *turn.answers):
        known = CONTENT | {"tool_calls", "tool_call_id"}
        if others := sorted(message.keys() - known):
            raise Unfit(f"the key {others[0]!r} of a message has no place in this format")


def wanted(call: Json) -> Json:
    """A call as {"name", "arguments"}. Raises Unfit when it holds more than that and an id."""
    function = call["function"]
    others = sorted((call.keys() - {"id", "type", "function"}) | function.keys() - _FUNCTION)
    if others:
        raise Unfit(f"the key {others[0]!r} of a call has no place in this format")
    return {"name": function["name"], "arguments": function["arguments"]}


_FUNCTION = {"name", "arguments"}


def _answers(message: Message, results: Sequence[Message], at: int) -> tuple[Message, ...]:
    calls = [call.get("id") for call in message.get("tool_calls", ())]
    answers = {result.get("tool_call_id"): result for result in results}
    if len(set(calls)) < len(calls) or len(answers) < len(results):
        raise Unfit(f"the calls of message {at} cannot be told apart by their ids")
    if answers.keys() != set(calls):
        raise Unfit(f"the calls of message {at} and their answers are not one to one")
    return tuple(answers[call] for call in calls)
