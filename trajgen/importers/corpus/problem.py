"""Why a row of a corpus cannot be represented: told, never guessed around."""

from __future__ import annotations


class Problem(str):
    """Why a row cannot be represented; `code` as the filters know it, `at` the message."""

    code: str
    at: int | None

    def __new__(cls, text: str, code: str = "bad_role_order", at: int | None = None) -> Problem:
        problem = super().__new__(cls, text)
        problem.code, problem.at = code, at
        return problem


class Refused(ValueError):
    """Stops the reading of one row; `problem` goes where the row would have gone."""

    def __init__(self, text: str, code: str = "bad_role_order", at: int | None = None) -> None:
        super().__init__(text, code, at)
        self.problem = Problem(text, code, at)
