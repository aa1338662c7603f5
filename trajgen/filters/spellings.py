"""The second look for an id or a number: other spellings, and what follows from what was seen.

Only what was not found word for word comes here, so this may take milliseconds; the work
is bounded by the caps below, whatever the conversation holds. `seen` is folded text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import accumulate, combinations

_DATE = re.compile(
    r"(?<!\d)(?P<y>[12]\d{3})(?P<s>[-/.]?)(?P<m>\d\d)(?P=s)(?P<d>\d\d)(?!\d)"
    r"(?:[t ][\d:.]+(?:z|[+-]\d\d:?\d\d)?)?"
)
_LOCAL_DATE = re.compile(r"(?<![\d/.-])(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d\d)(?![\d/.-])")
_EXPIRES = re.compile(r"(\d\d)/20(\d\d)")  # of a card: 12/25
_TIME = re.compile(r"(\d{1,2})[:.h](\d\d)(?:[:.]\d\d)?(?:\.\d+)?z? ?(?:[ap]m)?")
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?=(k\b|m\b| thousand| million)?)")
_FIELD = re.compile(r'"(\w+)": ?(-?\d+(?:\.\d+)?)')
_WHEN = re.compile(
    r"\b(to(?:day|morrow|night)|yesterday|next|later|earlier|flexible|around|any|weekend"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|days?|nights?|weeks?|months?)\b"
)
_COUNTED = re.compile(r"\b(?:(?:first|last|days?) (?:day )?|end |start )(?:of|after|before)\b")
_DAY_PART = re.compile(r"\b(noon|midnight|half|quarter|morning|afternoon|evening)\b")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"),
    *("tenth", "eleventh", "twelfth"),
)
_SPOKEN = {
    r"\s+at\s+": "@",
    r"\s+dot\s+": ".",
    r"\s+(?:dash|hyphen|minus)\s+": "-",
    r"\s+underscore\s+": "_",
}
_SCALES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6}
_NEAR = timedelta(400)  # a date meant relatively ("next May") lies this near to a seen one
_PAIRED, _GROUPED, _RUN = 48, 14, 32  # seen numbers combined in twos, in threes, in a row


def stands(name: str, text: str, end: int | None = None) -> bool:
    """Whether `name` is in `text[:end]`, not as a part of a longer word or number."""
    end = len(text) if end is None else min(end, len(text))
    at = text.find(name, 0, end)
    while at >= 0:
        after = at + len(name)
        joined = at > 0 and text[at - 1].isalnum() and name[0].isalnum()
        if not joined and not (after < end and text[after].isalnum() and name[-1].isalnum()):
            return True
        at = text.find(name, at + 1, end)
    return False


def is_when(text: str) -> bool:
    """Whether folded `text` is a date or a time."""
    if not text[:1].isdecimal():
        return False
    return any(p.fullmatch(text) for p in (_DATE, _LOCAL_DATE, _TIME))


def spelled(text: str, seen: str) -> bool:
    """`text` with other separators between its letters and digits, as a word of its own."""
    characters = [re.escape(c) for c in text if c.isalnum() or c == "@"]
    if not 2 <= len(characters) <= 64:
        return False
    pattern = r"[\s\-_./:#(),+]{0,3}".join(characters)
    return re.search(rf"(?<![^\W_]){pattern}(?![^\W_])", seen) is not None


def known_id(text: str, seen: str, said: str) -> bool:
    """An id in another spelling, a date or time, or one put together from seen parts.

    `said` is what the user said: only there may a date be spoken of relatively.
    """
    when = _DATE.fullmatch(text) or _LOCAL_DATE.fullmatch(text)
    if when and _known_date(when, seen, said):
        return True
    if (expires := _EXPIRES.fullmatch(text)) and stands(f"{expires[1]}/{expires[2]}", seen):
        return True
    if time := _TIME.fullmatch(text):
        return _known_time(int(time[1]), int(time[2]), seen)
    if spelled(text, seen) or spelled(text, _written_out(seen)):
        return True
    if text.lstrip("+").replace("-", "").isdecimal():  # a telephone number without its country
        digits = re.sub(r"\D", "", text)
        return any(len(digits) - n >= 7 and spelled(digits[n:], seen) for n in (1, 2, 3))
    return "@" not in text and _composed(text, seen)


def known_number(text: str, seen: str, derived: bool) -> bool:
    """The number in other digits or, when `derived`, worked out from a few seen ones."""
    try:
        target = abs(float(text.replace(",", "")))
    except ValueError:
        return False
    numbers = _numbers(seen)
    if any(abs(number - target) < 0.005 for number in numbers):
        return True
    return derived and (_worked_out(round(target, 2), numbers) or _totalled(target, seen))


@lru_cache(maxsize=4)
def _written_out(seen: str) -> str:
    """Addresses and codes as people say them: "ann at example dot com"."""
    for spoken, sign in _SPOKEN.items():
        seen = re.sub(spoken, sign, seen)
    return seen


def _composed(text: str, seen: str) -> bool:
    """All parts of `text` were seen: `#W` before a number, two ids with a comma between.

    Short bare numbers prove nothing by themselves: one part must be more than that.
    """
    parts = re.findall(r"[^\W_]+", text)
    coded = [part for part in parts if any(map(str.isdecimal, part))]
    words = [part for part in parts if part not in coded]
    if not all(word in seen for word in words if len(word) > 2 or not coded):
        return False
    telling = [part for part in coded if len(part) >= 4 or not part.isdecimal()]
    return bool(telling or not coded) and all(
        stands(part, seen) or _prefixed(part, seen) or (len(part) > 3 and spelled(part, seen))
        for part in coded
    )


def _prefixed(part: str, seen: str) -> bool:
    """A number that was seen, with a short prefix or unit that was seen with others."""
    match = re.fullmatch(r"([a-z]{0,4})(\d{4,})([a-z]{0,3})", part)
    return match is not None and stands(match[2], seen) and match[1] in seen and match[3] in seen


def _known_date(match: re.Match[str], seen: str, said: str) -> bool:
    """The day in words or another order, or near a seen date and spoken of relatively."""
    days = list(_readings(match))
    anchors = {d for m in _DATE.finditer(seen) for d in _readings(m)}
    if any(day in anchors or _day_seen(day, seen) for day in days):
        return True
    if any(_month_said(day, said) for day in days):
        return True
    near = any(abs(day - anchor) <= _NEAR for day in days for anchor in anchors)
    return near and bool(_WHEN.search(said))


def _readings(match: re.Match[str]) -> Iterator[date]:
    """The dates that the figures can mean: month first or day first, where that is open."""
    if match.re is _DATE:
        orders = [(match["y"], match["m"], match["d"])]
    else:
        year = match[3] if len(match[3]) == 4 else f"20{match[3]}"
        orders = [(year, match[1], match[2]), (year, match[2], match[1])]
    for year, month, day in orders:
        if 1 <= int(month) <= 12 and 1 <= int(day) <= 31:
            try:
                yield date(int(year), int(month), int(day))
            except ValueError:
                continue


def _day_seen(day: date, seen: str) -> bool:
    """Day and month side by side in some form, and the year, if years are told at all."""
    month, m = rf"{_MONTHS[day.month - 1]}[a-z]*\.?", rf"0?{day.month}"
    number, other = rf"0?{day.day}(?:st|nd|rd|th)?", r"\d{1,2}(?:st|nd|rd|th)?"
    between = r"[ ,]*(?:-|to|and|or|until|through)?[ ,]*(?:the )?"
    forms = (
        rf"\b{month}(?: the)? (?:{other}{between})?{number}\b",
        rf"\b{number}(?:{between}{other})?(?: day)?(?: of)?[ -]{month}",
        rf"\b{m}[/.-]{number}\b",
        rf"\b{number}[/.-]{m}\b",
    )
    if not any(re.search(form, seen) for form in forms):
        return False
    return str(day.year) in seen or not re.search(r"\b(?:19|20)\d\d\b", seen)


def _month_said(day: date, said: str) -> bool:
    """Month and year spoken of, and of the day its number, or what it is counted from."""
    month = rf"\b(?:{_MONTHS[day.month - 1]}[a-z]*|{_ORDINALS[day.month - 1]} month)\b"
    if not (re.search(month, said) and stands(str(day.year), said)):
        return False
    return bool(re.search(rf"\b{day.day}(?:st|nd|rd|th)\b", said) or _COUNTED.search(said))


def _known_time(hour: int, minute: int, seen: str) -> bool:
    """The time on a clock of 12 or 24 hours, or a part of the day that was spoken of."""
    for shown in {hour, hour % 12 or 12, hour % 12 + 12}:
        minutes = r"(?:[:.h]?00)?" if minute == 0 else rf"[:.h ]?{minute:02d}"
        if re.search(rf"(?<!\d)0?{shown}{minutes}(?:\s?[ap]\.?m|\s?h|\s?o'clock|(?!\d))", seen):
            return True
    return _DAY_PART.search(seen) is not None


@lru_cache(maxsize=4)
def _numbers(seen: str) -> tuple[float, ...]:
    """The distinct numbers of a text without their signs, the latest first."""
    found: dict[float, None] = {}
    for match in _NUMBER.finditer(seen):
        if len(match[0]) <= 15:
            number = float(match[0].replace(",", ""))
            found[number * _SCALES.get((match[1] or "").strip(), 1)] = None
    return tuple(reversed(found))


def _worked_out(target: float, numbers: Sequence[float]) -> bool:
    """A sum, difference, product, quotient or percentage of two; a few times one; a sum of
    three or four."""
    near = [n for n in numbers if n > 0][:_PAIRED]
    for a, b in combinations(near, 2):
        results = (a + b, a - b, b - a, a * b, a / b, b / a, a * b / 100)
        shares = (a - a * b / 100, b - a * b / 100, a + a * b / 100, b + a * b / 100)
        if any(round(result, 2) == target for result in (*results, *shares)):
            return True
    if any(round(n * times, 2) == target for n in near for times in range(2, 11)):
        return True
    few = [n for n in near if target == int(target) or n != int(n)][:_GROUPED]
    return any(round(sum(g), 2) == target for size in (3, 4) for g in combinations(few, size))


def _totalled(target: float, seen: str) -> bool:
    """The sum of one field over neighbours in a list, such as the prices of an order."""
    columns: dict[str, list[float]] = {}
    for name, number in _FIELD.findall(seen):
        columns.setdefault(name, []).append(float(number))
    return any(
        abs(total - target) < 0.005
        for column in columns.values()
        for start in range(len(column[-_RUN:]))
        for total in accumulate(column[-_RUN:][start:])
    )
