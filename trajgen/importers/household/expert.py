"""An expert that fulfils wishes in a house, or finds out that it cannot or must not.

It obeys the domain's policy; what it reports is what it did and saw.

Crash rule: as robot.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trajgen.importers.household.houses import kind_of
from trajgen.importers.household.kinds import FOOD, FRIDGE, MICROWAVE, SINK, STOVE
from trajgen.importers.household.robot import Robot
from trajgen.importers.household.wishes import Errand, Part, Setting, Wish, unsafe


@dataclass
class Report:
    """How a wish went: errands and settings that are done, and why one was not.

    `trouble` is "", or one of absent, locked, nowhere, unsafe, burning, about `thing` and
    `place`; `left` is where the thing stays.
    """

    done: list[Part] = field(default_factory=list)
    trouble: str = ""
    thing: str = ""
    place: str = ""
    left: str = ""
    material: str = ""


def fulfil(wish: Wish, robot: Robot) -> Report:
    """Do all that the wish asks for, as far as it goes; nothing stays on, open or in hand."""
    report = Report()
    for part in wish.parts:
        done = _run(part, robot, report) if isinstance(part, Errand) else _set(part, robot, report)
        if not done:
            break
        report.done.append(part)
    robot.leave()
    return report


def _run(errand: Errand, robot: Robot, report: Report) -> bool:
    found = robot.fetch(errand.thing, errand.told)
    report.thing, report.place = errand.thing, errand.told[-1]
    if not found:
        report.trouble = "locked" if errand.told[-1] in robot.locked else "absent"
        return False
    if not _treat(errand, robot, report):
        report.left = _put_back(errand.thing, found, robot)
        return False
    if robot.put(errand.thing, errand.to):
        return True
    report.trouble = "locked" if errand.to in robot.locked else "nowhere"
    report.place = errand.to
    report.left = _put_back(errand.thing, found, robot)
    return False


def _put_back(thing: str, place: str, robot: Robot) -> str:
    robot.put(thing, place)
    return place


def _treat(errand: Errand, robot: Robot, report: Report) -> bool:
    """Wash, heat or cool what it holds; False when that is unsafe."""
    if errand.do == "clean":
        robot.go(SINK)
        robot.call("clean", "Now I wash it.", object=errand.thing, place=SINK)
    elif errand.do == "cool":
        robot.go(FRIDGE)
        _use("cool", errand.thing, robot)
    elif errand.do == "heat":
        return _heat(errand, robot, report)
    return True


def _heat(errand: Errand, robot: Robot, report: Report) -> bool:
    material = "food" if kind_of(errand.thing) in FOOD else robot.examine(errand.thing)
    place = errand.at or _appliance(material, robot)
    if unsafe(material, place):
        report.trouble, report.place, report.material = "unsafe", place, material
        return False
    robot.go(place)
    if place == STOVE:
        _on_stove(errand.thing, robot)
    else:
        _use("heat", errand.thing, robot)
    return True


def _appliance(material: str, robot: Robot) -> str:
    if unsafe(material, MICROWAVE):
        return STOVE
    if unsafe(material, STOVE):
        return MICROWAVE
    return MICROWAVE if robot.draw.random() < 0.6 else STOVE


def _use(tool: str, thing: str, robot: Robot) -> None:
    """Heat or cool behind a door, which is sometimes forgotten and then opened."""
    if robot.draw.random() < 0.8:
        robot.open()
    _, told = robot.call(tool, f"Now I {tool} it.", object=thing, place=robot.at)
    if "is closed" in told:
        robot.open()
        robot.call(tool, object=thing, place=robot.at)
    else:
        robot.opened.add(robot.at)


def _on_stove(thing: str, robot: Robot) -> None:
    """Heat on the stove, which may be off; off it goes right after."""
    if robot.draw.random() < 0.8:
        robot.call("switch", "The stove must be on.", place=STOVE, to="on")
    _, told = robot.call("heat", "Now I heat it.", object=thing, place=STOVE)
    if "is off" in told:
        robot.call("switch", "It is off, so I switch it on.", place=STOVE, to="on")
        robot.call("heat", object=thing, place=STOVE)
    robot.call("switch", "And off again.", place=STOVE, to="off")


def _set(setting: Setting, robot: Robot, report: Report) -> bool:
    """Switch, open or close; that it is so already is as good."""
    place = setting.place
    robot.go(place)
    if setting.field == "open":
        robot.call("open" if setting.value else "close", f"Now {place}.", place=place)
    elif place == STOVE and setting.value == "on":  # nobody would watch it
        robot.look()
        report.trouble, report.place = "burning", STOVE
        return False
    else:
        robot.call("switch", f"Now {place}.", place=place, to=str(setting.value))
    return True
