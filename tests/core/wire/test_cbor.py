"""Deterministic CBOR: RFC 8949's vectors, round trips, and one encoding for each value."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripstop.core.errors import WireError
from ripstop.core.wire.cbor import MAX_DEPTH, decode, encode

# RFC 8949, appendix A: those in deterministic form and of types that are known here.
VECTORS = [
    (0, "00"), (1, "01"), (10, "0a"), (23, "17"), (24, "1818"), (25, "1819"), (100, "1864"),
    (1000, "1903e8"), (1000000, "1a000f4240"), (1000000000000, "1b000000e8d4a51000"),
    (18446744073709551615, "1bffffffffffffffff"), (-18446744073709551616, "3bffffffffffffffff"),
    (-1, "20"), (-10, "29"), (-100, "3863"), (-1000, "3903e7"),
    (0.0, "f90000"), (-0.0, "f98000"), (1.0, "f93c00"), (1.1, "fb3ff199999999999a"), (1.5, "f93e00"),
    (65504.0, "f97bff"), (100000.0, "fa47c35000"), (3.4028234663852886e38, "fa7f7fffff"),
    (1.0e300, "fb7e37e43c8800759c"), (5.960464477539063e-8, "f90001"), (0.00006103515625, "f90400"),
    (-4.0, "f9c400"), (-4.1, "fbc010666666666666"),
    (math.inf, "f97c00"), (-math.inf, "f9fc00"),
    (False, "f4"), (True, "f5"), (None, "f6"),
    (b"", "40"), (bytes.fromhex("01020304"), "4401020304"),
    ("", "60"), ("a", "6161"), ("IETF", "6449455446"), ('"\\', "62225c"), ("\u00fc", "62c3bc"),
    ("\u6c34", "63e6b0b4"), ("\U00010151", "64f0908591"),
    ([], "80"), ([1, 2, 3], "83010203"), ([1, [2, 3], [4, 5]], "8301820203820405"),
    (list(range(1, 26)), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"),
    ({}, "a0"), ({1: 2, 3: 4}, "a201020304"), ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
    (["a", {"b": "c"}], "826161a161626163"),
    ({"a": "A", "b": "B", "c": "C", "d": "D", "e": "E"}, "a56161614161626142616361436164614461656145"),
]  # fmt: skip

REFUSED = [
    ("1817", "longer form"),  # 23 in two bytes
    ("190018", "longer form"),
    ("1a0000ffff", "longer form"),
    ("1b00000000ffffffff", "longer form"),
    ("5801ff", "longer form"),  # a byte string's length
    ("fa3fc00000", "longer form"),  # 1.5 as a single
    ("fb3ff8000000000000", "longer form"),  # 1.5 as a double
    ("fa7fc00000", "longer form"),  # NaN as a single
    ("fb7ff8000000000000", "longer form"),  # NaN as a double
    ("fb7ff8000000000001", "longer form"),  # NaN with a payload
    ("81fb7ff8000000000001", "longer form"),
    ("81fb3ff8000000000000", "longer form"),
    ("f97e01", "longer form"),
    ("f9fe00", "longer form"),
    ("5f42010243030405ff", "indefinite"),
    ("7f657374726561646d696e67ff", "indefinite"),
    ("9f01ff", "indefinite"),
    ("bf6161019fff", "indefinite"),
    ("1c", "indefinite"),
    ("ff", "unknown simple"),
    ("f7", "unknown simple"),
    ("f818", "unknown simple"),
    ("c074323031332d30332d32315432303a30343a30305a", "tag"),
    ("a2616201616102", "out of order"),
    ("a2616101616102", "repeated"),
    ("a14101f6", "map key"),
    ("a1f601", "map key"),
    ("a1f93c0001", "map key"),
    ("61ff", "UTF-8"),
    ("63eda080", "UTF-8"),  # half a surrogate pair
    ("0000", "trailing"),
    ("", "truncated"),
    ("18", "truncated"),
    ("1900", "truncated"),
    ("4401", "truncated"),
    ("6261", "truncated"),
    ("83", "truncated"),
    ("8301", "truncated"),
    ("a101", "truncated"),
    ("f93c", "truncated"),
    ("fb3ff199999999", "truncated"),
    ("81fb3ff19999", "truncated"),
    ("9bffffffffffffffff", "truncated"),
    ("bb7fffffffffffffff", "truncated"),
    ("5bffffffffffffffff", "truncated"),
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.floats(width=16, allow_nan=False)
    | st.text(max_size=30)
    | st.binary(max_size=30)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=5), inner, max_size=5)
        | st.dictionaries(st.integers(-300, 300), inner, max_size=5)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(("value", "octets"), VECTORS)
def test_the_vectors_of_rfc_8949_hold_both_ways(value: object, octets: str) -> None:
    assert encode(value).hex() == octets
    decoded = decode(bytes.fromhex(octets))
    assert (decoded, type(decoded)) == (value, type(value))
    assert str(decoded) == str(value)  # -0.0 is not 0.0


def test_nan_has_one_encoding() -> None:
    assert encode(math.nan).hex() == "f97e00"
    assert math.isnan(decode(bytes.fromhex("f97e00")))


@pytest.mark.parametrize(("octets", "reason"), REFUSED)
def test_another_form_of_a_value_is_refused(octets: str, reason: str) -> None:
    with pytest.raises(WireError, match=reason) as caught:
        decode(bytes.fromhex(octets))
    assert caught.value.code == "W0101"


@given(values)
def test_what_was_encoded_decodes_to_the_same_and_encodes_to_the_same(value: object) -> None:
    data = encode(value)
    decoded = decode(data)
    assert decoded == value
    assert encode(decoded) == data


@given(st.binary(max_size=60))
def test_hostile_bytes_are_refused_or_are_the_one_encoding_of_their_value(data: bytes) -> None:
    try:
        value = decode(data)
    except WireError:
        return
    assert encode(value) == data


@given(values, st.data())
def test_a_changed_byte_is_refused_or_another_value(value: object, data: st.DataObject) -> None:
    octets = bytearray(encode(value))
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(octets))
    except WireError:
        return
    assert encode(other) == octets


@pytest.mark.parametrize("head", [b"\x81", b"\xa1\x00"])
def test_nesting_is_bounded_on_the_way_in(head: bytes) -> None:
    assert decode(head * MAX_DEPTH + b"\x00") is not None
    with pytest.raises(WireError, match="nesting"):
        decode(head * (MAX_DEPTH + 1) + b"\x00")
    with pytest.raises(WireError, match="nesting"):
        decode(head * 100_000 + b"\x00")


def test_nesting_is_bounded_on_the_way_out() -> None:
    value: object = 0
    for _ in range(MAX_DEPTH):
        value = [value]
    assert decode(encode(value)) == value
    with pytest.raises(WireError, match="nesting"):
        encode([value])


@pytest.mark.parametrize(
    "value", [1 << 64, -(1 << 64) - 1, {1.5: 0}, {b"": 0}, {True: 0}, {None: 0}, object(), {1, 2}, "\ud800"]
)
def test_what_has_no_encoding_is_refused(value: object) -> None:
    with pytest.raises(WireError):
        encode(value)


def test_keys_are_sorted_by_their_encoding_so_that_shorter_ones_come_first() -> None:
    # RFC 8949, section 4.2.1.
    assert encode({"aa": 1, "b": 2, 100: 3, -1: 4, 10: 5}).hex() == "a50a05186403200461620262616101"
