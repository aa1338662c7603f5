"""The scenario, spoken by the user: instructions to "you" become sentences of an "I".

All by rule; the tables hold the turns of phrase that tau2's scenarios use.
"""

from __future__ import annotations

import re
from typing import Any

# directions for acting, which nobody says
_STAGE = re.compile(
    r"^(?:Make sure|Mention|As you are interacting|If it refuses|Provide all|You occasionally"
    r"|You are trying to make|Do NOT mention)"
)
# what the user tells only once the agent asks
_LATER = re.compile(
    r"^(?:But |And )?(?:if|when)(?: and only if)? (?:the )?agent\b(?!.*provide)", re.I
)
# a rule for the user that holds a wish, unless it says how to act
_WISH = re.compile(
    r"\b(?:want|prefer|willing|fine with|ok(?:ay)? with|accept|need|happy with|would like|trip"
    r"|only|if|care|you have|ask how)\b",
    re.I,
)
_ACTING = re.compile(
    r"mention|insist|reveal|persist|transferred|suddenly|reactive|tactics|distraught|complain"
    r"|attempts|exchanges|conversation|call back|end the call|terse|emotional|mysterious"
    r"|you (?:can|will) |detail-oriented|passenger were|the reservation number"
    r"|the reservation, say|move on|speak|upset|volunteer|don't provide|typos|private person"
    r"|funny|rude|Do not|Do NOT|Don't|frustration|tool call|clarification|status information",
)
_CONFIRM = (
    r"^(?:But )?(?:if|when) the agent asks (?:you )?(?:for|to) (?:final )?confirm(?:ation)?"
    r"(?: again)?(?: before proceeding)?, "
)
# in this order: turns of phrase, then the person
_PHRASES: tuple[tuple[str, str], ...] = (
    (r"\byou (?=(?:name|reservation|skateboard)\b)", "your "),
    (r"\byour (?=forgot\b)", "you "),
    (r"\byou (?=mobile data\b)", "your "),
    (r"\bupgrade you to\b", "upgrade me to"),
    (r"\band are (?=willing|in a)", "and am "),
    (r"\bbut are not sure", "but am not sure"),
    (r"\byou (?:are|become) angry and (?:swear for a few times, then )?(?!prefer)", "you "),
    (r", mention that (?=it\b)", ", "),
    (r", say that (?=you are\b)", ", "),
    (r"\brefund you (?=for\b)", "refund me "),
    (r", ask for (?=changing\b)", ", you ask for "),
    (r" and ask for a refund", " for a refund"),
    (r" \(only provide [^)]*\)", ""),
    (
        r"^If asked for your zip code, say that it is (\d+).* say (\d+) .*",
        r"Your zip code is \1, or else \2.",
    ),
    (r"^If that fails, then say", "If that fails, it is"),
    (r"\b(?:so |^)insist persistently on\b", "so you insist on"),
    (r"^(?:Insist|Be insistent) (?=that|on)", "You insist "),
    (r"\bask to (?=(?:upgrade|exchange)\b)", "please "),
    (r"^For that you make up a story about having", "You had"),
    (r"^First, try to", "You want to"),
    (r"^Halfway .*? by saying that ", ""),
    (r",? (?:but|\() ?do not (?:mention|reveal) it to the agent", ""),
    (r" \((?:do not|don't) mention [^)]*\)", ""),
    (_CONFIRM + r"(?:do not say yes immediately, because|mention that) ", ""),
    (_CONFIRM + r"you add another request and also want", "You also want"),
    (_CONFIRM + r"(?:.*?change your mind (?:and|to) )?(?:ask to )?", "On second thought, please "),
    (
        r"^If the agent asks for payment method, you say .* change your mind to (?:using )?",
        "You want to use ",
    ),
    (r", and (?:also )?decide to only", ", and please only"),
    (r"^If (?:the agent asks|asked)[^,]*, (?:you )?say (?:that )?(?=you\b)", ""),
    (r"^If (?:and only if )?the agent asks, (?=you\b)", ""),
    (r"^When asked for order ID, provide (\w+) first", r"You think the order number is \1"),
    (r"^If the agent asks you to double check, .* provide (\w+)", r"If that is wrong, it is \1"),
    (
        r"^If that doesn't work, (?:say that|respond exactly with) '?(?:you|I) forgot the '?W'? .*",
        "If that is wrong too, you forgot the W at the beginning",
    ),
    (r"^If the agent asks you for which (.*?), mention", r"The \1 to return is"),
    (r"^You are (?:user )?(\w+_\w+_\d+)", r"Your user id is \1"),
    (r"\b(?:you )?(?:first )?ask the agent (?:explicitly )?to\b", "please"),
    (r"\byou first ask about\b", "please tell me about"),
    (r"\b(?:you )?ask (?:the agent )?(?=(?:how|what|if|whether|about)\b)", "please tell me "),
    (r"\bask the agent for\b", "you ask the agent for"),
    (r"\byou're\b", "I'm"),
    (r"\byou(?='(?:ve|d|ll)\b)", "I"),
    (r"\byou are\b", "I am"),
    (r"\byou were\b", "I was"),
)
_OBJECT_AFTER = re.compile(
    r"for|to|with|of|from|by|about|tells?|told|gives?|lets?|allows?|help|asks?|saves?|costs?"
    r"|charges?|causes?|caused|compensate|corrects?|remind|offers?",
    re.I,
)
_AGENT = re.compile(
    r"(?<!human )(?<!another )(?<!an )\b(?:the |a )?(?:customer service |service )?agent\b"
    r"( (?:finally|explicitly|just|only|also|still))?( [\w']+)?",
    re.I,
)
_VERBS = {"is": "are", "has": "have", "does": "do", "doesn't": "don't", "as": "as"}


