"""Telemetry frames: the documented layout, and nothing else."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripstop.core.errors import WireError
from ripstop.core.wire.frame import FLAG_ALARM, FLAG_BUFFERED, SAMPLE, decode_frame, encode_frame

DIGEST = bytes(range(32))
rows = st.tuples(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.integers(0, (1 << 32) - 1),
)


def test_the_layout_is_the_documented_one_byte_for_byte() -> None:
    data = encode_frame(DIGEST, ["d-1"], [(1_000_000, 12.5, 0, 2, FLAG_ALARM | FLAG_BUFFERED)])
    assert data == (
        b"RSF1" + DIGEST + b"\x01\x00" + b"\x03\x00d-1" + b"\x01\x00\x00\x00"
        + struct.pack("<q", 1_000_000) + struct.pack("<d", 12.5)
        + b"\x00\x00" + b"\x02\x00" + b"\x03\x00\x00\x00"
    )  # fmt: skip
    assert SAMPLE.size == 24


@given(st.lists(st.text(max_size=10), max_size=5), st.lists(rows, max_size=20))
def test_what_was_encoded_comes_back(
    agents: list[str], samples: list[tuple[int, float, int, int, int]]
) -> None:
    frame = decode_frame(encode_frame(DIGEST, agents, samples))
    assert (frame.vocabulary, frame.agents, frame.count) == (DIGEST, tuple(agents), len(samples))
    assert frame.rows() == samples


def test_a_value_that_is_not_a_number_travels_as_it_is() -> None:
    (row,) = decode_frame(encode_frame(DIGEST, ["a"], [(0, math.nan, 0, 0, 0)])).rows()
    assert math.isnan(row[1])


@given(st.data())
def test_a_cut_or_longer_frame_is_refused(data: st.DataObject) -> None:
    whole = encode_frame(DIGEST, ["d-1", "d-2"], [(1, 2.0, 0, 0, 0), (2, 3.0, 1, 0, 0)])
    cut = data.draw(st.integers(0, len(whole) - 1))
    for broken in (whole[:cut], whole + b"\x00"):
        with pytest.raises(WireError) as caught:
            decode_frame(broken)
        assert caught.value.code == "W0301"


@given(st.binary(max_size=120))
def test_hostile_bytes_are_refused_with_a_wire_error(data: bytes) -> None:
    for hostile in (data, b"RSF1" + data, b"RSF1" + DIGEST + data):
        try:
            frame = decode_frame(hostile)
        except WireError:
            continue
        assert len(frame.rows()) == frame.count


def test_a_frame_that_promises_more_samples_than_may_be_is_refused() -> None:
    with pytest.raises(WireError):
        decode_frame(b"RSF1" + DIGEST + b"\x00\x00" + b"\xff\xff\xff\xff")


def test_an_id_that_is_not_text_is_refused() -> None:
    with pytest.raises(WireError, match="malformed"):
        decode_frame(b"RSF1" + DIGEST + b"\x01\x00" + b"\x01\x00\xff" + b"\x00\x00\x00\x00")
