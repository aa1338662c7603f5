"""How many tokens each message takes: exactly, by a model's chat template, or as an estimate.

Counting goes by growing conversations: what a message adds to the rendered text is its
share, so the shares sum to the whole. Only the added text is tokenised. A template that
knows no tools, no tool role or no system role never stops a count: such messages are
rendered as JSON text, and where there is no template at all, as plain lines.

Crash rule: nothing is kept but the tools counted last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from trajgen import telemetry
from trajgen.control_tokens import find_control_token
from trajgen.errors import MachineError
from trajgen.json_text import compact
from trajgen.loading import load_object
from trajgen.records import Message, Tool

_FORGING = re.compile(r"[<\[|\uff5c]..")  # no token that is a sign or a word
PER_MESSAGE = 4  # what role names and separators take, roughly, in common templates

_ASK: Message = {"role": "user", "content": "a"}
_PROBE: tuple[Message, ...] = (
    _ASK,
    {
        "role": "assistant",
        "content": "b",
        "tool_calls": [
            {
                "id": "call00001",  # nine letters and digits: some templates refuse others
                "type": "function",
                "function": {"name": "probe_tool", "arguments": {"key": "probe_value"}},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call00001", "content": "probe_result"},
    {"role": "assistant", "content": "c"},
)


def estimate_text(text: str) -> int:
    """Tokens of `text` at four UTF-8 bytes a token, rounded up."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def estimate(messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
    """Tokens of each message by `estimate_text` plus `PER_MESSAGE`; tools with the first."""
    counts = [estimate_text(_plain_text(message)) + PER_MESSAGE for message in messages]
    if counts and tools:
        counts[0] += estimate_text(compact(list(tools)))
    return counts


def load_tokenizer(name: str) -> Any:
    """The tokenizer `name` (a folder or a hub id), without running code that it brings.

    Raises MachineError when it cannot be loaded.
    """
    telemetry.off()
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise MachineError(
            f"the tokenizer {name!r} cannot be loaded ({str(error).splitlines()[0][:200]})",
            "tokenizer",
            "Name a local folder or a model id that this machine can reach, or leave "
            "`tokenizer` out: tokens are then estimated.",
        ) from error


def own_tokens(tokenizer: Any) -> re.Pattern[str] | None:
    """A pattern of the special tokens that this tokenizer's chat template makes turns of, and of
    its end of text, as far as `control_tokens` does not know them; None without any.

    Others, such as `<filename>` of models that read code, can stand in plain text.
    """
    template = tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else ""
    added = (t.content for t in tokenizer.added_tokens_decoder.values() if t.special)
    names = {*tokenizer.all_special_tokens, *added}
    turns = {n for n in names if n in template or n == tokenizer.eos_token}
    unknown = [n for n in turns if _FORGING.search(n) and find_control_token(n) is None]
    longest_first = sorted(unknown, key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, longest_first))) if unknown else None


class TokenCounter:
    """Counts in the chat template of `tokenizer`, a Hugging Face tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        # The template engine has its own room, so its error type comes in by name.
        template_error = load_object("jinja2.exceptions:TemplateError")
        self._refusals = (template_error, TypeError, ValueError, LookupError, AttributeError)
        self._form = self._choose_form()
        self._last_tools: tuple[tuple[Tool, ...], int] = ((), 0)

    def count(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
        """Tokens of each message; the tools and the opening count with the first one.

        Their sum is the length of the whole conversation as the template renders it.
        Tools that the template leaves out count as their JSON.
        """
        if not messages:
            return []
        counts = self._shares([self._form(message) for message in messages])
        if counts is None and self._form is not _as_text:
            counts = self._shares([_as_text(message) for message in messages])
        if counts is None:
            counts = [self._size(_plain_text(m)) + PER_MESSAGE for m in messages]
        counts[0] += self._tools_size(tuple(tools))
        return counts

    def rendered(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str | None:
        """The whole conversation as the template writes it; None when it refuses it, or leaves
        out the calls that are there."""
        has_calls = any(m["role"] == "tool" or "tool_calls" in m for m in messages)
        if has_calls and self._form is _as_text:
            return None
        return self._render([self._form(message) for message in messages], list(tools) or None)

    def _choose_form(self) -> Callable[[Message], Message]:
        for form in (_as_is, _arguments_as_text):
            text = self._render([form(message) for message in _PROBE]) or ""
            if all(word in text for word in ("probe_tool", "probe_value", "probe_result")):
                return form
        return _as_text

    def _shares(self, messages: list[Message]) -> list[int] | None:
        """What each message adds; None when the template refuses the conversation.

        A prefix that the template refuses (a lone system message, say) takes its plain
        size, and the next message what is then left.
        """
        whole = self._render(messages)
        if whole is None:
            return None
        counts: list[int] = []
        total, before = 0, ""
        for end, message in enumerate(messages, start=1):
            text = whole if end == len(messages) else self._render(messages[:end])
            if text is None:
                counts.append(self._size(_plain_text(message)))
                continue
            shared = _shared(before, text)
            total += self._size(text[shared:]) - self._size(before[shared:])
            before = text
            counts.append(max(0, total - sum(counts)))
        return counts

    def _tools_size(self, tools: tuple[Tool, ...]) -> int:
        if not tools:
            return 0
        if self._last_tools[0] != tools:
            bare, full = self._render([_ASK]), self._render([_ASK], list(tools))
            known = bare is not None and full is not None and bare != full
            size = self._size(full or "") - self._size(bare or "") if known else 0
            self._last_tools = tools, size if known else self._size(compact(list(tools)))
        return self._last_tools[1]

    def _render(self, messages: list[Message], tools: list[Tool] | None = None) -> str | None:
        try:
            text = self._tokenizer.apply_chat_template(
                messages,
                tools=tools,
                tokenize=False,
                date_string="01 Jan 2026",  # templates that print a date: not today's
            )
        except self._refusals:
            return None
        return text if isinstance(text, str) else None

    def _size(self, text: str) -> int:
        if not text:
            return 0
        return len(self._tokenizer.encode(text, add_special_tokens=False))


def _as_is(message: Message) -> Message:
    return message


def _arguments_as_text(message: Message) -> Message:
    """`message` with `arguments` as JSON text, which older templates want."""
    if not message.get("tool_calls"):
        return message
    calls = [
        {**c, "function": {**c["function"], "arguments": compact(c["function"]["arguments"])}}
        for c in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _as_text(message: Message) -> Message:
    """`message` for a template that knows only system, user and assistant."""
    role = "user" if message["role"] == "tool" else message["role"]
    return {"role": role, "content": _plain_text(message)}


def _plain_text(message: Message) -> str:
    text: str = message.get("content") or ""
    calls = [call["function"] for call in message.get("tool_calls", ())]
    return "\n".join([text, *map(compact, calls)]) if calls else text


def _shared(one: str, other: str) -> int:
    """The length of the longest common beginning."""
    if other.startswith(one):
        return len(one)
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
