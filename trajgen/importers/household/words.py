"""What users say: a wish in the words of a persona, and what one is told who plays the user.

Crash rule: nothing is kept; the same stream says the same words.
"""

from __future__ import annotations

from random import Random

from trajgen.importers.household.houses import kind_of
from trajgen.importers.household.kinds import INSIDE, STOVE
from trajgen.importers.household.wishes import Errand, Part, Setting, Wish

MOST_WORDS = 30  # of a wish; longer ones are said again in other words
TRIES = 100  # of which the shortest is taken where a wish has too much to tell
_SHORT = "{It}. {where}"
PERSONAS = {  # {it} is the wish as an order; {where} tells where things are, and may be empty
    "plain": (
        "Please {it}. {where}",
        "{It}, please. {where}",
        "Can you {it}? {where}",
        "I need you to {it}. {where}",
        "I want you to {it}. {where}",
        "Please {it} for me. {where}",
        "{where} Please {it}.",
        _SHORT,
    ),
    "terse": (
        _SHORT,
        "{It}, please. {where}",
        "{where} {It}.",
        "Job: {it}. {where}",
        "Next: {it}. {where}",
    ),
    "chatty": (
        "Hi there! We have guests tonight, so could you {it}? {where} Thanks a lot!",
        "Good morning! I'm busy with the children today. Can you {it}? {where}",
        "You know me, I forget everything. Could you {it}? {where}",
        "What a day it has been! Would you {it} for me? {where}",
        "I'm tidying up a little. {where} Could you {it}?",
        "Hello robot! My hands are full just now. Please {it}. {where}",
        "Guess who is coming to dinner! Please {it}. {where}",
        "I had such a nice walk. Now, could you {it}? {where}",
        _SHORT,
    ),
    "polite": (
        "Would you please {it}? {where}",
        "Could you kindly {it}? {where} Thank you.",
        "If it is no trouble, please {it}. {where}",
        "I would be glad if you could {it}. {where}",
        "May I ask you to {it}? {where} Many thanks.",
        "Please be so kind as to {it}. {where}",
        "Could you please {it}? {where}",
    ),
    "impatient": (
        "Quick, {it}! {where}",
        "{It}, and hurry. {where}",
        "I'm late already: {it}. {where}",
        "Come on, {it}. {where}",
        "No time to talk. {where} {It}!",
        "{It}, at once. {where}",
        "I can't wait for ever: {it}! {where}",
    ),
}
_WHERE = (
    "{It} is {in}.",
    "{It} should be {in}.",
    "You'll find {it} {in}.",
    "I left {it} {in}.",
    "I last saw {it} {in}.",
    "Look for {it} {in}.",
)
_EITHER = (
    "{It} is {in}, or else {or}.",
    "I think {it} is {in}, or else {or}.",
    "{It} should be {in}; if not, {or}.",
    "Look for {it} {in}, then {or}.",
    "I left {it} {in}, or maybe {or}.",
)
_ORDERS = {
    "": (
        "put {thing} {to}",
        "bring {thing} to {place}",
        "move {thing} to {place}",
        "take {thing} to {place}",
        "get {thing} and put it {to}",
    ),
    "clean": (
        "wash {thing} and put it {to}",
        "clean {thing} and bring it to {place}",
        "put {thing} {to}, but wash it first",
        "give {thing} a wash, then put it {to}",
        "wash {thing} for me and take it to {place}",
    ),
    "heat": (
        "heat {thing}{at} and put it {to}",
        "warm up {thing}{at} and bring it to {place}",
        "heat up {thing}{at}, then put it {to}",
        "make {thing} hot{at} and put it {to}",
    ),
    "cool": (
        "cool {thing} and put it {to}",
        "chill {thing}, then bring it to {place}",
        "put {thing} {to}, but chill it first",
        "make {thing} cold and take it to {place}",
    ),
}
_BACK = {
    "clean": (
        "wash {thing} and put it back",
        "clean {thing}, then bring it back",
        "give {thing} a wash and put it back where it was",
    ),
    "heat": (
        "heat {thing}{at} and bring it back",
        "warm up {thing}{at}, then put it back",
        "make {thing} hot{at} and return it to its place",
    ),
    "cool": (
        "chill {thing} and put it back",
        "cool {thing}, then bring it back",
        "make {thing} cold and put it back where it was",
    ),
}
_SWITCH = ("switch {place} {to}", "switch {to} {place}", "turn {place} {to}", "turn {to} {place}")
_MAKE_SURE = "make sure {place} is {to}"
_LEAVE_ON = (
    f"switch {STOVE} on and leave it on",
    f"leave {STOVE} on until I am back",
    f"keep {STOVE} on while I am out",
)
_MADE = {"": "", "clean": "washed and ", "heat": "heated{at} and ", "cool": "cooled and "}


