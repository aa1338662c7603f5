"""Near copies are found, and what only shares a state or a form is none."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tests.conversations import GOOD
from tests.playing import SEED_MESSAGES
from trajgen.seeds import load_seeds
from trajgen.sketches import RECENT, Copies, sketch
from trajgen.sketches.bands import Bands

OURS = ("seeds/household", "seeds/chemistry_lab", "seeds/retail_support")
SEEDS = load_seeds(OURS).seeds
Messages = list[dict[str, Any]]


def copy(messages: Any) -> Messages:
    copied: Messages = json.loads(json.dumps(list(messages)))
    return copied


def changed(messages: Any, count: int, draw: random.Random) -> Messages:
    """`messages` with `count` words of user and agent replaced."""
    new = copy(messages)
    spoken = [m for m in new if m["role"] in ("user", "assistant")]
    places = [(m, i) for m in spoken for i in range(len(m["content"].split()))]
    for message, index in draw.sample(places, count):
        words = message["content"].split()
        words[index] = f"word{index}"
        message["content"] = " ".join(words)
    return new


def near(one: Any, other: Any, at_least: float = 0.98) -> bool:
    known = Copies(at_least)
    known.add([sketch(one)], 1)
    return known.find(sketch(other)) is not None


def test_a_copy_with_two_words_changed_is_a_near_copy() -> None:
    draw = random.Random(1)
    copies = [(s.messages, changed(s.messages, 2, draw)) for s in SEEDS for _ in range(10)]
    assert sum(near(one, other) for one, other in copies) >= 0.97 * len(copies)


def test_a_copy_with_every_fourth_word_changed_is_none() -> None:
    draw = random.Random(2)
    for seed in SEEDS:
        words = sum(len(m["content"].split()) for m in seed.messages if m["role"] != "tool")
        assert not near(seed.messages, changed(seed.messages, words // 4, draw))


@pytest.mark.slow
@pytest.mark.parametrize("source", [*OURS, "tau2:airline", "tau2:retail"])
def test_no_two_seeds_are_near_copies(source: str) -> None:
    known = Copies(0.98)
    for number, seed in enumerate(load_seeds((source,)).seeds):
        assert known.find(sketch(seed.messages)) is None
        known.add([sketch(seed.messages)], number)


def test_another_argument_is_another_conversation() -> None:
    other = copy(SEED_MESSAGES)
    other[1]["tool_calls"][0]["function"]["arguments"]["order_id"] = "W102"
    assert not near(SEED_MESSAGES, other)


def test_observations_ids_of_calls_case_and_system_messages_do_not_count() -> None:
    other = copy(SEED_MESSAGES)
    other[2]["content"] = "another observation altogether"
    other[1]["tool_calls"][0]["id"] = other[2]["tool_call_id"] = "x9"
    other[0]["content"] = other[0]["content"].upper()
    other.insert(0, {"role": "system", "content": "Be good."})
    assert sketch(other) == sketch(SEED_MESSAGES)


def test_a_short_conversation_is_not_a_copy_for_its_form() -> None:
    one = [{"role": "user", "content": "Read lamp L1"}, {"role": "assistant", "content": "On."}]
    other = [{"role": "user", "content": "Read lamp L2"}, {"role": "assistant", "content": "On."}]
    assert not near(one, other)
    assert near(one, copy(one))


def test_at_least_is_a_share() -> None:
    draw = random.Random(3)
    seed = max(SEEDS, key=lambda s: sum(len(m["content"]) for m in s.messages))
    some = changed(seed.messages, 5, draw)
    assert near(seed.messages, some, 0.9)
    assert not near(seed.messages, some, 0.99)


@pytest.mark.parametrize(
    "messages",
    [[], [{}], ["x", None, 3], [{"role": "user"}], [{"role": "user", "content": "\ud800"}]],
)
def test_any_messages_have_a_sketch(messages: Any) -> None:
    assert len(sketch(messages)) == 176


def test_the_first_one_is_named_however_many_follow() -> None:
    draw = random.Random(4)
    texts = [sketch(changed(SEEDS[n % len(SEEDS)].messages, 40, draw)) for n in range(200)]
    filling = [texts[n % 200] for n in range(3 * RECENT)]
    known = Copies(0.98)
    known.add([sketch(m) for m in GOOD.values()], 7)
    for number, text in enumerate(filling):
        known.add([text], 100 + number)
    assert {known.find(sketch(m)) for m in GOOD.values()} == {7}
    assert [known.find(text) for text in texts] == [100 + n for n in range(200)]
    two = [changed(m, 2, draw) for m in (SEEDS[0].messages, SEEDS[20].messages)]
    assert [known.find(sketch(m)) for m in two] == [None, None]
    known.add([sketch(SEEDS[0].messages), "", sketch(SEEDS[20].messages)], 9)
    assert [known.find(sketch(m)) for m in two] == [9, 9]
    assert known.find("") is None


SIZES = (5, 30, 90, 200, 391, 393, 420, 460, 900, 2500)  # short, long, and both sides of the limit


def made(draw: random.Random, size: int, near: bytes = b"") -> bytes:
    """A sketch of so many pairs; `near` one, where given, but for a few sums."""
    if near:
        sums = bytearray(near[2:])
        for place in draw.sample(range(128), draw.choice((0, 1, 4, 8, 9, 12, 30))):
            sums[place] = draw.randrange(256)
        size = int.from_bytes(near[:2], "little") + draw.randrange(-4, 5)
    else:
        sums = bytearray(128)
        for _ in range(size):
            place = draw.randrange(128)
            sums[place] = (sums[place] + draw.randrange(256)) % 256
    return max(1, size).to_bytes(2, "little") + bytes(sums)


def one_by_one(known: list[bytes], form: bytes, at_least: float) -> int | None:
    """The first near copy, each one compared."""
    for number, other in enumerate(known):
        copies = Copies(at_least)
        copies.add([base64.b64encode(other).decode()], number)
        if copies.find(base64.b64encode(form).decode()) is not None:
            return number
    return None


@pytest.mark.parametrize("at_least", [0.9, 0.98, 1.0])
def test_an_index_of_many_misses_no_copy_that_differs_in_two_words(at_least: float) -> None:
    """Rows that are sorted in are found as those are that are compared one by one: always up to
    8 different sums, 15 in a long conversation."""
    draw = random.Random(6)
    known = [made(draw, draw.choice(SIZES)) for _ in range(RECENT)]
    copies = Copies(at_least)
    for number, form in enumerate(known):
        copies.add([base64.b64encode(form).decode()], number)
    for form in draw.sample(known, 40):
        asked = made(draw, 0, form)
        off = sum(a != b for a, b in zip(form[2:], asked[2:], strict=True))
        found = copies.find(base64.b64encode(asked).decode())
        one = one_by_one([form], asked, at_least)
        tiny = int.from_bytes(form[:2], "little") < 90  # whole bands are empty in them
        if one is None or (off <= 8 and not tiny):
            assert (found is None) == (one is None)
        if found is not None:
            assert one_by_one([known[found]], asked, at_least) == 0


def test_what_was_added_at_once_is_what_was_added_one_by_one() -> None:
    draw = random.Random(7)
    texts = [base64.b64encode(made(draw, 300)).decode() for _ in range(2 * RECENT + 100)]
    once, slowly = Copies(0.98), Copies(0.98)
    once.add(texts, 3)
    for text in texts:
        slowly.add([text], 3)
    asked = [base64.b64encode(made(draw, 0, base64.b64decode(t))).decode() for t in texts[::40]]
    found = [once.find(text) for text in asked]
    assert found == [slowly.find(text) for text in asked]
    assert 3 in found
    assert None in found


@pytest.mark.parametrize("at_least", [0.9, 0.98])
def test_repeats_are_what_is_found_one_after_another(at_least: float) -> None:
    draw = random.Random(8)
    forms = [made(draw, draw.choice(SIZES)) for _ in range(60)]
    for _ in range(240):
        forms.append(made(draw, 0, draw.choice(forms)))
    texts = [base64.b64encode(form).decode() for form in forms]
    texts[::50] = [""] * 6
    before, expected = Copies(at_least), list[int | None]()
    for place, text in enumerate(texts):
        expected.append(before.find(text))
        before.add([text] if expected[-1] is None else [], place)
    assert Copies(at_least).repeats(texts) == expected
    assert 50 < len(texts) - expected.count(None) < 200
    assert Copies(at_least).repeats(["", ""]) == [None, None]


def test_many_are_found_as_each_is() -> None:
    draw, copies = random.Random(9), Copies(0.98)
    texts = [base64.b64encode(made(draw, draw.choice(SIZES))).decode() for _ in range(1500)]
    for number in range(0, 1500, 100):
        copies.add(texts[number : number + 100], number // 100)
    asked = ["", *(base64.b64encode(made(draw, 0, base64.b64decode(t))).decode() for t in texts)]
    assert copies.find_all(asked) == [copies.find(text) for text in asked]
    assert Copies(0.98).find_all(asked[:2]) == [None, None]


def test_different_bands_have_different_keys() -> None:
    sums = np.random.default_rng(1).integers(1, 256, (20_000, 128), np.uint8)
    for count in (9, 16):
        keys, rows = Bands(128, count).keys(sums, np.arange(len(sums)))
        assert len(keys) == len(rows) == count * len(sums)
        chance = len(keys) ** 2 / 2**33
        assert len(np.unique(keys)) > len(keys) - 2 * chance - 10


def test_an_empty_band_has_no_key() -> None:
    sums = np.zeros((3, 128), np.uint8)
    sums[1, 0] = sums[1, 127] = sums[2, 20] = 1
    _, rows = Bands(128, 9).keys(sums, np.array([7, 8, 9]))
    assert rows.tolist() == [8, 8, 9]


def test_a_sketch_is_the_same_in_every_process() -> None:
    program = (
        "from tests.playing import SEED_MESSAGES; from trajgen.sketches import sketch; "
        "import sys; sys.stdout.write(sketch(SEED_MESSAGES))"
    )
    for salt in ("1", "77"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout == sketch(SEED_MESSAGES)
