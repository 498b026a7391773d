"""Hash chains: what was changed, cut out, added or swapped does not verify."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripstop.core.errors import WireError
from ripstop.core.messages import Segment
from ripstop.core.wire.chain import check_segment, genesis, head, link, links

RECORDS = (b"one", b"two", b"three")


def segment(
    records: tuple[bytes, ...] = RECORDS, first: int = 1, previous: bytes = genesis("d-1")
) -> Segment:
    last = first + len(records) - 1
    return Segment("d-1", 0, 0, first, last, previous, head(previous, first, records), records)


def code_of(changed: Segment, previous: bytes = genesis("d-1")) -> str:
    with pytest.raises(WireError) as caught:
        check_segment(changed, previous)
    return caught.value.code


def test_a_link_is_the_documented_hash() -> None:
    previous = hashlib.sha256(b"d-1").digest()
    assert genesis("d-1") == previous
    expected = hashlib.sha256(b"\x00" + previous + (7).to_bytes(8, "big") + b"record").digest()
    assert link(previous, 7, b"record") == expected


def test_many_links_are_each_the_link_of_its_record() -> None:
    found, previous = list(links(genesis("d-1"), 5, RECORDS)), genesis("d-1")
    for number, record in enumerate(RECORDS, 5):
        previous = link(previous, number, record)
        assert found[number - 5] == previous
    assert head(genesis("d-1"), 5, RECORDS) == found[-1]


def test_a_segment_and_its_successor_verify() -> None:
    first = segment()
    check_segment(first, genesis("d-1"))
    check_segment(segment((b"four",), 4, first.head), first.head)


def test_an_empty_segment_keeps_the_head() -> None:
    assert head(genesis("d-1"), 5, ()) == genesis("d-1")
    check_segment(segment(()), genesis("d-1"))


@given(st.integers(0, 2), st.binary(max_size=8))
def test_a_changed_record_is_noticed(at: int, record: bytes) -> None:
    records = list(RECORDS)
    if records[at] == record:
        return
    records[at] = record
    assert code_of(replace(segment(), records=tuple(records))) == "W0402"


def test_records_cut_out_added_or_swapped_are_noticed() -> None:
    whole = segment()
    assert code_of(replace(whole, records=RECORDS[:2])) == "W0402"
    assert code_of(replace(whole, records=RECORDS[:2], last=2)) == "W0402"
    assert code_of(replace(whole, records=(*RECORDS, b"four"))) == "W0402"
    assert code_of(replace(whole, records=(b"two", b"one", b"three"))) == "W0402"
    assert code_of(replace(whole, records=(b"onetwo", b"", b"three"))) == "W0402"


def test_another_numbering_is_another_chain() -> None:
    assert code_of(replace(segment(), first=2, last=4)) == "W0402"


def test_a_segment_that_follows_something_else_is_a_fork_or_a_gap() -> None:
    assert code_of(segment(), previous=b"\x00" * 32) == "W0401"
    assert code_of(segment(first=4, previous=b"\x01" * 32)) == "W0401"


def test_one_agents_chain_does_not_pass_for_anothers() -> None:
    assert code_of(segment(), previous=genesis("d-2")) == "W0401"
