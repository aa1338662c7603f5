"""What the robot says at the end: what was done, where things are, and why not all was.

Crash rule: nothing is kept; the same stream says the same words.
"""

from __future__ import annotations

from random import Random

from trajgen.importers.household.expert import Report
from trajgen.importers.household.kinds import MICROWAVE, STOVE
from trajgen.importers.household.wishes import Part, Setting, Wish
from trajgen.importers.household.words import capital, setting_words, spot

_DONE = (
    "Done: {facts}.",
    "{Facts}.",
    "{Facts} now.",
    "All done. {Facts}.",
    "It is done: {facts}.",
    "{Facts}, as you wished.",
    "Here you are: {facts}.",
    "That is done. {Facts} now.",
)
_TROUBLE = {
    "absent": (
        "I'm sorry, {thing} is not {spots}.",
        "I could not find {thing}; it is not {spots}.",
        "{thing} is not {spots}, so I could not bring it.",
        "I looked, but {thing} is not {spots}.",
    ),
    "locked": (
        "I'm sorry, {place} is locked and I have no key.{left}",
        "{place} is locked, so I could not do it.{left}",
        "I could not open {place}: it is locked.{left}",
    ),
    "nowhere": (
        "I'm sorry, there is no {place} here.{left}",
        "There is no {place} in this house.{left}",
        "I found no {place}.{left}",
    ),
    "unsafe": (
        "I must not heat {thing} {spot}: it is {material}.{left} Shall I use {other}?",
        "{thing} is {material}, which is not safe {spot}.{left} I can use {other} instead.",
        "That is not safe: {thing} is {material}.{left} {other} would do.",
    ),
    "burning": (
        "I can't leave {place} on: with nobody there it is a danger. It is off.",
        "But {place} stays off: left alone it could start a fire.",
        "{place} must not stay on, so it is off. Tell me when you are there.",
    ),
}


def told(wish: Wish, report: Report, draw: Random) -> str:
    """The robot's last message."""
    facts = ", and ".join(map(_fact, report.done))
    if report.trouble:
        sorry = _trouble(wish, report, draw)
        return f"{facts}. {sorry}" if facts else sorry
    return draw.choice(_DONE).format(facts=facts, Facts=capital(facts))


def _fact(part: Part) -> str:
    if isinstance(part, Setting):
        return f"{part.place} is {setting_words(part)}"
    made = {"": "", "clean": "clean and ", "heat": "hot and ", "cool": "cold and "}[part.do]
    return f"{part.thing} is {made}{'back ' if part.back else ''}{spot(part.to)}"


def _trouble(wish: Wish, report: Report, draw: Random) -> str:
    looked = [spot(place) for errand in wish.errands[:1] for place in errand.told]
    return draw.choice(_TROUBLE[report.trouble]).format(
        thing=report.thing,
        place=report.place,
        material=report.material,
        spot=spot(report.place),
        spots=" or ".join(looked),
        left=f" {report.thing} stays {spot(report.left)}." if report.left else "",
        other=MICROWAVE if report.place == STOVE else STOVE,
    )
