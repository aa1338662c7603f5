"""What user and agent are shown of one conversation, and the answers that made it.

A rollout grows these views turn by turn; teaching builds them whole, from a conversation that
exists. Both go through here, so a model is taught the very prompts that it is asked with.

Crash rule: pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trajgen import script
from trajgen.cast import speech
from trajgen.json_text import compact
from trajgen.prompts import Prompts
from trajgen.records import Domain, Json, Message
from trajgen.remembered import Remembered


def agent_begins(prompts: Prompts, domain: Domain, example: Sequence[Message]) -> list[Message]:
    """The agent's view before the first turn; `example` is a conversation to go by."""
    context = {
        "domain": about(domain),
        "policy": domain.policy,
        "tools": domain.tools,
        "example": script.told(example),
    }
    return [speech("system", prompts.shared("agent.system", context))]


def user_begins(prompts: Prompts, domain: Domain, instruction: str, persona: str) -> list[Message]:
    """The user's view before the first turn."""
    context = {"domain": about(domain), "instruction": instruction, "persona": persona}
    return [
        speech("system", prompts.render("user.system", context)),
        speech("user", prompts.shared("user.begin", {})),
    ]


def results(prompts: Prompts, observed: Iterable[Message]) -> Message:
    """The answers to the calls of one turn, as tool messages, the way the agent reads them."""
    shown = [{"call_id": m["tool_call_id"], "content": m["content"]} for m in observed]
    return speech("user", prompts.render("agent.results", {"results": shown}))


def agent_view(
    prompts: Prompts, domain: Domain, example: Sequence[Message], messages: Sequence[Message]
) -> list[Message]:
    """The agent's whole view of `messages`: its own turns are the assistant's, as typed answers."""
    view, observed = agent_begins(prompts, domain, example), list[Message]()
    for message in messages:
        if message["role"] == "tool":
            observed.append(message)
            continue
        if observed:
            view.append(results(prompts, observed))
            observed = []
        own = message["role"] == "assistant"
        text = as_text(script.action(message)) if own else message["content"]
        view.append(speech("assistant" if own else "user", text))
    return view


def user_view(
    prompts: Prompts,
    domain: Domain,
    instruction: str,
    persona: str,
    messages: Sequence[Message],
    outcome: str,
) -> list[Message]:
    """The user's whole view of `messages`: what the user says is the assistant's, and at the
    end they are done with `outcome`. Calls and what they show are not theirs to see."""
    view = user_begins(prompts, domain, instruction, persona)
    for message in messages:
        if message["role"] == "user":
            view.append(speech("assistant", _said(message["content"], False, "success")))
        elif message["role"] == "assistant" and not message.get("tool_calls"):
            view.append(speech("user", message["content"]))
    return [*view, speech("assistant", _said("", True, outcome))]


def _line(domain: Domain) -> dict[str, str]:
    return {"name": domain.name, "description": domain.description}


about = Remembered(_line, 64)  # what a prompt may say of a domain in a line


def as_text(answer: Json) -> str:
    """A typed answer as a model writes it: without spaces, as vLLM's guided decoding has it. A
    model that was taught otherwise is led astray by its guide at every comma."""
    return compact(answer)


def _said(text: str, done: bool, outcome: str) -> str:
    return as_text({"say": text, "done": done, "outcome": outcome})
