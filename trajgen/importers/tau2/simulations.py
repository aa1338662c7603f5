"""A file of tau2 simulations: what an agent said, called and saw, row by row.

The conversation is the agent's view of it. Not in it, but in the row's `meta`: the agent's
greeting before anybody spoke (`greeting`), what the user does with tools of their own
(`user_calls`), and the user's last words, which end the simulation (`ended`).

Each simulation is made again in tau2's own environment; where all answers are as the file has
them, the row gets the state it began in and the effects of its calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trajgen.errors import InputError
from trajgen.importers.corpus import json_files
from trajgen.importers.corpus.exact import arguments_of
from trajgen.importers.corpus.openai import text_of
from trajgen.importers.corpus.problem import Problem, Refused
from trajgen.importers.corpus.rows import Corpus, Part, Raw
from trajgen.importers.tau2.replay import Replay
from trajgen.records import Domain, Json, Message

STOPS = ("###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###")


def simulations(path: Path) -> Corpus:
    """The simulations of a file, with the domain that it names.

    Raises InputError when it is no such file.
    """
    info = next((value for _, value in json_files.members(path, "info")), None)
    about = info.get("environment_info") if isinstance(info, dict) else None
    if not isinstance(about, dict) or not isinstance(about.get("domain_name"), str):
        what = "no file of tau2 simulations: it has no `info` that names the domain"
        raise InputError(what, str(path), "Name a file that `tau2 run` wrote, or a domain.")
    replay = Replay.of(about["domain_name"])

    def read() -> Iterator[Raw]:
        found = json_files.members(path, "simulations")
        return ((number, simulation, False) for number, simulation in found)

    def row(raw: Any, typed: bool) -> dict[str, Json] | Problem:
        try:
            return _row(raw, replay)
        except Refused as refused:
            return refused.problem

    return Corpus(path.stem, (Part(path.name, read),), row, _domain(about, replay))


def _domain(about: dict[str, Any], replay: Replay | None) -> Domain | None:
    """The domain with the policy of the file and the tools of the package, else of the file."""
    name, policy = f"tau2_{about['domain_name']}", str(about.get("policy") or "")
    if replay is not None:
        real = replay.stage.real
        kinds = {t: k for t, k in real.kinds.items() if k in ("read", "write")}
        return Domain(name, policy, real.tools(), license="MIT", kinds=kinds, state=real.initial)
    defined = about.get("tool_defs")
    if not isinstance(defined, dict) or not all(map(_is_defined, defined.values())):
        return None
    functions = [
        {"name": name, "description": tool.get("doc", ""), "parameters": tool["params"]}
        for name, tool in defined.items()
    ]
    tools = tuple({"type": "function", "function": function} for function in functions)
    return Domain(name, policy, tools, license="MIT")


def _is_defined(tool: Any) -> bool:
    return isinstance(tool, dict) and isinstance(tool.get("params"), dict)


def _row(raw: Any, replay: Replay | None) -> dict[str, Json]:
    if not isinstance(raw, dict) or not isinstance(raw.get("messages"), list):
        raise Refused("a simulation must hold `messages`")
    if raw.get("skipped") or not raw["messages"]:
        raise Refused("the simulation was skipped")
    view = _View(list(_flat(raw["messages"])))
    judged = raw.get("reward_info")
    reward = judged.get("reward") if isinstance(judged, dict) else None
    meta: dict[str, Json] = {"source": "tau2", "task": str(raw.get("task_id")), **view.meta}
    meta["outcome"] = "success" if reward == 1 else "failure"
    row: dict[str, Json] = {"id": str(raw.get("id")), "messages": view.messages, "meta": meta}
    if replay is not None and (made := replay.again(meta["task"], view.source)):
        meta |= {"effects": made.effects, "applies": made.applies}
        row |= {"state": made.state} if made.state else {}
        row |= {"goal": list(made.goal)} if reward == 1 else {}
    return row


def _flat(messages: list[Any]) -> Iterator[dict[str, Any]]:
    """The messages, several results in one taken apart."""
    for at, message in enumerate(messages):
        several = message.get("tool_messages") if isinstance(message, dict) else None
        for one in several if isinstance(several, list) else [message]:
            if not isinstance(one, dict) or not isinstance(one.get("tool_calls") or [], list):
                raise Refused("a message must be an object, its `tool_calls` a list", at=at)
            yield one


class _View:
    """The messages that the agent saw or made, and what else there was."""

    def __init__(self, source: list[dict[str, Any]]) -> None:
        self.source, self.messages = source, list[Message]()
        self.meta: dict[str, Json] = {}
        self.waiting: list[dict[str, Json]] = []  # calls of the user that nothing answers yet
        for at, message in enumerate(source):
            self._read(message, at)
        self._end()

    def _read(self, message: dict[str, Any], at: int) -> None:
        role, content = message.get("role"), text_of(message.get("content") or "", at)
        calls = [_call(call, at) for call in message.get("tool_calls") or ()]
        if role == "tool" and message.get("requestor") == "user":
            if not (waiting := self.waiting):
                raise Refused("an answer to no call of the user", "unanswered_call", at)
            waiting.pop(0)["answer"] = content
        elif role == "tool":
            self.messages.append(
                {"role": "tool", "tool_call_id": str(message.get("id")), "content": content}
            )
        elif role == "user" and calls:
            made = [
                {**call["function"], **({"said": content} if content else {})} for call in calls
            ]
            self.meta.setdefault("user_calls", []).extend(made)
            self.waiting = made
        elif role == "assistant" and not calls and not any(map(_is_spoken, self.messages)):
            self.meta["greeting"] = content
        elif role in ("system", "user", "assistant"):
            spoken: Message = {"role": role, "content": content}
            self.messages.append(spoken | ({"tool_calls": calls} if calls else {}))
        else:
            raise Refused(f"unknown role {role!r}", at=at)

    def _end(self) -> None:
        """The last words carry the signal to stop, which is no speech."""
        last = self.messages[-1] if self.messages else {}
        text = last.get("content", "")
        if "tool_calls" in last or not any(stop in text for stop in STOPS):
            return
        self.meta["ended"] = text
        self.messages.pop()
        for stop in STOPS:
            text = text.replace(stop, "")
        if last["role"] == "assistant" and text.strip():
            self.messages.append({**last, "content": text.strip()})


def _is_spoken(message: Message) -> bool:
    return str(message["role"]) != "system"


def _call(call: Any, at: int) -> dict[str, Json]:
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise Refused("a tool call must have a name", "bad_arguments", at)
    function = {
        "name": call["name"],
        "arguments": arguments_of(call.get("arguments"), call["name"], at),
    }
    return {"id": str(call.get("id", "")), "type": "function", "function": function}
