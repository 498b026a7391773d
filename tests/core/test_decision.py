"""The verdict lattice, limits, and the record of a decision."""

import json
import math

import pytest

from ripstop.core.canonical import canonical_json
from ripstop.core.decision import Decision, Evidence, EvidenceTable, Limit, Reason, Verdict
from ripstop.core.sample import Sample


def test_only_allow_is_truthy() -> None:
    assert [bool(verdict) for verdict in (Verdict.ALLOW, Verdict.LIMIT, Verdict.DENY, Verdict.UNKNOWN)] == [
        True,
        False,
        False,
        False,
    ]


def test_the_meet_is_the_tighter_verdict() -> None:
    assert Verdict.ALLOW.meet(Verdict.LIMIT) is Verdict.LIMIT
    assert Verdict.DENY.meet(Verdict.ALLOW) is Verdict.DENY


def test_limits_intersect_and_may_become_empty() -> None:
    both = Limit("p", 0, 2).meet(Limit("p", 1, None))
    assert both == Limit("p", 1, 2)
    assert Limit("p", 0, 1).meet(Limit("p", 2, 3)).is_empty
    assert both.holds(1.5)
    assert not both.holds(math.nan)


def test_evidence_spreads_out_in_the_order_of_the_policies() -> None:
    table = EvidenceTable(("a", "b"), (0b0111, 0))
    assert list(table) == [Evidence("a", 3, 1), Evidence("b", 0, 0)]
    assert table[-1].policy == "b"
    assert table == (Evidence("a", 3, 1), Evidence("b", 0, 0))


def test_a_decision_survives_its_record_form_even_with_strange_inputs() -> None:
    decision = Decision(
        "take_off",
        Verdict.LIMIT,
        (Limit("payload_kg", None, 1.0),),
        (Reason("p", "limited", "x"),),
        (Evidence("d" * 64, 2**70, 1),),
        12,
        "r",
        "i",
        (Sample("a", math.inf, 3), Sample("b", [1, {"c": None}], 4)),
        (Sample("a", 1.5, 2),),
    )
    record = json.loads(canonical_json(decision.to_json()))
    assert Decision.from_json(record) == decision


def test_a_damaged_record_is_refused() -> None:
    record = Decision("a", Verdict.ALLOW).to_json()
    with pytest.raises(ValueError, match="decision record"):
        Decision.from_json({**record, "t_us": "now"})


def test_a_verdict_prints_as_its_word():
    assert [str(verdict) for verdict in Verdict] == ["unknown", "deny", "limit", "allow"]
    assert f"{Verdict.DENY}" == "deny"
