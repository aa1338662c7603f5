"""What users and the robot say: wishes by persona, and how it went.

Crash rule: nothing is kept; the same stream says the same words.
"""

from __future__ import annotations

from random import Random

from trajgen.importers.household.expert import Report
from trajgen.importers.household.houses import kind_of
from trajgen.importers.household.kinds import INSIDE, STOVE
from trajgen.importers.household.wishes import Errand, Setting, Wish

# {it} is the wish as an order; {where} tells where things are, and may be empty.
PERSONAS = {
    "plain": (
        "Please {it}. {where}",
        "{It}, please. {where}",
        "Can you {it}? {where}",
        "I need you to {it}. {where}",
        "{It}. {where}",
        "{where} Please {it}.",
    ),
    "terse": ("{It}. {where}", "{It}, please. {where}", "{where} {It}.", "Job: {it}. {where}"),
    "chatty": (
        "Hi there! We have guests tonight, so could you {it}? {where} Thanks a lot!",
        "Good morning! I'm busy with the children today. Can you {it}? {where}",
        "You know me, I forget everything. Could you {it}? {where} You're a star!",
        "What a day it has been! Would you {it} for me? {where}",
        "I'm tidying up a little. {where} Could you {it}?",
        "Hello robot! My hands are full just now. Please {it}. {where}",
    ),
    "polite": (
        "Would you please {it}? {where}",
        "Could you kindly {it}? {where} Thank you.",
        "If it is no trouble, please {it}. {where}",
        "I would be glad if you could {it}. {where}",
        "May I ask you to {it}? {where} Many thanks.",
    ),
    "impatient": (
        "Quick, {it}! {where}",
        "{It}, and hurry. {where}",
        "I'm late already: {it}. {where}",
        "Come on, {it}. {where}",
        "No time to talk. {where} {It}!",
    ),
}
_WHERE = ("It is {in}.", "It's {in}.", "It should be {in}.", "You'll find it {in}.", "Look {in}.")
_EITHER = (
    "It is {in}, or else {or}.",
    "It's {in}, I think, or else {or}.",
    "Try {first}, then {second}.",
    "It should be {in}; if not, {or}.",
    "Look {in} first, then {or}.",
)
_ORDERS = {
    "": (
        "put {thing} {to}",
        "bring {thing} to {place}",
        "move {thing} to {place}",
        "take {thing} to {place}",
        "leave {thing} {to}",
    ),
    "clean": (
        "wash {thing} and put it {to}",
        "clean {thing} and bring it to {place}",
        "put {thing} {to}, but wash it first",
        "give {thing} a wash, then put it {to}",
        "put {thing} {to} once it is clean",
    ),
    "heat": (
        "heat {thing}{at} and put it {to}",
        "warm up {thing}{at} and bring it to {place}",
        "heat up {thing}{at}, then leave it {to}",
        "make {thing} hot{at} and put it {to}",
    ),
    "cool": (
        "cool {thing} and put it {to}",
        "chill {thing}, then bring it to {place}",
        "put {thing} {to}, but chill it first",
        "make {thing} cold in the fridge and put it {to}",
    ),
}
_BACK = {
    "clean": ("wash {thing} and put it back", "clean {thing}, then bring it back"),
    "heat": ("heat {thing}{at} and bring it back", "warm up {thing}{at}, then put it back"),
    "cool": ("chill {thing} and put it back", "cool {thing}, then bring it back"),
}
_MADE = {"": "", "clean": "washed and ", "heat": "heated{at} and ", "cool": "cooled and "}


def asked(wish: Wish, persona: str, draw: Random) -> str:
    """The user's first message."""
    where = [_where(errand, len(wish.errands) > 1, draw) for errand in wish.errands]
    inside = draw.random() < 0.35 and all(len(e.told) == 1 and not e.back for e in wish.errands)
    parts = [_order(errand, inside, draw) for errand in wish.errands]
    parts += _settings(wish.settings, draw)
    if wish.kind == "burning":
        parts = [draw.choice(_KEEP_ON)]
    it = (draw.choice((", and ", ", then ")) if any("," in p for p in parts) else " and ").join(
        parts
    )
    template = draw.choice(PERSONAS[persona])
    text = template.format(it=it, It=_capital(it), where="" if inside else " ".join(where))
    return " ".join(text.split())


def instruction(wish: Wish) -> str:
    """What a person is told who plays the user."""
    found = []
    for errand in wish.errands:
        made = _MADE[errand.do].format(at=_at(errand))
        last = f"brought back to {errand.to}" if errand.back else f"put {spot(errand.to)}"
        places = ", or else ".join(map(spot, errand.told))
        found.append(f"You want {errand.thing} {made}{last}. It is {places}.")
    for setting in wish.settings:
        found.append(f"You want {setting.place} {_value(setting)}.")
    if wish.kind == "burning":
        found.append("It is to stay on, with nobody there.")
    return " ".join(found)


