"""Records: strict both ways, for every message that travels."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripstop.core import intent, messages
from ripstop.core.errors import WireError
from ripstop.core.messages import Ack, AckStatus, Beat, Item, Notice, PeerMessage, Tick, Workload
from ripstop.core.wire.cbor import decode, encode
from ripstop.core.wire.record import from_value, pack, to_value, unpack

KINDS = [
    kind
    for module in (messages, intent)
    for kind in vars(module).values()
    if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module.__name__
]
ITEM = Item("t-1", 2, 0.5, 1.0, -2.5, 3.25, 4.1)
WORKLOAD = Workload("d-1", 1, 2, True, False, 0.5, 1.5, 7.25, 0.004, 3, (ITEM, ITEM))


@settings(max_examples=settings.default.max_examples // 4)  # fifteen kinds share the search
@given(st.data())
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_message_comes_back_equal_and_packs_to_the_same_bytes(
    kind: type[object], data: st.DataObject
) -> None:
    st.register_type_strategy(float, st.floats(allow_nan=False))
    st.register_type_strategy(int, st.integers(-(1 << 63), (1 << 63) - 1))
    record = data.draw(st.from_type(kind))
    octets = pack(record)
    again = unpack(kind, octets)
    assert again == record
    assert pack(again) == octets


def test_a_whole_number_stands_for_a_float_and_becomes_one() -> None:
    value = to_value(ITEM)
    assert isinstance(value, list)
    value[2] = 3
    item = from_value(Item, value)
    assert (item.load, type(item.load)) == (3.0, float)


@pytest.mark.parametrize(
    ("at", "wrong"),
    [(0, 7), (0, b"x"), (0, None), (1, 1.0), (1, True), (1, "1"), (2, "x"), (2, True), (2, None)],
)
def test_a_field_of_another_type_is_refused(at: int, wrong: object) -> None:
    value = to_value(ITEM)
    assert isinstance(value, list)
    value[at] = wrong
    with pytest.raises(WireError) as caught:
        from_value(Item, value)
    assert caught.value.code == "W0102"


@pytest.mark.parametrize("value", [None, 5, "x", {}, [], [1, 2], ["t-1", 2, 0.5, 1.0, -2.5, 3.25, 4.1, 0]])
def test_missing_and_additional_fields_are_refused(value: object) -> None:
    with pytest.raises(WireError, match="fields do not fit"):
        from_value(Item, value)  # type: ignore[arg-type]


def test_a_wrong_value_deep_inside_is_refused() -> None:
    value = decode(pack(WORKLOAD))
    assert isinstance(value, list)
    value[-1][1][0] = 5
    with pytest.raises(WireError):
        from_value(Workload, value)
    value[-1] = {}
    with pytest.raises(WireError, match="array"):
        from_value(Workload, value)


def test_an_enum_takes_its_own_values_only() -> None:
    ack = Ack("d-1", "fleet", intent.Position(1, 2), AckStatus.APPLIED, "", 5)
    value = to_value(ack)
    assert isinstance(value, list)
    assert value[3] == "applied"
    for wrong in ("done", 1, None, [], {}):
        value[3] = wrong
        with pytest.raises(WireError, match="AckStatus"):
            from_value(Ack, value)


def test_maps_are_checked_key_by_key() -> None:
    assert unpack(Tick, pack(Tick(1, intent.Position(), 2, {"a": b"n"}))).nonces == {"a": b"n"}
    for wrong in ({1: b"n"}, {"a": "n"}, [1], None):
        with pytest.raises(WireError):
            unpack(Tick, encode([1, [0, 0], 2, wrong]))  # type: ignore[list-item]
    notice = Notice("d-1", 1, 2, "breaker.opened", {"a": 1, "b": 1.5, "c": None, "d": True, "e": "x"})
    assert unpack(Notice, pack(notice)) == notice
    with pytest.raises(WireError):
        unpack(Notice, encode(["d-1", 1, 2, "x", {"a": b"octets"}]))


def test_a_record_with_one_field_is_an_array_of_one() -> None:
    @dataclass(frozen=True, slots=True)
    class Single:
        name: str

    assert decode(pack(Single("x"))) == ["x"]
    assert unpack(Single, encode(["x"])) == Single("x")


def test_one_record_does_not_pass_for_another() -> None:
    octets = pack(PeerMessage("a", "b", messages.PeerKind.OFFER, 1, ITEM))
    for kind in (Beat, Tick, Ack, Notice, Workload):
        with pytest.raises(WireError):
            unpack(kind, octets)


def test_every_message_has_as_many_array_items_as_fields() -> None:
    value = decode(pack(WORKLOAD))
    assert isinstance(value, list)
    assert len(value) == len(fields(Workload))


@given(st.binary(max_size=80))
def test_hostile_bytes_are_refused_with_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        unpack(Workload, data)
