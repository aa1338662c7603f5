"""What is remembered belongs to one object, and is forgotten in turn."""

from __future__ import annotations

import pytest

from trajgen.remembered import Latest, Remembered


def test_made_once_for_each_object_and_not_for_equals() -> None:
    made: list[list[int]] = []

    def total(numbers: list[int]) -> int:
        made.append(numbers)
        return sum(numbers)

    totals = Remembered(total, 2)
    one, equal, other = [1, 2], [1, 2], [3]
    assert [totals(one), totals(one), totals(equal), totals(other), totals(other)] == [
        3,
        3,
        3,
        3,
        3,
    ]
    assert [number is wanted for number, wanted in zip(made, (one, equal, other), strict=True)]
    assert len(made) == 3
    assert totals(one) == 3
    assert len(made) == 4  # two were kept, and this was the oldest


def test_an_object_in_the_place_of_one_that_is_gone_is_another() -> None:
    lengths = Remembered(len, 1)
    for size in range(200):
        assert lengths(list(range(size))) == size


def test_the_latest_is_made_once_while_it_is_asked_for_the_same_objects() -> None:
    made: list[tuple[list[int], int]] = []

    def longer(numbers: list[int], by: int) -> list[int]:
        made.append((numbers, by))
        return [*numbers, *range(by)]

    latest = Latest(longer)
    one, equal = [7], [7]
    assert latest(one, 2) is latest(one, 2)
    assert len(made) == 1
    assert latest(equal, 2) == [7, 0, 1]
    assert latest(equal, 1) == [7, 0]
    assert latest(one, 2) == [7, 0, 1]
    assert len(made) == 4  # equal is not the same, and but one is kept


def test_the_latest_keeps_no_failure() -> None:
    latest = Latest(lambda number: 1 // number)
    for number in (1, 0, 1):
        if number:
            assert latest(number) == 1
        else:
            with pytest.raises(ZeroDivisionError):
                latest(number)
