"""Calls, answers and tools as the Hermes format writes them: JSON between XML tags.

Qwen and many corpora write so too. What stands around the tags is kept; text after a call,
in the middle of calls, or a tag that does not close is a problem.
"""

from __future__ import annotations

import re
from typing import Any

from trajgen.importers.corpus.exact import SHOWN, literal
from trajgen.importers.corpus.problem import Refused
from trajgen.records import Json

CALL, CALL_END = "<tool_call>", "</tool_call>"
ANSWER, ANSWER_END = "<tool_response>", "</tool_response>"
_CALLS = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_ANSWERS = re.compile(r"\s*<tool_response>\n?(.*?)\n?</tool_response>", re.DOTALL)
_TOOLS = re.compile(r"<tools>(.*?)</tools>", re.DOTALL)
_SAYS_TOOLS = re.compile(  # how the part of a system prompt begins that lists the tools
    r"# Tools\s+You may call one or more functions|You are a function[- ]calling AI model\b"
    r"|You are provided with function signatures"
)


def calls_in(text: str, at: int) -> tuple[str, list[Any]]:
    """What an assistant says, and the calls that it makes after that. Raises Refused."""
    head, rest = text[: (start := text.find(CALL))], text[start:]
    outside = _CALLS.sub("", rest).strip()
    if outside:
        what = f"text after a call, or a {CALL} that does not close: {outside[:40]!r}"
        raise Refused(what, "bad_arguments", at)
    calls: list[Any] = []
    for found in _CALLS.finditer(rest):
        calls += calls_of(found[1], at)
    return head.removesuffix("\n"), calls


def calls_of(text: str, at: int) -> list[Any]:
    """One call, or a list of calls, as JSON. Raises Refused."""
    try:
        made = literal(text)
    except ValueError as error:
        raise Refused(
            f"a call that is not JSON ({str(error)[:SHOWN]})", "bad_arguments", at
        ) from error
    return made if isinstance(made, list) else [made]


def answers_in(text: str) -> list[str] | None:
    """The answers that `text` consists of; None when it is something else."""
    if not text.lstrip().startswith(ANSWER) or not text.rstrip().endswith(ANSWER_END):
        return None
    found = list(_ANSWERS.finditer(text))
    return [match[1] for match in found] if not _ANSWERS.sub("", text).strip() else None


def tools_in(system: str) -> tuple[str, list[Json]]:
    """A system prompt without the part that lists the tools, and the tools.

    That part goes from the sentence that introduces the list to the last tag. Raises Refused
    when the list cannot be read.
    """
    listed = [match for match in _TOOLS.finditer(system) if match[1].strip()]
    if not listed:
        return system, []
    says = _SAYS_TOOLS.search(system, 0, listed[0].start())
    start = says.start() if says else listed[0].start()
    end = listed[-1].end()
    if says and (last := system.rfind(CALL_END, end)) >= 0:
        end = last + len(CALL_END)
    tools = [tool for match in listed for tool in _listed(match[1])]
    return f"{system[:start].rstrip()}{system[end:].rstrip()}".strip(), tools


def _listed(text: str) -> list[Json]:
    """One JSON list of tools, or one tool a line."""
    for texts in ([text], text.strip().splitlines()):
        try:
            values = [literal(each) for each in texts if each.strip()]
        except ValueError:
            continue
        return [tool for v in values for tool in (v if isinstance(v, list) else [v])]
    raise Refused("the list between <tools> tags is not JSON", "unknown_tool", 0)