def told(wish: Wish, report: Report, draw: Random) -> str:
    """The robot's last message."""
    facts = [_fact(part, draw) for part in report.done]
    if not report.trouble:
        said = _listed(facts)
        template = draw.choice(_DONE)
        return template.format(facts=said, Facts=_capital(said))
    sorry = _trouble(wish, report, draw)
    return f"{_capital(_listed(facts))}. {sorry}" if facts else sorry


_DONE = (
    "Done: {facts}.",
    "{Facts}.",
    "{Facts} now.",
    "All done. {Facts}.",
    "It is done: {facts}.",
    "{Facts}, as you wished.",
)
_KEEP_ON = (
    f"switch {STOVE} on and leave it on",
    f"turn {STOVE} on and let it run until I am back",
    f"put {STOVE} on and keep it on while I am out",
)


def spot(place: str) -> str:
    """`in cabinet_1`, `on table_1`."""
    return f"{'in' if kind_of(place) in INSIDE else 'on'} {place}"


def _order(errand: Errand, inside: bool, draw: Random) -> str:
    forms = _BACK[errand.do] if errand.back else _ORDERS[errand.do]
    thing = f"{errand.thing} from {errand.told[0]}" if inside else errand.thing
    return draw.choice(forms).format(
        thing=thing, to=spot(errand.to), place=errand.to, at=_at(errand)
    )


def _at(errand: Errand) -> str:
    return f" {spot(errand.at)}" if errand.at else ""


def _where(errand: Errand, named: bool, draw: Random) -> str:
    if len(errand.told) == 1:
        text = draw.choice(_WHERE[:4] if named else _WHERE).format(**{"in": spot(errand.told[0])})
    else:
        first, second = errand.told
        words = {"in": spot(first), "or": spot(second), "first": first, "second": second}
        text = draw.choice(_EITHER[:2] if named else _EITHER).format(**words)
    if not named:
        return text
    return (
        text.replace("It's", f"{errand.thing} is")
        .replace("It ", f"{errand.thing} ")
        .replace("find it", f"find {errand.thing}")
    )


def _settings(settings: tuple[Setting, ...], draw: Random) -> list[str]:
    if not settings:
        return []
    verb = draw.choice(("switch", "turn"))
    found = []
    for setting in settings:
        if setting.field == "power":
            form = draw.choice(("{v} {p} {x}", "{v} {x} {p}", "make sure {p} is {x}"))
            found.append(form.format(v=verb, p=setting.place, x=setting.value))
        else:
            words = ("open",) if setting.value else ("close", "shut")
            found.append(f"{draw.choice(words)} {setting.place}")
    return found


def _value(setting: Setting) -> str:
    if setting.field == "power":
        return str(setting.value)
    return "open" if setting.value else "closed"


def _fact(part: Errand | Setting, draw: Random) -> str:
    if isinstance(part, Setting):
        return f"{part.place} is {_value(part)}"
    made = {"": "", "clean": "clean", "heat": "hot", "cool": "cold"}[part.do]
    spoken = "back " if part.back else ""
    forms = (f"{part.thing} is {made + ' and ' if made else ''}{spoken}{spot(part.to)}",)
    if made:
        forms += (f"{made} {part.thing} is {spoken}{spot(part.to)}",)
        forms = forms[:1]
    return draw.choice(forms)


def _listed(facts: list[str]) -> str:
    return " and ".join(facts)


def _trouble(wish: Wish, report: Report, draw: Random) -> str:
    thing, place = report.thing, report.place
    left = f" {thing} stays {spot(report.left)}." if report.left else ""
    if report.trouble == "absent":
        places = " or ".join(map(spot, wish.errands[len(report.done)].told))
        forms = (
            f"I'm sorry, {thing} is not {places}.",
            f"I could not find {thing}; it is not {places}.",
        )
    elif report.trouble == "locked":
        forms = (
            f"I'm sorry, {place} is locked and I have no key.{left}",
            f"{place} is locked, so I could not do it.{left}",
        )
    elif report.trouble == "nowhere":
        forms = (
            f"I'm sorry, there is no {place} here.{left}",
            f"There is no {place} in this house.{left}",
        )
    elif report.trouble == "unsafe":
        other = "microwave_1" if place == STOVE else STOVE
        forms = (
            f"I must not heat {thing} {spot(place)}: it is {report.material}.{left} "
            f"Shall I use {other}?",
            f"{thing} is {report.material}, which is not safe {spot(place)}.{left} "
            f"I can use {other} instead.",
        )
    else:
        forms = (
            f"I can't leave {STOVE} on: with nobody there it is a danger. It is off.",
            f"That is not safe, so {STOVE} stays off. Tell me when you are there.",
        )
    return draw.choice(forms)


def _capital(text: str) -> str:
    """A first word begins a sentence with a capital, an id does not."""
    first = text.partition(" ")[0]
    return text if "_" in first else text[:1].upper() + text[1:]
