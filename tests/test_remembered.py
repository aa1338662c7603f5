"""What is remembered belongs to one object, and is forgotten in turn."""

from __future__ import annotations

from trajgen.remembered import Remembered


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
