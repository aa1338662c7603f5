"""Chat control tokens of common model families: inside a prompt or a row they forge turns.

Text is looked over for a few marks first; the exact pattern runs where one of them stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from trajgen.json_text import compact
from trajgen.records import Json

_TOKEN = re.compile(
    r"<\|[^\s<>|]{1,60}\|>"  # ChatML, Llama 3 and 4, Phi, GLM, Command R, gpt-oss, Kimi
    r"|</?\uff5c(?:[^<>\uff5c]{1,60}\uff5c>|DSML\uff5c)"  # DeepSeek
    r"|\[/?INST\]|<</?SYS>>|</?s>|<(?:bos|eos|pad|unk|sop|eop|eoh|eoa)>|\[g?MASK\]"
    r"|<\|\w{1,30}>|<\w{1,30}\|>|<(?:start|end)_function_(?:call|response|declaration)>"  # Gemma
    r"|<(?:start|end)_of_(?:turn|text|role|image)>|<(?:extra_id|reserved|SPECIAL)_\d+>|<unused\d+>"
    r"|</?(?:(?:longcat_|dots_)?(?:tool|function)_calls?|tool_response|function_results|TOOLCALL"
    r"|arg_(?:key|value)|tool_sep|think(?:ing)?)(?:[:_][\w.-]{1,30})?>"  # Qwen, GLM, Hunyuan
    r"|</?(?:seed|minimax|mm|atem|steptml|ifm)[:|]\w{1,30}\b"
    r"|</?(?:function|parameter)=?[\w.-]*>|<(?:function|invoke|param|parameter) name="
    r"|</(?:invoke|param)>"
    r"|\[/?(?:TOOL_(?:CALLS|RESULTS|CONTENT)|AVAILABLE_TOOLS|SYSTEM_PROMPT|THINK)\]"  # Mistral
    r"|\[UNUSED_TOKEN_\d+\]|\]~!?b[\[\]]|\[e~\[|\]<\]minimax\[>\["
    r"|^### ?(?:Human|Assistant|Instruction|Response|User|System):|\n\n(?:Human|Assistant): "
    r"|[\x00\ud800-\udfff]",
    re.MULTILINE,
)
# What stands in each of them. A pattern that begins with one sign is as fast as five marks.
_MARKS = ("<", "\x00", "###", "\n\nHuman: ", "\n\nAssistant: ")
_MARKS_IN_JSON = tuple(compact(mark)[1:-1] for mark in _MARKS)
_OPENED = re.compile(r"\[(?:/?(?:AVAIL|SYSTEM_|THINK\]|TOOL_|UNUSED)|e~\[)")
_CLOSED = re.compile(r"\](?:~|(?<=INST\]|MASK\]))")
_SURROGATE = re.compile("[\ud800-\udfff]")


def find_control_token(text: str) -> str | None:
    """The first control token in `text`, or None."""
    match = _TOKEN.search(text) if is_marked(text) else None
    return match[0] if match else None


def token_in(value: Json) -> str | None:
    """The first control token in any string of a JSON value, the keys of objects included."""
    if isinstance(value, str):
        return find_control_token(value)
    whole = compact(value)
    if not is_marked_json(whole):
        return None
    return next(filter(None, map(find_control_token, _strings(value))), None)


def is_marked(text: str) -> bool:
    """Whether `text` may hold a control token; costs microseconds where it does not."""
    return holds(text, _MARKS) or _bracketed(text) or _odd(text)


def is_marked_json(text: str) -> bool:
    """The same of a value that was written as JSON `text`."""
    return holds(text, _MARKS_IN_JSON) or _bracketed(text) or _odd(text)


def holds(text: str, marks: Sequence[str]) -> bool:
    """Whether one of `marks` stands in `text`."""
    for mark in marks:  # noqa: SIM110 - `any` costs twice as much; every prompt comes by here
        if mark in text:
            return True
    return False


def _bracketed(text: str) -> bool:
    return _OPENED.search(text) is not None or _CLOSED.search(text) is not None


def _odd(text: str) -> bool:
    return not text.isascii() and _SURROGATE.search(text) is not None


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
