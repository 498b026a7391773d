"""A decision's record written at once is the same as one written by way of its record form."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripstop.core.decision import Decision, Evidence, EvidenceTable, Limit, Reason, Verdict
from ripstop.core.errors import WireError
from ripstop.core.journal import RecordKind, read_entry, write_decision, write_entry
from ripstop.core.sample import Sample, SampleTable

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
moments = st.integers(-(2**40), 2**62)
numbers = st.one_of(st.floats(), st.integers(), st.booleans())
values = st.recursive(
    st.one_of(st.none(), numbers, texts, st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 10**400])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
samples = st.lists(st.builds(Sample, texts, values, moments), max_size=4)
bounds = st.one_of(st.none(), st.integers(-9, 9), st.floats(allow_nan=False))


@st.composite
def tables(draw: st.DrawFn, t_us: int) -> SampleTable:
    given = draw(st.dictionaries(texts, values, max_size=3))
    read = draw(st.dictionaries(texts, st.builds(Sample, texts, values, moments), max_size=4))
    names = draw(st.lists(st.sampled_from([*given, *read, "unknown"]), unique=True))
    return SampleTable(given, read, tuple(names), draw(st.sampled_from([t_us, t_us, t_us - 1])))


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    t_us = draw(moments)
    codes = draw(st.lists(st.integers(0, 2**70), max_size=4))
    table = EvidenceTable(tuple(f"{n:064x}" for n in range(len(codes))), tuple(codes))
    return Decision(
        draw(texts),
        draw(st.sampled_from(Verdict)),
        draw(st.lists(st.builds(Limit, texts, bounds, bounds), max_size=2).map(tuple)),
        draw(st.lists(st.builds(Reason, texts, texts, texts), max_size=2).map(tuple)),
        draw(st.sampled_from([table, tuple(table)])),
        t_us,
        draw(texts),
        draw(texts),
        draw(tables(t_us)),
        draw(samples.map(tuple)),
        draw(samples.map(tuple)),
    )


@given(decisions(), moments)
def test_both_ways_give_the_same_bytes(decision, t_us):
    assert write_decision(t_us, decision) == write_entry(RecordKind.DECISION, t_us, decision.to_json())


def test_what_is_remembered_does_not_take_one_for_true():
    for value in (1, 1.0, True, 0, 0.0, -0.0, False, math.nan, math.inf):
        decision = Decision(
            "go", Verdict.LIMIT, (Limit("v", value, None),), inputs=(Sample("v", value, 1),), t_us=1
        )
        assert write_decision(1, decision) == write_entry(RecordKind.DECISION, 1, decision.to_json())


def test_readings_that_are_remembered_are_those_of_the_decision():
    for value in (1, 1.0, True, 2.0):
        reads, given = ("a", "b"), {"v": 1.0}
        for readings in (
            {"a": Sample("a", value, 5)},
            {"a": Sample("a", value, 6), "b": Sample("b", 0.5, 7)},
        ):
            for more in ({}, {"b": 3}, {}):
                table = SampleTable(given | more, readings, reads, 9)
                decision = Decision("go", Verdict.ALLOW, evidence=EvidenceTable((), ()), inputs=table, t_us=9)
                assert write_decision(9, decision) == write_entry(RecordKind.DECISION, 9, decision.to_json())


def test_the_evidence_of_very_many_policies_is_written_too():
    table = EvidenceTable(tuple(f"{n:064x}" for n in range(300)), tuple(range(300)))
    decision = Decision("go", Verdict.ALLOW, evidence=table)
    body = read_entry(write_decision(1, decision)).body
    assert Decision.from_json(body).evidence == tuple(table)
    assert tuple(table)[3] == Evidence(f"{3:064x}", 1, 1)


def test_half_a_surrogate_pair_stands_there_escaped():
    lone = Sample("v\udfff", ["\ud800", {"\ud800": 1}], 1)
    decision = Decision("g\ud800", Verdict.ALLOW, inputs=(lone,), reasons=(Reason("p", "c", "\ud800"),))
    read = Decision.from_json(read_entry(write_decision(1, decision)).body)
    assert read.action == "g\\ud800"
    assert read.inputs == (Sample("v\\udfff", ["\\ud800", {"\\ud800": 1}], 1),)
    assert read.reasons[0].text == "\\ud800"


def test_what_is_nested_too_deep_is_refused():
    value = 1
    for _ in range(40):
        value = [value]
    with pytest.raises(WireError) as caught:
        write_decision(1, Decision("go", Verdict.ALLOW, inputs=(Sample("v", value, 1),)))
    assert caught.value.code == "W0101"
