"""Records: strict both ways, for every message that travels."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripstop.core import intent, messages
from ripstop.core.errors import WireError
from ripstop.core.messages import Ack, AckStatus, Beat, Item, Notice, PeerMessage, Tick, Workload
from ripstop.core.wire.cbor import decode, encode
from ripstop.core.wire.record import pack, unpack

KINDS = [
    kind
    for module in (messages, intent)
    for kind in vars(module).values()
    if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module.__name__
]
ITEM = Item("t-1", 2, 0.5, 1.0, -2.5, 3.25, 4.1)
st.register_type_strategy(float, st.floats(allow_nan=False))
st.register_type_strategy(int, st.integers(-(1 << 63), (1 << 63) - 1))
WORKLOAD = Workload("d-1", 1, 2, True, False, 0.5, 1.5, 7.25, 0.004, 3, (ITEM, ITEM))


@settings(max_examples=settings.default.max_examples // 4)  # fifteen kinds share the search
@given(st.data())
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_message_comes_back_equal_and_packs_to_the_same_bytes(
    kind: type[object], data: st.DataObject
) -> None:
    record = data.draw(st.from_type(kind))
    octets = pack(record)
    again = unpack(kind, octets)
    assert again == record
    assert pack(again) == octets


def test_a_whole_number_stands_for_a_float_and_becomes_one() -> None:
    value = decode(pack(ITEM))
    assert isinstance(value, list)
    value[2] = 3
    item = unpack(Item, encode(value))
    assert (item.load, type(item.load)) == (3.0, float)


@pytest.mark.parametrize(
    ("at", "wrong"),
    [(0, 7), (0, b"x"), (0, None), (1, 1.0), (1, True), (1, "1"), (2, "x"), (2, True), (2, None)],
)
def test_a_field_of_another_type_is_refused(at: int, wrong: object) -> None:
    value = decode(pack(ITEM))
    assert isinstance(value, list)
    value[at] = wrong
    with pytest.raises(WireError) as caught:
        unpack(Item, encode(value))
    assert caught.value.code == "W0102"


@pytest.mark.parametrize("value", [None, 5, "x", {}, [], [1, 2], ["t-1", 2, 0.5, 1.0, -2.5, 3.25, 4.1, 0]])
def test_missing_and_additional_fields_are_refused(value: object) -> None:
    with pytest.raises(WireError, match="fields do not fit"):
        unpack(Item, encode(value))  # type: ignore[arg-type]


def test_a_wrong_value_deep_inside_is_refused() -> None:
    value = decode(pack(WORKLOAD))
    assert isinstance(value, list)
    value[-1][1][0] = 5
    with pytest.raises(WireError):
        unpack(Workload, encode(value))
    value[-1] = {}
    with pytest.raises(WireError, match="array"):
        unpack(Workload, encode(value))


def test_an_enum_takes_its_own_values_only() -> None:
    ack = Ack("d-1", "fleet", intent.Position(1, 2), AckStatus.APPLIED, "", 5)
    value = decode(pack(ack))
    assert isinstance(value, list)
    assert value[3] == "applied"
    for wrong in ("done", 1, None, [], {}):
        value[3] = wrong
        with pytest.raises(WireError, match="AckStatus"):
            unpack(Ack, encode(value))


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


def test_equal_lists_of_records_keep_the_bytes_of_their_own_types() -> None:
    whole, broken = replace(ITEM, load=1), replace(ITEM, load=1.0)
    works = [replace(WORKLOAD, items=(item,)) for item in (whole, broken, whole)]
    octets = [pack(work) for work in works]
    assert works[0] == works[1]
    assert octets[0] == octets[2] != octets[1]
    assert [type(unpack(Workload, each).items[0].load) for each in octets] == [float, float, float]


def test_a_list_of_records_that_came_before_is_the_same_object_again() -> None:
    first = unpack(Workload, pack(replace(WORKLOAD, sequence=1)))
    second = unpack(Workload, pack(replace(WORKLOAD, sequence=2)))
    assert (first.sequence, second.sequence) == (1, 2)
    assert second.items == WORKLOAD.items
    assert second.items is first.items


def test_a_list_of_records_that_came_before_is_refused_where_more_follows() -> None:
    octets = pack(WORKLOAD)
    unpack(Workload, octets)
    for _ in range(2):
        with pytest.raises(WireError, match="trailing"):
            unpack(Workload, octets + b"\x00")
        with pytest.raises(WireError, match="truncated"):
            unpack(Workload, octets[:-1])


def test_a_long_list_of_records_comes_back_equal() -> None:
    work = replace(WORKLOAD, items=tuple(replace(ITEM, id=f"t-{n}") for n in range(500)))
    assert unpack(Workload, pack(work)) == work


@given(st.data())
@pytest.mark.parametrize("kind", [Beat, Tick, Workload, intent.Intent], ids=lambda kind: kind.__name__)
def test_bytes_of_a_message_with_one_changed_are_refused_or_stand_for_what_they_say(
    kind: type[object], data: st.DataObject
) -> None:
    octets = bytearray(pack(data.draw(st.from_type(kind))))
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        record = unpack(kind, bytes(octets))
    except WireError:
        return
    decode(bytes(octets))  # what is taken is deterministic CBOR
    assert unpack(kind, pack(record)) == record or "nan" in repr(record)
