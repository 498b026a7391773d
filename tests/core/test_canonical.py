"""Canonical JSON against RFC 8785's own examples and against Python's reader."""

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripstop.core.canonical import CanonicalError, canonical_json, digest, number_text


@pytest.mark.parametrize(
    ("bits", "text"),
    [  # RFC 8785 appendix B
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_numbers_are_written_as_ecmascript_writes_them(bits: str, text: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert number_text(value) == text


def test_keys_are_sorted_by_utf_16_code_units() -> None:
    value = {"€": 1, "\r": 2, "\ufb33": 3, "1": 4, "😀": 5, "\x80": 6, "ö": 7}
    assert [*json.loads(canonical_json(value))] == ["\r", "1", "\x80", "ö", "€", "😀", "\ufb33"]


def test_strings_are_escaped_as_little_as_possible() -> None:
    text = '€$\x0f\nA\'B"\\\\"/'
    assert canonical_json(text) == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'.encode()


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(_values)
def test_reading_the_canonical_bytes_gives_the_value_and_the_same_bytes(value: object) -> None:
    text = canonical_json(value)
    assert json.loads(text, parse_int=float) == value
    assert canonical_json(json.loads(text, parse_int=float)) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53 + 1, 10**400, "\ud800", {1: 2}, object(), b"x"])
def test_a_value_without_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(CanonicalError):
        canonical_json({"in": [value]})


def test_nesting_is_bounded() -> None:
    value: object = 0
    for _ in range(100_000):
        value = [value]
    with pytest.raises(CanonicalError, match="nested"):
        canonical_json(value)


def test_the_order_of_keys_does_not_change_a_digest() -> None:
    assert digest({"a": 1, "b": 2.0}) == digest({"b": 2, "a": 1})


def test_a_float_of_a_subclass_is_written_as_the_number_it_is():
    assert [canonical_json(np.float64(each)) for each in (0.5, -1e-9, 1e21)] == [b"0.5", b"-1e-9", b"1e+21"]
