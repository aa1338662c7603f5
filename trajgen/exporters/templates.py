"""Chat templates: conversations as the text that a model sees, and its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trajgen import telemetry
from trajgen.engines.tokens import TokenCounter, load_tokenizer
from trajgen.errors import InputError
from trajgen.exporters import Unfit
from trajgen.loading import find
from trajgen.models import local_path
from trajgen.records import Message, Tool

_BESIDE, _SECOND = "said beside the call", "second_probe"


class Template:
    """The chat template `name`: that of a model (an embedded one, a hub id or a folder), or a
    `.jinja` file, which renders and counts no tokens.

    Raises InputError for a name that says nothing or a model without a template, MachineError
    when the tokenizer cannot be loaded.
    """

    def __init__(self, name: str) -> None:
        self.name = Path(name).name if Path(name).exists() else name  # no path goes into a view
        self.counts = not name.endswith(".jinja")
        self.model = name if self.counts else ""
        self._tokenizer: Any = load_tokenizer(local_path(name)) if self.counts else _Bare(name)
        if not self._tokenizer.chat_template:
            raise InputError("this model has no chat template", name, "Name a .jinja file instead.")
        self._render = TokenCounter(self._tokenizer).rendered
        self._last: tuple[Sequence[Message], str | None] = ((), None)
        self._mute = not self._shows(_BESIDE, *_turn("first", "probe"), *_turn(_BESIDE, "probe"))
        self._single = not self._shows(_SECOND, *_turn("", "probe", _SECOND))

    def text(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        """The conversation as the model sees it. Raises Unfit when the template refuses it or
        would leave something out: all calls, all of a turn but the first, or what the agent
        says beside a call."""
        if self._last[0] is not messages:  # it is asked for again where tokens are counted
            self._last = messages, self._render(messages, tools)
        text = self._last[1]
        if text is None:
            raise Unfit(f"the chat template of {self.name} cannot write this conversation")
        turns = [m for m in messages if "tool_calls" in m]
        if self._single and any(len(turn["tool_calls"]) > 1 for turn in turns):
            raise Unfit(f"the chat template of {self.name} writes one call of a turn alone")
        if self._mute and any(turn["content"].strip() for turn in turns):
            raise Unfit(f"the chat template of {self.name} leaves out what is said beside a call")
        return text

    def _shows(self, word: str, *turns: Message) -> bool:
        """Whether the template writes this part of a conversation, if it takes that at all."""
        text = self._render([{"role": "user", "content": "ask"}, *turns])
        return text is None or word in text

    def tokens(self, text: str) -> int:
        """How many tokens `text` is."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))


def _turn(says: str, *names: str) -> list[Message]:
    """A turn in which the agent says something and calls tools, and then answers."""
    calls = [
        {"id": f"probe{n:04}", "type": "function", "function": {"name": name, "arguments": {}}}
        for n, name in enumerate(names)
    ]
    results: list[Message] = [
        {"role": "tool", "tool_call_id": call["id"], "content": "{}"} for call in calls
    ]
    return [
        {"role": "assistant", "content": says, "tool_calls": calls},
        *results,
        {"role": "assistant", "content": "answer"},
    ]


class _Bare:
    """A template without a tokenizer; its special tokens are "" where it asks for them."""

    def __init__(self, name: str) -> None:
        path: Path = find(name)
        try:
            self.chat_template = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot be read ({error})", str(path)) from error

    def apply_chat_template(
        self, messages: list[Message], tools: list[Tool] | None, tokenize: bool, **values: Any
    ) -> str:
        telemetry.off()
        from transformers.utils.chat_template_utils import render_jinja_template

        rendered, _ = render_jinja_template(
            [messages], tools=tools, chat_template=self.chat_template, **values
        )
        text: str = rendered[0]
        return text
