"""One answer beside the true one, and what answers add up to; every number by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.bazaar import ANA, STATE, answer, effect, refused
from trajgen.config import BarsConfig
from trajgen.errors import CheckFailed
from trajgen.fidelity.bars import check_bars
from trajgen.fidelity.score import WRONG_IN, Score, score
from trajgen.fidelity.steps import GOLDEN, Asked
from trajgen.fidelity.table import table
from trajgen.fidelity.tally import bucket, figures, rates
from trajgen.ledger import Ledger
from trajgen.records import Call, Reason
from trajgen.worlds import Answer

CANCEL = Call("call_1", "cancel_order", ANA, 1)
TRUTH = answer(Ledger(STATE), CANCEL)
ASKED = Asked(GOLDEN, 0, CANCEL, TRUTH)
REFUND = {"op": "increment", "path": "/users/ana_11/balance", "value": 20}


def scored(said: Answer | str, asked: Asked = ASKED) -> Score:
    return score(asked, Ledger(STATE), said)


def marks(found: Score) -> tuple[bool, bool, bool]:
    return found.precondition, found.effects, found.observation


def test_the_true_answer_is_right_in_all() -> None:
    ledger = Ledger(STATE)
    found = score(ASKED, ledger, TRUTH)
    assert found == Score("cancel_order", GOLDEN, True, 2, True, True, True, 1.0)
    assert ledger.state is STATE  # scoring changes nothing


def test_effects_are_compared_by_what_becomes_of_the_state() -> None:
    otherwise = (
        effect("set", "/users/ana_11/balance", 25.0),
        {"op": "remove", "path": "/orders/R1001/status"},
        effect("add", "/orders/R1001/status", "cancelled"),
    )
    assert marks(scored(replace(TRUTH, effects=otherwise))) == (True, True, True)


@pytest.mark.parametrize(
    "effects",
    [
        (),
        (REFUND,),
        (*TRUTH.effects, effect("set", "/orders/R1001/note", "x")),
        (effect("set", "/orders/R1001/status", "canceled"), REFUND),
        (effect("set", "/orders/R9/status", "cancelled"), REFUND),  # does not fit the state
        (effect("conjure", "/orders", 1),),
    ],
)
def test_other_effects_are_wrong(effects: Any) -> None:
    assert marks(scored(replace(TRUTH, effects=effects))) == (True, False, True)


def test_a_wrong_refusal_is_wrong_in_all_that_it_says() -> None:
    assert marks(scored(refused("no"))) == (False, False, False)


def test_a_call_that_does_not_apply() -> None:
    asked = Asked("another_id", 0, CANCEL, refused("no such order"))
    assert marks(scored(refused("never heard of it"), asked)) == (True, True, False)
    assert marks(scored(TRUTH, asked)) == (False, False, False)
    assert scored(TRUTH, asked).changed == 0


@pytest.mark.parametrize(("code", "where"), WRONG_IN.items())
def test_a_verdict_says_what_is_wrong(code: str, where: str) -> None:
    found = scored(replace(TRUTH, verdicts=(Reason(code, 1, "so it is"),)))
    parts = ("precondition", "effects", "observation")
    assert marks(found) == tuple(part != where for part in parts)
    assert found.f1 == 1.0


@pytest.mark.parametrize("code", ["bad_answer", "truncated", "control_tokens", "a_new_one"])
def test_an_answer_that_cannot_be_read_is_wrong_in_all(code: str) -> None:
    found = scored(replace(TRUTH, verdicts=(Reason(code, 1, "so it is"),)))
    assert (*marks(found), found.f1, found.error) == (False, False, False, 0.0, "")


def test_no_answer_is_wrong_in_all_and_says_why() -> None:
    assert scored("timeout") == Score("cancel_order", GOLDEN, True, 2, error="timeout")


# What they add up to.

SCORES = [
    Score("get", GOLDEN, True, 0, True, True, True, 1.0),
    Score("get", GOLDEN, True, 0, True, False, False, 0.5),
    Score("get", "no_such_id", False, 0, True, True, True, 1.0),
    Score("get", "no_such_id", False, 0, False, True, False, 0.0),
    Score("get", "another_id", True, 0, False, True, False, 0.0),
    Score("put", GOLDEN, True, 1, True, True, True, 1.0),
    Score("put", GOLDEN, True, 3, True, False, True, 1.0),
    Score("put", GOLDEN, True, 4, True, True, True, 1.0),
    Score("put", GOLDEN, True, 9, error="timeout"),
    Score("put", "repeated", False, 0, error="too_long"),
]
FOUND = figures("real", "model", SCORES)


def test_the_whole() -> None:
    assert list(FOUND) == [
        *("world", "model", "steps", "precondition", "effects", "observation", "per_tool"),
        *("probes", "unanswered", "replay"),
    ]
    assert (FOUND["world"], FOUND["model"], FOUND["steps"]) == ("real", "model", 10)
    assert FOUND["precondition"] == {
        "applicable": {"n": 7, "correct": 5},
        "inapplicable": {"n": 3, "correct": 1},
    }
    assert FOUND["observation"] == {"n": 7, "exact": 4, "field_f1": 0.6429}  # 4.5 of 7
    assert FOUND["unanswered"] == {"timeout": 1, "too_long": 1}
    assert FOUND["replay"] == {
        "n": 0,
        "real": 0,
        "world": 0,
        "world_to_real": 0,
        "consistency_ratio": None,
    }


def test_effects_by_changed_fields() -> None:
    assert FOUND["effects"] == {
        "n": 7,
        "exact": 4,
        "by_changed": {
            "0": {"n": 3, "exact": 2},
            "1": {"n": 1, "exact": 1},
            "2": {"n": 0, "exact": 0},
            "3-4": {"n": 2, "exact": 1},
            "5+": {"n": 1, "exact": 0},
        },
    }
    names = [bucket(n) for n in range(7)]
    assert names == ["0", "1", "2", "3-4", "3-4", "5+", "5+"]


def test_by_tool_and_by_probe() -> None:
    assert list(FOUND["per_tool"]) == ["get", "put"]
    assert FOUND["per_tool"]["put"] == {
        "precondition": {
            "applicable": {"n": 4, "correct": 3},
            "inapplicable": {"n": 1, "correct": 0},
        },
        "effects": {"n": 4, "exact": 2},
        "observation": {"n": 4, "exact": 3, "field_f1": 0.75},
    }
    assert FOUND["probes"] == {
        "another_id": {
            "applicable": {"n": 1, "correct": 0},
            "inapplicable": {"n": 0, "correct": 0},
        },
        "no_such_id": {
            "applicable": {"n": 0, "correct": 0},
            "inapplicable": {"n": 2, "correct": 1},
        },
        "repeated": {
            "applicable": {"n": 0, "correct": 0},
            "inapplicable": {"n": 1, "correct": 0},
        },
    }


def test_nothing_at_all() -> None:
    nothing = figures("real", "model", [])
    assert set(rates(nothing).values()) == {None}
    assert "0 steps" in table(nothing)


# Bars.


def test_rates_are_what_bars_are_set_for() -> None:
    replay = {"n": 4, "real": 2, "world": 3, "world_to_real": 1, "consistency_ratio": 0.5}
    found = rates(figures("real", "model", SCORES, replay))
    assert list(found) == list(BarsConfig.model_fields)
    assert found == {
        "precondition_applicable": 5 / 7,
        "precondition_inapplicable": 1 / 3,
        "effects_exact": 4 / 7,
        "observation_exact": 4 / 7,
        "observation_field_f1": 0.6429,
        "consistency_ratio": 0.5,
    }


def test_bars_that_are_reached() -> None:
    check_bars(FOUND, BarsConfig(), "here")
    check_bars(FOUND, BarsConfig(effects_exact=4 / 7, observation_exact=0.5), "here")


def test_each_missed_bar_is_named() -> None:
    bars = BarsConfig(effects_exact=0.5, precondition_inapplicable=0.9, consistency_ratio=0.8)
    with pytest.raises(CheckFailed) as caught:
        check_bars(FOUND, bars, "here")
    text = str(caught.value)
    assert "misses 2 of 3 bars of fidelity to real" in text
    assert "precondition_inapplicable: 0.3333, wanted at least 0.9" in text
    assert "consistency_ratio: nothing was measured, wanted at least 0.8" in text
    assert "effects_exact" not in text


# The table.


def test_the_table_fits_a_terminal_and_says_every_count() -> None:
    replay = {"n": 4, "real": 2, "world": 3, "world_to_real": 1, "consistency_ratio": 0.5}
    scores = [*SCORES, replace(SCORES[0], tool="a_tool_with_a_name_that_is_far_too_long")]
    text = table(figures("real", "model", scores, replay))
    assert max(map(len, text.splitlines())) <= 80
    assert "model against real: 11 steps" in text
    for shown in ("6 of 8", "1 of 3", "5 of 8", "0 of 0", "timeout 1, too_long 1", "0.5"):
        assert shown in text
    assert "none, as the agent reaches no goal" in table(
        figures("real", "model", SCORES, {**replay, "real": 0, "consistency_ratio": None})
    )