def asked(wish: Wish, persona: str, draw: Random) -> str:
    """The user's first message, as short as a few tries make it."""
    tries = []
    for _ in range(TRIES):
        tries.append(_said(wish, persona, draw))
        if len(tries[-1].split()) <= MOST_WORDS:
            return tries[-1]
    return min(tries, key=len)


def instruction(wish: Wish) -> str:
    """What a person is told who plays the user."""
    return " ".join(map(_wanted, wish.parts))


def spot(place: str) -> str:
    """`in cabinet_1`, `on table_1`."""
    return f"{'in' if kind_of(place) in INSIDE else 'on'} {place}"


def setting_words(setting: Setting) -> str:
    """`on`, `off`, `open` or `closed`."""
    if setting.field == "power":
        return str(setting.value)
    return "open" if setting.value else "closed"


def capital(text: str) -> str:
    """A first word begins a sentence with a capital; an id does not."""
    first = text.partition(" ")[0]
    return text if "_" in first else text[:1].upper() + text[1:]


def _said(wish: Wish, persona: str, draw: Random) -> str:
    sure = all(len(errand.told) == 1 and not errand.back for errand in wish.errands)
    inline = sure and draw.random() < 0.35  # "put mug_1 from sink_1 on table_1"
    orders = ", and ".join(_order(part, inline, draw) for part in wish.parts)
    template = draw.choice(PERSONAS[persona])
    named = len(wish.errands) > 1 or template.index("{where}") < template.lower().index("{it}")
    where = "" if inline else " ".join(_where(errand, named, draw) for errand in wish.errands)
    return " ".join(template.format(it=orders, It=capital(orders), where=where).split())


def _order(part: Part, inline: bool, draw: Random) -> str:
    if isinstance(part, Setting):
        return _set(part, draw)
    forms = _BACK[part.do] if part.back else _ORDERS[part.do]
    thing = f"{part.thing} from {part.told[0]}" if inline else part.thing
    return draw.choice(forms).format(thing=thing, to=spot(part.to), place=part.to, at=_at(part))


def _set(setting: Setting, draw: Random) -> str:
    if setting.field == "open":
        verb = "open" if setting.value else draw.choice(("close", "shut"))
        return f"{verb} {setting.place}"
    if setting.place == STOVE and setting.value == "on":
        return draw.choice(_LEAVE_ON)
    form = draw.choice((*_SWITCH, _MAKE_SURE))
    return form.format(place=setting.place, to=setting.value)


def _at(errand: Errand) -> str:
    return f" {spot(errand.at)}" if errand.at else ""


def _where(errand: Errand, named: bool, draw: Random) -> str:
    it = errand.thing if named else "it"
    words = {"it": it, "It": capital(it), "in": spot(errand.told[0]), "or": spot(errand.told[-1])}
    return draw.choice(_WHERE if len(errand.told) == 1 else _EITHER).format(**words)


def _wanted(part: Part) -> str:
    if isinstance(part, Setting):
        left = " and left on" if (part.place, part.value) == (STOVE, "on") else ""
        return f"You want {part.place} {setting_words(part)}{left}."
    made = _MADE[part.do].format(at=_at(part))
    last = f"brought back to {part.to}" if part.back else f"put {spot(part.to)}"
    return f"You want {part.thing} {made}{last}. It is {', or else '.join(map(spot, part.told))}."