def spoken(instructions: Any) -> tuple[list[str], list[str]]:
    """What the user says first, and the wishes told later, as sentences in the first person."""
    known = _sentences(instructions.known_info) + _sentences(instructions.unknown_info)
    reason = _sentences(instructions.reason_for_call)
    later = [s for s in reason if _LATER.search(s) and not re.search(r"\d{5}", s)]
    rules = _sentences(instructions.task_instructions)
    later += [s for s in rules if _WISH.search(s) and not _ACTING.search(s)]
    first = [s for s in [*known, *reason] if s not in later]
    return [s for s in map(first_person, first) if s], [s for s in map(first_person, later) if s]


def first_person(sentence: str) -> str:
    """A sentence told to the user ("You want ...") as the user says it ("I want ...").

    The agent it speaks of becomes "you". A stage direction gives "".
    """
    text = re.sub(
        r"\bMay (\d{1,2})(?:st|nd|rd|th)?\b", lambda m: f"2024-05-{int(m[1]):02}", sentence
    )
    if _STAGE.search(text):
        return ""
    for pattern, replacement in _PHRASES:
        text = re.sub(pattern, replacement, text, flags=re.I)
    text = re.sub(r"\byour(s|self)?\b", _possessive, text, flags=re.I)
    text = re.sub(r"\b(?:(\w+)(\s+))?you\b(?!')", _pronoun, text, flags=re.I)
    text = _AGENT.sub(_addressed, text)
    return _finished(text)


def _possessive(match: re.Match[str]) -> str:
    word = {None: "my", "s": "mine", "self": "myself"}[match[1]]
    return word.capitalize() if match[0][0].isupper() else word


def _pronoun(match: re.Match[str]) -> str:
    before = match[1] or ""
    return f"{before}{match[2] or ''}{'me' if _OBJECT_AFTER.fullmatch(before) else 'I'}"


def _addressed(match: re.Match[str]) -> str:
    verb = (match[2] or "").strip()
    plural = _VERBS.get(verb, verb.removesuffix("s"))
    return f"you{match[1] or ''}{f' {plural}' if verb else ''}"


def _finished(text: str) -> str:
    """One sentence with a capital letter and a full stop, or ""."""
    text = re.sub(r"\s+", " ", text).strip().strip(",; ").lstrip(". ")
    text = re.sub(r",\.$", ".", text)
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def _sentences(text: str | None) -> list[str]:
    lines = re.sub(r"\s*\n-\s+", ", ", text or "").replace(":,", ":")
    lines = re.sub(r"You do not want the\s+(?=You )", "", lines)
    parts = re.split(r"(?<=[.!?])\s+(?=[A-Z'\"(.])|\n\s*\n", lines)
    return [
        part for part in (re.sub(r"\s+", " ", part).strip() for part in parts) if part.strip(". ;")
    ]
