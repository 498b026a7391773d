"""Frames into rings: what becomes of every kind of sample."""

import pytest

from ripstop.control.telemetry.ingest import SKEW_US, Telemetry
from ripstop.control.telemetry.rings import SampleRings
from ripstop.core.errors import WireError
from ripstop.core.vocabulary import SignalSpec, Vocabulary
from ripstop.core.wire.frame import FLAG_ALARM, encode_frame

VOCABULARY = Vocabulary(
    "v",
    signals={
        "battery": SignalSpec("battery", low=0.0, high=100.0, max_age_s=60.0),
        "speed": SignalSpec("speed"),
    },
)
DIGEST = bytes.fromhex(VOCABULARY.digest)
NOW = 1_000_000_000_000


def take(telemetry, rows, agent="a", now=NOW, agents=None, digest=DIGEST):
    return telemetry.take(agent, encode_frame(digest, agents or (agent,), rows), now)


def each_way(rows):
    """The same rows as single frames and as one long one, which takes the vectorised road."""
    padding = [(NOW - 10**9 + n, 1.0, 0, 1, 0) for n in range(20)]
    return [[[row] for row in rows], [padding + rows]]


@pytest.mark.parametrize("road", [0, 1])
def test_each_kind_of_sample_has_its_defined_end(road):
    rows = [
        (NOW - 5, 50.0, 0, 0, 0),
        (NOW - 5, 51.0, 0, 0, 0),
        (NOW - 9, 52.0, 0, 0, 0),
        (NOW - 4, float("nan"), 0, 0, 0),
        (NOW - 3, 101.0, 0, 0, 0),
        (NOW - 2, float("inf"), 0, 1, 0),
        (NOW - 2, 1.0, 0, 2, 0),
        (NOW - 2, 1.0, 1, 0, 0),
        (NOW + SKEW_US + 1, 50.0, 0, 0, 0),
    ]
    telemetry = Telemetry(VOCABULARY)
    if road == 1:
        rows[2] = (NOW - 4, 49.0, 0, 0, 0)
    for frame in each_way(rows)[road]:
        take(telemetry, frame)
    counts = telemetry.counts
    assert (counts["repeated"], counts["invalid"], counts["unknown"], counts["foreign"]) == (1, 3, 1, 1)
    assert counts["future"] == 1
    assert counts["late"] == (1 if road == 0 else 0)
    assert telemetry.last("a", "battery") == ((NOW - 5, 50.0) if road == 0 else (NOW - 4, 49.0))


def test_a_long_frame_out_of_order_is_put_in_order():
    telemetry = Telemetry(VOCABULARY)
    rows = [(NOW - n, float(n), 0, 0, 0) for n in range(1, 40)]
    assert take(telemetry, rows) == 39
    window = telemetry.window("a", "battery", NOW - 10)
    assert window.t_us.tolist() == list(range(NOW - 10, NOW))
    assert window.value.tolist() == [float(n) for n in range(10, 0, -1)]


def test_what_is_older_than_the_last_frame_is_late_in_a_long_frame_too():
    telemetry = Telemetry(VOCABULARY)
    take(telemetry, [(NOW - 100, 1.0, 0, 0, 0)])
    accepted = take(telemetry, [(NOW - 110 + n, 2.0, 0, 0, 0) for n in range(20)])
    assert accepted == 9
    assert (telemetry.counts["late"], telemetry.counts["repeated"]) == (10, 1)


def test_both_roads_store_the_same():
    rows = [(NOW - 1000 + 7 * n, float(n % 50), 0, n % 2, FLAG_ALARM * (n == 33)) for n in range(60)]
    one, many = Telemetry(VOCABULARY), Telemetry(VOCABULARY)
    for row in rows:
        take(one, [row])
    take(many, rows)
    for signal in ("battery", "speed"):
        left, right = one.window("a", signal, 0), many.window("a", signal, 0)
        for name in ("t_us", "value", "flags"):
            assert (getattr(left, name) == getattr(right, name)).all()
    assert one.last_alarm("a") == many.last_alarm("a") == NOW - 1000 + 7 * 33
    assert one.counts == many.counts


def test_stale_samples_are_kept_and_counted():
    telemetry = Telemetry(VOCABULARY)
    take(telemetry, [(NOW - 61_000_000, 50.0, 0, 0, 0)])
    take(telemetry, [(NOW - 61_000_000 + n, 50.0, 0, 1, 0) for n in range(20)])
    assert telemetry.counts["stale"] == 1
    assert telemetry.counts["accepted"] == 21


def test_a_frame_under_another_vocabulary_or_for_another_agent_is_foreign():
    telemetry = Telemetry(VOCABULARY)
    row = [(NOW, 1.0, 0, 0, 0)]
    assert take(telemetry, row, digest=b"\x00" * 32) == 0
    assert take(telemetry, row, agents=("b",)) == 0
    assert take(telemetry, row, agents=("a", "b")) == 0
    assert telemetry.counts == {"foreign": 3}
    assert telemetry.last("a", "battery") is None


def test_bytes_that_are_no_frame_are_refused():
    with pytest.raises(WireError) as caught:
        Telemetry(VOCABULARY).take("a", b"RSF1 nonsense", NOW)
    assert caught.value.code == "W0301"


def test_a_ring_keeps_its_depth_and_forgets_the_oldest():
    rings = SampleRings(1, depth=8)
    ring = rings.add_agent()
    for n in range(20):
        rings.put(ring, n, float(n), 0)
    assert rings.window(ring, 0).t_us.tolist() == list(range(12, 20))
    for n in range(20, 23):
        rings.put(ring, n, float(n), 0)
    assert rings.window(ring, 0).t_us.tolist() == list(range(15, 23))
    rings.put_run(ring, [(n, float(n), 0) for n in range(100, 130)])
    assert rings.window(ring, 0).t_us.tolist() == list(range(122, 130))
    assert rings.last(ring) == (129, 129.0)


def test_rings_grow_with_the_fleet_and_keep_what_they_hold():
    rings = SampleRings(2, depth=4, agents=1)
    for agent in range(9):
        row = rings.add_agent()
        rings.put(row * 2 + 1, 10 + agent, float(agent), 0)
        assert rings.window(1, 0).value.tolist() == [0.0]
    assert [rings.window(row * 2 + 1, 0).t_us.tolist() for row in range(9)] == [[10 + n] for n in range(9)]
    assert rings.last(0) is None
    assert rings.window(0, 0).t_us.tolist() == []


def test_thousands_of_waiting_readings_are_put_away_in_order():
    rings = SampleRings(3, depth=16)
    for _ in range(4):
        rings.add_agent()
    for n in range(9000):
        rings.put(n % 12, n, float(n), n % 2)
    for ring in range(12):
        expected = list(range(ring, 9000, 12))[-16:]
        window = rings.window(ring, 0)
        assert window.t_us.tolist() == expected
        assert window.flags.tolist() == [n % 2 for n in expected]
